/** virtio-blk over a backend that ends requests when and how the case says. */
import { BlockDevice } from '../../../src/devices/virtio/block/block-device.js';
import {
  BlockRequestType as T,
  BlockStatus,
} from '../../../src/devices/virtio/block/block-layout.js';
import { HeldBackend } from '../../unit/virtio/block/disk-bench.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import type { Piece } from './fuzz-ring.js';

const CAPACITY = 256 * 1024;
const DEPTH = 6;
const TYPES = [T.In, T.Out, T.Flush, T.GetId, T.Discard, T.WriteZeroes] as const;

class BlockSpec implements DeviceSpec<BlockDevice> {
  private readonly backend = new HeldBackend(CAPACITY);
  private time = 0;
  readonly device = new BlockDevice(
    {
      capacity: CAPACITY,
      queues: 2,
      depth: DEPTH,
      serial: 'fuzz',
      operationLimit: { perSecond: 1000, burst: 64 },
    },
    this.backend,
    () => this.time,
  );

  begin(): void {
    this.time += 1000;
    this.backend.limit = Infinity;
    this.device.release();
  }

  request(made: DeviceCase<BlockDevice>, input: Input): Piece[] {
    const type = input.chance(16) ? input.word() : input.pick(TYPES);
    const header = new Uint8Array(16);
    const view = new DataView(header.buffer);
    view.setUint32(0, type, true);
    view.setBigUint64(8, sector(input), true);
    if (input.chance(8)) return [made.readable(header.subarray(0, input.below(16)))];
    const pieces = [made.readable(header)];
    const length = input.chance(32) ? input.u16() & 0x7ff : 512 * input.below(8);
    if (type === (T.Discard as number) || type === (T.WriteZeroes as number)) {
      pieces.push(made.readable(ranges(input)));
    } else if (type === (T.Out as number)) {
      pieces.push({ address: made.place(length), length, writable: false });
    } else if (type !== (T.Flush as number)) {
      pieces.push(made.writable(type === (T.GetId as number) ? input.below(40) : length));
    }
    if (!input.chance(8)) pieces.push(made.writable(1));
    return pieces;
  }

  host(made: DeviceCase<BlockDevice>, input: Input): void {
    const { backend } = this;
    const { device } = made;
    switch (input.below(9)) {
      case 0:
      case 1:
      case 2:
        for (let i = 1 + input.below(4); i > 0 && backend.waiting.length > 0; i--) {
          const error = input.chance(40) ? input.pick([-5, -28, NaN]) : undefined;
          backend.end(input.below(backend.waiting.length), error);
        }
        device.deliver();
        break;
      case 3:
        backend.limit = input.pick([Infinity, 0, 1, 3]);
        break;
      case 4:
        backend.real.retry();
        break;
      case 5:
        void device.hold();
        break;
      case 6:
        device.release();
        break;
      case 7:
        backend.real.complete(DEPTH + input.below(200), 0);
        break;
      default:
        this.time += input.u8();
    }
    this.check();
  }

  /** What the backend has been asked for lies on the disk, in whole sectors. */
  private check(): void {
    const { calls, waiting } = this.backend;
    for (const { offset, length } of calls) {
      must(offset % 512 === 0 && length % 512 === 0, 'whole sectors');
      must(offset >= 0 && offset + length <= CAPACITY, 'on the disk');
    }
    calls.length = 0;
    must(waiting.length <= DEPTH, 'no more in flight than the depth');
  }

  finish(made: DeviceCase<BlockDevice>): void {
    const { backend } = this;
    const { device } = made;
    this.check();
    this.time += 1000;
    backend.limit = Infinity;
    backend.real.retry();
    device.deliver();
    device.release();
    for (let rounds = 0; backend.waiting.length > 0; rounds++) {
      must(rounds < 1000, 'requests end');
      backend.endAll();
      device.deliver();
    }
    made.wake();
    this.check();
  }

  works(made: DeviceCase<BlockDevice>): void {
    this.finish(made);
    must(made.device.drained, 'nothing is in flight');
    must(made.device.statistics.inFlight === 0, 'nothing is counted as in flight');
    made.rings[0]!.take();
    made.ram.set8(HEALTH + 1024, 0x77);
    made.rings[0]!.send([
      { address: HEALTH, length: 16, writable: false },
      { address: HEALTH + 512, length: 512, writable: true },
      { address: HEALTH + 1024, length: 1, writable: true },
    ]);
    made.notify(0);
    made.pump();
    this.finish(made);
    must(made.rings[0]!.take()[0] === 513, 'a read is answered');
    must(made.ram.bytes[HEALTH + 1024] === BlockStatus.Ok, 'a read succeeds');
  }
}

function sector(input: Input): bigint {
  return input.chance(24) ? input.long() : BigInt(input.u16() % (CAPACITY / 512 + 4));
}

function ranges(input: Input): Uint8Array {
  const count = input.below(19);
  const bytes = new Uint8Array(16 * count + (input.chance(8) ? input.below(16) : 0));
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    view.setBigUint64(16 * i, sector(input), true);
    view.setUint32(16 * i + 8, input.chance(24) ? input.word() : input.below(64), true);
    view.setUint32(16 * i + 12, input.chance(24) ? input.word() : input.below(2), true);
  }
  return bytes;
}

const END = [130, 0, 3, 0, 0, 0, 0];

export const target: FuzzTarget = {
  name: 'block',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 2, 0, ...END),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 3, 0, ...END),
    Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, ...END),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 20, 0),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 2, 0, 0, 4, 0, 0, 8, 0, 0, ...END),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4, 0, 0, 8, 0, 1, ...END),
  ],
  open: () => new DeviceCase(new BlockSpec()),
};
