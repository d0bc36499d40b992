/** virtio-rng. */
import { RngDevice } from '../../../src/devices/virtio/rng/rng.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import type { Piece } from './fuzz-ring.js';

class RngSpec implements DeviceSpec<RngDevice> {
  private time = 0;
  readonly device = new RngDevice({
    fill: (bytes) => void bytes.fill(7),
    limit: { perSecond: 65536, burst: 8192 },
    now: () => this.time,
  });

  request(made: DeviceCase<RngDevice>, input: Input): Piece[] {
    const pieces = [made.writable(input.u16() & 0x1fff)];
    if (input.chance(64)) pieces.unshift(made.readable(input.take(4)));
    return pieces;
  }

  /** Time passes. */
  host(_: DeviceCase<RngDevice>, input: Input): void {
    this.time += input.word() % 2000;
  }

  works(made: DeviceCase<RngDevice>): void {
    this.time += 1000;
    made.wake();
    const used = made.ask(0, [{ address: HEALTH, length: 8, writable: true }]);
    must(used.length === 1 && used[0] === 8, 'there is randomness');
  }
}

export const target: FuzzTarget = {
  name: 'rng',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 31, 130, 200, 0, 0, 0, 0, 1, 64, 31),
    Uint8Array.of(0, 0, 0, 0, 0, 2, 64, 0, 200, 1, 2, 3, 4, 225, 240),
  ],
  open: () => new DeviceCase(new RngSpec()),
};
