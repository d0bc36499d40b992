/** virtio-console with three ports, and hosts that come, go, read and write. */
import { ConsoleDevice } from '../../../src/devices/virtio/console/console.js';
import {
  openConsolePorts,
  type ConsolePortHost,
} from '../../../src/devices/virtio/console/console-host.js';
import {
  CONTROL_RECEIVE,
  CONTROL_TRANSMIT,
} from '../../../src/devices/virtio/console/console-protocol.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import type { Piece } from './fuzz-ring.js';

const RING = 256;
const SHAPE = {
  ports: [{ isConsole: true }, { name: 'org.vexit.agent' }, { name: 'third' }],
  ringBytes: RING,
  doorbell: { ring: () => undefined },
};
/** Output of a port that nobody has taken: its ring, and emergency writes. */
const MOST_PENDING = RING + 1024;

class ConsoleSpec implements DeviceSpec<ConsoleDevice> {
  readonly device = new ConsoleDevice(SHAPE);
  private readonly scratch = new Uint8Array(RING).fill(7);
  private hosts: readonly ConsolePortHost[] | undefined;

  private hostOf(made: DeviceCase<ConsoleDevice>, port: number): ConsolePortHost {
    this.hosts ??= openConsolePorts(made.core, SHAPE);
    return this.hosts[port]!;
  }

  request(made: DeviceCase<ConsoleDevice>, input: Input, queue: number): Piece[] {
    if (queue === CONTROL_TRANSMIT) {
      const message = new Uint8Array(input.chance(16) ? input.below(16) : 8);
      const view = new DataView(message.buffer);
      if (message.length >= 8) {
        view.setUint32(0, input.chance(240) ? input.below(4) : input.word(), true);
        view.setUint16(4, input.below(9), true);
        view.setUint16(6, input.below(3), true);
      }
      return [made.readable(message)];
    }
    if (queue % 2 === 0) {
      const length = queue === CONTROL_RECEIVE ? 24 : 64;
      return [made.writable(input.chance(32) ? input.u8() : length)];
    }
    return [made.readable(input.take(input.below(input.chance(16) ? 4096 : 80)))];
  }

  host(made: DeviceCase<ConsoleDevice>, input: Input): void {
    const host = this.hostOf(made, input.below(3));
    switch (input.below(9)) {
      case 0:
        host.open();
        break;
      case 1:
        host.close();
        break;
      case 2:
      case 3:
        host.receive(this.scratch.subarray(0, input.u8()));
        break;
      case 4:
      case 5:
        host.drain(this.scratch.subarray(0, input.u8()));
        break;
      case 6:
        host.resize(input.word(), input.word());
        break;
      case 7:
        if (host.index > 0) host.unplug();
        break;
      default:
        host.plug();
    }
    must(host.pending <= MOST_PENDING, 'output is bounded');
    must(host.receiveSpace() <= RING, 'input is bounded');
  }

  finish(made: DeviceCase<ConsoleDevice>): void {
    for (let port = 0; port < 3; port++) {
      const host = this.hostOf(made, port);
      must(host.pending <= MOST_PENDING, 'output is bounded');
      host.plug();
      host.open();
      host.drain(this.scratch);
    }
  }

  works(made: DeviceCase<ConsoleDevice>): void {
    const host = this.hostOf(made, 0);
    for (let i = 0; host.drain(this.scratch) > 0; i++) must(i < 8, 'a reset ends output');
    made.ram.set32(HEALTH, 0x6f6c6c65);
    const used = made.ask(1, [{ address: HEALTH, length: 4, writable: false }]);
    must(used.length === 1, 'output is taken');
    must(host.drain(this.scratch) === 4 && this.scratch[0] === 0x65, 'output arrives');
  }
}

/** What Linux does first: buffers for control messages, DEVICE_READY, PORT_READY, PORT_OPEN. */
const BOOT = [
  ...[0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0],
  ...[0, 3, 0, 0, 255, 0, 0, 1, 0, 3, 0, 0, 255, 1, 3, 1, 0, 3, 0, 0, 255, 1, 6, 1],
];

export const target: FuzzTarget = {
  name: 'console',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(0, 0, 0, ...BOOT, 0, 5, 0, 0, 4, 1, 2, 3, 4, 130, 1, 4, 40),
    Uint8Array.of(0, 0, 0, ...BOOT, 0, 4, 0, 0, 130, 1, 2, 30, 130, 1, 1, 130, 1, 7, 130, 1, 8),
    Uint8Array.of(0, 2, 0, 0, 1, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 130, 0, 2, 9, 130, 0, 6, 1, 2),
    Uint8Array.of(0, 0, 0, 190, 108, 0, 0, 65, 190, 108, 0, 0, 66, 130, 0, 4, 9),
  ],
  open: () => new DeviceCase(new ConsoleSpec()),
};
