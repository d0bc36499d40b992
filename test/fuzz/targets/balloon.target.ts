/** virtio-balloon: page numbers, statistics, pages reported as free. */
import { BalloonDevice } from '../../../src/devices/virtio/balloon/balloon.js';
import { STATS_LIMIT } from '../../../src/devices/virtio/balloon/balloon-layout.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import { anyAddress, type Piece } from './fuzz-ring.js';
import { LOW_SIZE } from './fuzz-ram.js';

class BalloonSpec implements DeviceSpec<BalloonDevice> {
  readonly device = new BalloonDevice({ statisticsDoorbell: { ring: () => undefined } });

  request(made: DeviceCase<BalloonDevice>, input: Input, queue: number): Piece[] {
    const kind = input.chance(32) ? input.below(3) : Math.min(queue, 3);
    switch (kind) {
      case 0:
      case 1:
        return [made.readable(pageNumbers(input))];
      case 2:
        return [made.readable(statistics(input))];
      default:
        return Array.from({ length: 1 + input.below(4) }, () => ({
          // Never the rings themselves: a driver that reports those has nothing left.
          address: input.chance(200) ? 0x8000 + 0x1000 * input.below(16) : anyAddress(input),
          length: input.chance(200) ? 0x1000 * input.below(4) : input.u16(),
          writable: true,
        }));
    }
  }

  host(made: DeviceCase<BalloonDevice>, input: Input): void {
    const { device } = made;
    switch (input.below(3)) {
      case 0:
        device.setTarget(input.word() * (input.chance(64) ? 2 ** 20 : 1));
        must(device.target <= LOW_SIZE * 2, 'no more than all RAM');
        break;
      case 1:
        device.requestStatistics();
        break;
      default:
        must(Object.keys(device.statistics).length <= STATS_LIMIT, 'statistics are bounded');
    }
  }

  works(made: DeviceCase<BalloonDevice>): void {
    made.ram.set32(HEALTH, 0x10);
    made.ram.set32(0x10000, 1);
    const used = made.ask(0, [{ address: HEALTH, length: 4, writable: false }]);
    must(used.length === 1 && made.ram.get32(0x10000) === 0, 'a page is taken');
  }
}

function pageNumbers(input: Input): Uint8Array {
  const count = 1 + input.below(input.chance(16) ? 400 : 12);
  const numbers = new Uint32Array(count);
  let next = 8 + input.below(24);
  for (let i = 0; i < count; i++) {
    if (input.chance(40)) next = input.chance(128) ? input.word() : input.below(40);
    numbers[i] = next++;
  }
  const cut = input.chance(16) ? input.below(4) : 0;
  return new Uint8Array(numbers.buffer, 0, 4 * count - cut);
}

function statistics(input: Input): Uint8Array {
  const count = input.below(80);
  const bytes = new Uint8Array(10 * count + (input.chance(32) ? input.below(10) : 0));
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    view.setUint16(10 * i, input.chance(200) ? input.below(20) : input.u16(), true);
    view.setBigUint64(10 * i + 2, input.long(), true);
  }
  return bytes;
}

export const target: FuzzTarget = {
  name: 'balloon',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 1, 0, 0, 0, 0),
    Uint8Array.of(0, 0, 0, 0, 2, 0, 0, 2, 255, 1, 130, 9, 0, 255, 2, 130, 7, 0, 130, 1, 130, 2),
    Uint8Array.of(0, 0, 0, 0, 3, 0, 0, 1, 255, 2, 255, 1, 255, 3, 255, 2, 0, 4, 0, 0, 1, 255),
  ],
  open: () => new DeviceCase(new BalloonSpec()),
};
