/** virtio-pmem: flushes that end whenever and however. */
import { PMEM_ALIGNMENT, PmemDevice } from '../../../src/devices/virtio/pmem/pmem.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import type { Piece } from './fuzz-ring.js';

class PmemSpec implements DeviceSpec<PmemDevice> {
  private readonly running: ((result: number) => void)[] = [];
  private mode = 0;
  readonly device = new PmemDevice({
    address: 0x4000_0000,
    size: PMEM_ALIGNMENT,
    flush: (done) => {
      must(this.running.length === 0, 'one flush at a time');
      if (this.mode === 1) done(0);
      else if (this.mode === 2) throw new Error('the file is gone');
      else this.running.push(done);
      return true;
    },
  });

  begin(made: DeviceCase<PmemDevice>): void {
    this.mode = 0;
    // A flush that has failed is not forgotten by a reset, but by power-on.
    made.core.state.fill(0);
  }

  request(made: DeviceCase<PmemDevice>, input: Input): Piece[] {
    const type = new Uint8Array(input.chance(32) ? input.below(9) : 4);
    if (input.chance(32)) type[0] = input.u8();
    return [made.readable(type), made.writable(input.chance(32) ? input.below(9) : 4)];
  }

  host(_: DeviceCase<PmemDevice>, input: Input): void {
    const action = input.u8();
    if (action < 160) this.running.shift()?.(action < 140 ? 0 : -5);
    else this.mode = action % 3;
  }

  finish(): void {
    this.mode = 0;
    while (this.running.length > 0) this.running.shift()!(0);
  }

  works(made: DeviceCase<PmemDevice>): void {
    this.begin(made);
    made.ram.set32(HEALTH + 64, 0x7777);
    made.rings[0]!.send([
      { address: HEALTH, length: 4, writable: false },
      { address: HEALTH + 64, length: 4, writable: true },
    ]);
    made.notify(0);
    made.pump();
    this.finish();
    made.pump();
    must(made.rings[0]!.take()[0] === 4, 'a flush is answered');
    must(made.ram.get32(HEALTH + 64) === 0, 'a flush succeeds');
  }
}

export const target: FuzzTarget = {
  name: 'pmem',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 130, 1, 0, 0, 0, 0, 0, 0, 130, 150),
    Uint8Array.of(0, 0, 0, 130, 161, 0, 0, 0, 0, 0, 0, 130, 162, 0, 0, 0, 0, 0, 0),
  ],
  open: () => new DeviceCase(new PmemSpec()),
};
