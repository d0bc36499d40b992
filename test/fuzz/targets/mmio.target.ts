/** Registers of the MMIO transport and the device core, with a device that does next to nothing. */
import { EchoDevice } from '../../unit/virtio/test-device.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import type { Piece } from './fuzz-ring.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';

class MmioSpec implements DeviceSpec<EchoDevice> {
  readonly device = new EchoDevice();

  request(made: DeviceCase<EchoDevice>, input: Input): Piece[] {
    return [made.readable(input.take(input.below(32))), made.writable(input.u8())];
  }

  host(made: DeviceCase<EchoDevice>, input: Input): void {
    const { device } = made;
    switch (input.below(5)) {
      case 0:
        device.finish();
        break;
      case 1:
        device.throws = input.pick(['before', 'after', undefined]);
        break;
      case 2:
        made.core.configChanged();
        break;
      case 3:
        made.core.rest(input.below(2));
        break;
      default:
        made.core.serve(input.below(2), true);
        made.core.pending(0);
    }
    device.events.length = 0;
  }

  finish(made: DeviceCase<EchoDevice>): void {
    made.device.throws = undefined;
    made.device.finish();
    made.device.events.length = 0;
  }

  works(made: DeviceCase<EchoDevice>): void {
    const used = made.ask(0, [
      { address: HEALTH, length: 8, writable: false },
      { address: HEALTH + 64, length: 8, writable: true },
    ]);
    must(used.length === 1 && used[0] === 8, 'the device answers');
  }
}

export const target: FuzzTarget = {
  name: 'mmio',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4, 16, 240, 130, 0),
    Uint8Array.of(0, 0, 0, 0, 1, 3, 4, 1, 2, 3, 4, 16, 130, 0, 250, 1, 0, 0),
    Uint8Array.of(1, 0, 0, 190, 4, 0, 0, 5, 190, 110, 1, 1, 7, 255, 15),
  ],
  open: () => new DeviceCase(new MmioSpec()),
};
