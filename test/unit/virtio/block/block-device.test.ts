/** The disk as a device: features, caches, limits, resets, sizes, and what is saved of it. */
import { MemoryBackend } from '../../../../src/block/memory-backend.js';
import { simpleBackend } from '../../../../src/block/simple-backend.js';
import { BlockDevice } from '../../../../src/devices/virtio/block/block-device.js';
import {
  BlockConfig as C,
  BlockFeature as F,
  BlockRequestType as T,
  BlockStatus as S,
} from '../../../../src/devices/virtio/block/block-layout.js';
import { Status } from '../../../../src/devices/virtio/constants.js';
import { MmioRegister as R } from '../../../../src/devices/virtio/mmio-registers.js';
import { pattern } from '../../block/backend-bench.js';
import { FakeRam } from '../fake-ram.js';
import { MmioBench, RING_BITS } from '../mmio-bench.js';
import { RingDriver } from '../ring-driver.js';
import {
  ALL,
  CAPACITY,
  DiskBench,
  HeldBackend,
  PENDING,
  USUAL,
  disk,
  ranges,
  type Sent,
} from './disk-bench.js';

const CONFIG = 0x100;

describe('features and configuration', () => {
  test('B-1, B-10: a writable disk offers what it can do, FLUSH with CONFIG_WCE', () => {
    const device = new BlockDevice({ capacity: CAPACITY });
    expect([...device.features].sort((a, b) => a - b)).toEqual([2, 6, 9, 10, 11, 13, 14]);
    const many = new BlockDevice({ capacity: CAPACITY, queues: 4, sizeMax: 65536, readOnly: true });
    expect([...many.features].sort((a, b) => a - b)).toEqual([1, 2, 5, 6, 9, 10, 11, 12]);
    expect(many.queueSizes).toHaveLength(4);
  });

  test('B-8: an unsafe disk offers no FLUSH', () => {
    const made = disk({ cache: 'unsafe' }, RING_BITS);
    expect(made.offered()).not.toContain(F.Flush);
    expect(made.offered()).not.toContain(F.ConfigWce);
    const flush = made.send(T.Flush, 0);
    expect(made.statusOf(flush)).toBe(S.Unsupported);
    made.send(T.Out, 0, { out: pattern(512, 1) });
    expect(made.backend.calls).toMatchObject([{ name: 'write', stable: false }]);
  });

  test('G-8: every field can be read before negotiation, B-3: padding is zero', () => {
    const made = new DiskBench(new HeldBackend(CAPACITY), {
      blockSize: 4096,
      queues: 2,
      sizeMax: 65536,
      topology: { physicalBlockSize: 16384, minimumIo: 65536, optimalIo: 2 ** 20 },
    });
    const field = (at: C, size: 1 | 2 | 4 = 4): number => made.get(CONFIG + at, size);
    expect(field(C.Capacity)).toBe(CAPACITY / 512);
    expect(field(C.Capacity + 4)).toBe(0);
    expect(field(C.SizeMax)).toBe(65536);
    expect(field(C.SegMax)).toBe(254);
    expect(field(16 as C)).toBe(0);
    expect(field(C.BlockSize)).toBe(4096);
    expect(field(C.PhysicalBlockExponent, 1)).toBe(2);
    expect(field(C.AlignmentOffset, 1)).toBe(0);
    expect(field(C.MinimumIo, 2)).toBe(16);
    expect(field(C.OptimalIo)).toBe(256);
    expect(field(C.Writeback, 1)).toBe(1);
    expect(field((C.Writeback + 1) as C, 1)).toBe(0);
    expect(field(C.QueueCount, 2)).toBe(2);
    expect(field(C.MaxDiscardSectors)).toBe(2 ** 22);
    expect(field(C.MaxDiscardSegments)).toBe(16);
    expect(field(C.DiscardAlignment)).toBe(32);
    expect(field(C.WriteZeroesMayUnmap, 1)).toBe(1);
    for (const at of [57, 58, 59, 60, 64]) expect(made.get(CONFIG + at, 1)).toBe(0);
  });

  test('A18: the capacity and the rest are read-only', () => {
    const made = disk();
    for (let at = 0; at < 64; at++) {
      if (at !== C.Writeback) made.set(CONFIG + at, 0xff, 1);
    }
    made.set(CONFIG + C.Writeback, 0, 4);
    made.set(CONFIG + C.Writeback, 2, 1);
    expect(made.get(CONFIG + C.Capacity)).toBe(CAPACITY / 512);
    expect(made.get(CONFIG + C.Writeback, 1)).toBe(1);
  });

  test.each([
    [{ capacity: 1000 }],
    [{ capacity: NaN }],
    [{ serial: 'x'.repeat(21) }],
    [{ serial: 'ü' }],
    [{ queues: 0 }],
    [{ queues: 65 }],
    [{ queueSize: 100 }],
    [{ queueSize: 2 }],
    [{ blockSize: 1000 }],
    [{ blockSize: 4096, topology: { physicalBlockSize: 512 } }],
    [{ depth: 0 }],
    [{ byteLimit: { perSecond: 0, burst: 1 } }],
  ])('%j is refused', (options) => {
    const make = (): unknown => new MmioBench(new BlockDevice({ capacity: CAPACITY, ...options }));
    expect(make).toThrow(RangeError);
  });
});

describe('stable writes', () => {
  function stability(made: DiskBench): boolean {
    made.backend.calls.length = 0;
    made.send(T.Out, 0, { out: pattern(512, 1) });
    made.finish();
    return made.backend.calls[0]!.stable;
  }

  test('B-7 (a): neither FLUSH nor CONFIG_WCE negotiated', () => {
    expect(stability(disk({}, RING_BITS))).toBe(true);
  });

  test('B-7 (b), E8: writeback is 0; it can be changed while requests are in flight', () => {
    const made = disk();
    expect(stability(made)).toBe(false);
    made.send(T.Out, 0, { out: pattern(512, 1) });
    made.set(CONFIG + C.Writeback, 0, 1);
    made.finish();
    expect(made.get(CONFIG + C.Writeback, 1)).toBe(0);
    expect(stability(made)).toBe(true);
    made.set(CONFIG + C.Writeback, 1, 1);
    expect(stability(made)).toBe(false);
    made.start(ALL);
    expect(made.get(CONFIG + C.Writeback, 1)).toBe(1);
  });

  test('B-7 (c): with FLUSH a write is volatile until the flush has ended', () => {
    const made = disk({}, [...RING_BITS, F.Flush]);
    expect(stability(made)).toBe(false);
    const flush = made.send(T.Flush, 0);
    expect(made.statusOf(flush)).toBe(PENDING);
    made.finish();
    expect(made.statusOf(flush)).toBe(S.Ok);
  });

  test('B-7: write zeroes follows the same rules', () => {
    const made = disk({}, [...RING_BITS, F.WriteZeroes]);
    made.send(T.WriteZeroes, 0, { out: ranges({ sector: 0, count: 1 }) });
    expect(made.backend.calls).toMatchObject([{ name: 'zero', stable: true }]);
  });

  test('B-2: CONFIG_WCE without FLUSH begins with writeback 0', () => {
    const made = disk({}, [...RING_BITS, F.ConfigWce]);
    expect(made.get(CONFIG + C.Writeback, 1)).toBe(0);
    expect(stability(made)).toBe(true);
    made.set(CONFIG + C.Writeback, 1, 1);
    expect(made.get(CONFIG + C.Writeback, 1)).toBe(1);
    expect(stability(made)).toBe(false);
  });

  test('writethrough is stable whatever the driver wants', () => {
    const made = disk({ cache: 'writethrough' });
    expect(made.get(CONFIG + C.Writeback, 1)).toBe(0);
    made.set(CONFIG + C.Writeback, 1, 1);
    expect(stability(made)).toBe(true);
  });
});

describe('back-pressure', () => {
  test('E9: a thousand requests: no more in flight than the depth, and all are answered', () => {
    const made = disk({ depth: 16 });
    let most = 0;
    const sent: Sent[] = [];
    for (let round = 0; round < 25; round++) {
      for (let i = 0; i < 40; i++) sent.push(made.send(T.In, i, { room: 512, notify: i === 39 }));
      for (let left = 1; left > 0; left = made.backend.waiting.length) {
        most = Math.max(most, made.backend.waiting.length);
        made.backend.end(made.backend.waiting.length - 1);
        made.device.deliver();
      }
      expect(made.used()).toHaveLength(40);
    }
    expect(most).toBe(16);
    expect(made.device.statistics).toMatchObject({ reads: 1000, inFlight: 0 });
  });

  test('a backend that is full gets the same requests again, once each', () => {
    const made = disk();
    made.backend.limit = 2;
    const sent = [0, 1, 2, 3, 4].map((i) => made.send(T.Out, i, { out: pattern(512, i) }));
    expect(made.backend.calls).toHaveLength(2);
    made.notify(0);
    expect(made.backend.calls).toHaveLength(2);
    made.finish();
    expect(made.backend.calls.map(({ offset }) => offset / 512)).toEqual([0, 1, 2, 3, 4]);
    expect(sent.map((one) => made.statusOf(one))).toEqual(sent.map(() => S.Ok));
  });

  test('one that is full with nothing in flight says when it has room', async () => {
    const made = disk();
    made.backend.limit = 0;
    const sent = made.send(T.In, 0, { room: 512 });
    made.backend.limit = 1;
    made.backend.real.retry();
    await Promise.resolve();
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
  });

  test('ranges whose turn finds the backend full are done later', () => {
    const made = disk();
    made.backend.limit = 1;
    const list = ranges({ sector: 0, count: 1 }, { sector: 1, count: 1 });
    const first = made.send(T.Discard, 0, { out: list });
    made.backend.limit = 0;
    made.backend.end();
    made.device.deliver();
    expect(made.statusOf(first)).toBe(PENDING);
    made.backend.limit = 1;
    made.backend.real.retry();
    made.device.deliver();
    made.finish();
    expect(made.statusOf(first)).toBe(S.Ok);
  });

  test('queues that wait are served in turns', () => {
    const made = disk({ queues: 3, depth: 2 }, [...ALL, F.Multiqueue]);
    const order: number[] = [];
    for (let i = 0; i < 4; i++) {
      for (let queue = 0; queue < 3; queue++)
        made.send(T.In, queue * 100 + i, { room: 512, queue });
    }
    while (made.backend.waiting.length > 0) {
      made.backend.end();
      made.device.deliver();
    }
    for (const { offset } of made.backend.calls) order.push(Math.floor(offset / 51200));
    expect(order).toHaveLength(12);
    // Nobody has got all of its requests done before another has begun.
    expect(new Set(order.slice(0, 6)).size).toBe(3);
    expect([0, 1, 2].map((queue) => made.used(queue).length)).toEqual([4, 4, 4]);
  });

  test('the backend is told when a batch is complete, once for many requests', () => {
    const made = disk();
    const { submits } = made.backend;
    for (let i = 0; i < 10; i++) made.send(T.In, i, { room: 512, notify: i === 9 });
    expect(made.backend.submits - submits).toBe(1);
  });
});

describe('rate limits', () => {
  /** Requests as fast as they are answered, for some seconds of a made-up clock. */
  function flood(options: object, length: number, seconds: number): number {
    let now = 0;
    const made = disk(options, ALL, { now: () => now });
    let done = 0;
    for (; now < seconds * 1000; now++) {
      const ring = made.rings[0]!;
      while (((ring.availableIndex - ring.usedIndex) & 0xffff) < 8) {
        made.send(T.In, 0, { room: length, notify: false });
      }
      made.core.serve(0);
      made.backend.endAll();
      made.device.deliver();
      done += made.used().length;
    }
    return done;
  }

  test('bytes a second, within 5 %', () => {
    const perSecond = 1_000_000;
    const bytes = flood({ byteLimit: { perSecond, burst: perSecond / 10 } }, 4096, 10) * 4096;
    expect(bytes / 10 / perSecond).toBeGreaterThan(0.95);
    expect(bytes / 10 / perSecond).toBeLessThan(1.05);
  });

  test('requests larger than the burst pass, at the rate', () => {
    const perSecond = 100_000;
    const bytes = flood({ byteLimit: { perSecond, burst: 1000 } }, 4096, 20) * 4096;
    expect(bytes / 20 / perSecond).toBeGreaterThan(0.95);
    expect(bytes / 20 / perSecond).toBeLessThan(1.05);
  });

  test('operations a second, within 5 %', () => {
    const operations = flood({ operationLimit: { perSecond: 200, burst: 20 } }, 512, 10);
    expect(operations).toBeGreaterThan(1900);
    expect(operations).toBeLessThan(2100);
  });

  test('a request that has to wait is in the ring, and asks for a turn', () => {
    const made = disk({ operationLimit: { perSecond: 10, burst: 1 } });
    made.send(T.In, 0, { room: 512 });
    made.send(T.In, 1, { room: 512 });
    expect(made.backend.calls).toHaveLength(1);
    expect(made.later).toEqual([{ index: 0, milliseconds: 100 }]);
    expect(made.device.statistics.throttled).toBe(1);
    made.finish();
    expect(made.device.drained).toBe(true);
  });

  test('a request that the backend refuses costs nothing', () => {
    const made = disk({ operationLimit: { perSecond: 10, burst: 1 } });
    made.backend.limit = 0;
    const sent = made.send(T.In, 0, { room: 512 });
    made.backend.limit = 1;
    made.backend.real.retry();
    made.device.deliver();
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
  });
});

describe('resets', () => {
  test('E9: requests in flight end without effect, and the disk works again', () => {
    const made = disk();
    for (let i = 0; i < 20; i++) made.send(T.Out, i, { out: pattern(512, i) });
    made.set(R.Status, 0);
    expect(made.status).not.toBe(0);
    made.backend.endAll();
    made.device.deliver();
    expect(made.status).toBe(0);
    expect(made.used()).toEqual([]);
    expect(made.device.drained).toBe(true);
    made.start(ALL);
    const sent = made.send(T.In, 3, { room: 512 });
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
    expect(made.used()).toEqual([513]);
  });

  /** A disk with a thousand reads of the second half in flight, five hundred in each queue. */
  function thousand(): DiskBench {
    const made = disk({ depth: 1000, queues: 2, queueSize: 512 });
    [0x10000, 0x20000].forEach((base, i) => {
      const place = { descriptors: base, driver: base + 0x2000, device: base + 0x2800 };
      made.rings[i] = new RingDriver(made.ram, 512, place);
    });
    made.start([...ALL, F.Multiqueue]);
    made.header(0x40000, T.In, 1000);
    for (let i = 0; i < 1000; i++) {
      const ring = made.rings[i % 2]!;
      // By a table each, so that the rings have room.
      const request = [
        { address: 0x40000, length: 16 },
        { address: 0x40100, length: 512, writable: true },
        { address: 0x40300, length: 1, writable: true },
      ];
      ring.offer(ring.indirect(0x30000 + 64 * i, request));
    }
    for (const queue of [0, 1]) while (made.core.serve(queue)) continue;
    expect(made.backend.waiting).toHaveLength(1000);
    return made;
  }

  test('E9: a thousand requests in flight, and a reset', () => {
    const made = thousand();
    made.set(R.Status, 0);
    expect(made.status).not.toBe(0);
    while (made.backend.waiting.length > 0) {
      expect(made.status).not.toBe(0);
      made.backend.end(made.backend.waiting.length - 1);
      made.device.deliver();
    }
    expect(made.status).toBe(0);
    expect([...made.used(0), ...made.used(1)]).toEqual([]);
    made.start(ALL);
    const sent = made.send(T.In, 3, { room: 512 });
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
  });

  test('E9: a thousand requests in flight, and a size that leaves them outside', async () => {
    const made = thousand();
    const resized = made.device.resize(CAPACITY / 2);
    await Promise.resolve();
    expect(made.backend.capacity).toBe(CAPACITY);
    made.finish();
    await resized;
    expect([...made.used(0), ...made.used(1)]).toEqual(Array(1000).fill(513));
    expect(made.ram.get(0x40300, 1)).toBe(S.Ok);
    const after = made.send(T.In, 1000, { room: 512 });
    expect(made.statusOf(after)).toBe(S.IoError);
  });

  test('a request that waited for room is forgotten by a reset', () => {
    const made = disk({ depth: 1 });
    made.send(T.In, 0, { room: 512 });
    made.send(T.In, 1, { room: 512 });
    made.set(R.Status, 0);
    made.finish();
    expect(made.backend.calls).toHaveLength(1);
    expect(made.status).toBe(0);
  });
});

describe('sizes', () => {
  test('E11: a smaller disk tells the driver, and refuses what is behind its end', () => {
    const made = disk();
    made.acknowledge();
    const before = made.send(T.In, 1000, { room: 512 });
    const generation = made.get(R.ConfigGeneration);
    made.device.setCapacity(CAPACITY / 2);
    expect(made.acknowledge()).toBe(2);
    expect(made.get(R.ConfigGeneration)).not.toBe(generation);
    expect(made.get(CONFIG + C.Capacity)).toBe(CAPACITY / 1024);
    const after = made.send(T.In, 1000, { room: 512 });
    made.finish();
    expect([made.statusOf(before), made.statusOf(after)]).toEqual([S.Ok, S.IoError]);
  });

  test('resize changes the backend, then the device; smaller, when nothing is in flight', async () => {
    const made = disk();
    await made.device.resize(2 * CAPACITY);
    expect(made.backend.capacity).toBe(2 * CAPACITY);
    const sent = made.send(T.In, CAPACITY / 512, { room: 512 });
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
    const waiting = made.send(T.In, 0, { room: 512 });
    const resized = made.device.resize(CAPACITY / 2);
    await Promise.resolve();
    expect(made.backend.capacity).toBe(2 * CAPACITY);
    made.finish();
    await resized;
    expect(made.statusOf(waiting)).toBe(S.Ok);
    expect(made.backend.capacity).toBe(CAPACITY / 2);
    expect(made.device.capacity).toBe(CAPACITY / 2);
  });

  test('a backend that has another size says so', async () => {
    const made = disk();
    made.backend.real.resized(4096);
    await Promise.resolve();
    expect(made.device.capacity).toBe(4096);
  });

  test('another thread sees the capacity, and can change it', () => {
    const made = disk();
    const main = new MmioBench(
      new BlockDevice({ capacity: CAPACITY }),
      {},
      made.ram,
      made.registers,
    );
    main.device.setCapacity(8192);
    expect(made.device.capacity).toBe(8192);
    expect(main.device.statistics).toEqual(made.device.statistics);
    expect(() => main.device.setCapacity(1000)).toThrow(RangeError);
  });

  test('a thread without a backend does not serve', () => {
    const main = new MmioBench(new BlockDevice({ capacity: CAPACITY })).start(USUAL);
    main.notify(0);
    expect(main.status & Status.NeedsReset).not.toBe(0);
  });
});

describe('state', () => {
  test('the blocks of a held disk are all of it: another goes on in the middle of traffic', async () => {
    const made = disk({ depth: 4, serial: 'one' });
    made.set(CONFIG + C.Writeback, 0, 1);
    const sent: Sent[] = [];
    for (let i = 0; i < 20; i++) sent.push(made.send(T.Out, i, { out: pattern(512, i) }));
    const held = made.device.hold();
    expect(made.device.drained).toBe(false);
    made.finish();
    await held;
    expect(made.device.drained).toBe(true);
    const before = made.used().length;
    expect(before).toBe(4);

    const backend = new HeldBackend(CAPACITY);
    Object.assign(backend, { chunks: Reflect.get(made.backend, 'chunks') as unknown });
    const copy = new DiskBench(backend, { depth: 4, serial: 'one' }, { ram: made.ram });
    copy.registers.restore(made.registers.save());
    copy.rings[0]!.availableIndex = made.rings[0]!.availableIndex;
    copy.rings[0]!.usedIndex = made.rings[0]!.usedIndex;
    expect(copy.get(CONFIG + C.Writeback, 1)).toBe(0);
    copy.notify(0);
    copy.finish();
    expect(copy.used().length + before).toBe(20);
    expect(sent.map((one) => copy.statusOf(one))).toEqual(sent.map(() => S.Ok));
    expect(copy.device.statistics).toMatchObject({ writes: 20, writeBytes: 20 * 512, inFlight: 0 });
    for (let i = 0; i < 20; i++) {
      const read = copy.send(T.In, i, { room: 512 });
      copy.finish();
      expect(Buffer.from(copy.ram.read(read.data, 512)).equals(pattern(512, i))).toBe(true);
    }
  });

  test('S-9: after completions the driver is asked for kicks, held in between or not', async () => {
    const made = disk();
    const ring = made.rings[0]!;
    made.send(T.In, 0, { room: 512, notify: false });
    made.core.serve(0, true);
    made.finish();
    expect(ring.availableEvent).toBe(1);
    made.send(T.In, 0, { room: 512, notify: false });
    made.core.serve(0, true);
    const held = made.device.hold();
    made.finish();
    await held;
    made.device.release();
    expect(ring.availableEvent).toBe(2);
  });

  test('release goes on where hold stopped', async () => {
    const made = disk();
    await made.device.hold();
    const sent = made.send(T.In, 0, { room: 512 });
    expect(made.backend.calls).toEqual([]);
    made.device.release();
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
  });

  test('close waits for what is in flight', async () => {
    const made = disk();
    made.send(T.In, 0, { room: 512 });
    const closed = made.device.close();
    await Promise.resolve();
    expect(made.backend.closed).toBe(false);
    made.finish();
    await closed;
    expect(made.backend.closed).toBe(true);
  });

  test('a restored lock of the limits that nobody holds does not stop the disk', () => {
    const made = disk({ operationLimit: { perSecond: 1e6, burst: 1000 } });
    // LimitLock, behind the configuration space.
    new Int32Array(made.registers.state.buffer, made.registers.state.byteOffset)[18] = 1;
    const sent = made.send(T.In, 0, { room: 512 });
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
  });
});

describe('backends', () => {
  test('one that ends requests within the call', () => {
    const made = new DiskBench(new MemoryBackend(CAPACITY), { depth: 1 });
    made.start(ALL);
    const sent = Array.from({ length: 10 }, (_, i) => {
      return made.send(T.Out, i, { out: pattern(512, i), notify: i === 9 });
    });
    expect(sent.map((one) => made.statusOf(one))).toEqual(sent.map(() => S.Ok));
    expect(made.used()).toHaveLength(10);
    const zero = made.send(T.WriteZeroes, 0, {
      out: ranges({ sector: 0, count: 1 }, { sector: 2, count: 1 }, { sector: 4, count: 1 }),
    });
    expect(made.statusOf(zero)).toBe(S.Ok);
    expect(made.device.statistics).toMatchObject({ writes: 10, writeZeroes: 1, inFlight: 0 });
  });

  test('a simple one, whose reads are promises', async () => {
    const content = pattern(CAPACITY, 1);
    const flushes: number[] = [];
    const made = new DiskBench(
      simpleBackend({
        size: CAPACITY,
        read: (offset, buffer) => Promise.resolve(void content.copy(buffer, 0, offset)),
        write: (offset, buffer) => Promise.resolve(void buffer.copy(content, offset)),
        flush: () => Promise.resolve(void flushes.push(1)),
      }),
    );
    made.start(ALL);
    const sent = [
      made.send(T.In, 5, { room: 1024 }),
      made.send(T.Out, 9, { out: pattern(512, 7) }),
      made.send(T.WriteZeroes, 0, { out: ranges({ sector: 1, count: 2 }) }),
      made.send(T.Discard, 0, { out: ranges({ sector: 1, count: 2 }) }),
      made.send(T.Flush, 0),
    ];
    while (!made.device.drained) await new Promise((resolve) => setImmediate(resolve));
    expect(sent.map((one) => made.statusOf(one))).toEqual(sent.map(() => S.Ok));
    const bytes = Buffer.from(made.ram.read(sent[0]!.data, 1024));
    expect(bytes.equals(pattern(CAPACITY, 1).subarray(2560, 3584))).toBe(true);
    expect(content.subarray(9 * 512, 10 * 512).equals(pattern(512, 7))).toBe(true);
    expect(content.subarray(512, 1536).equals(Buffer.alloc(1024))).toBe(true);
    expect(flushes).toHaveLength(1);
  });

  test('a simple one that fails, and one that cannot be written', async () => {
    const backend = simpleBackend({
      size: CAPACITY,
      read: () => Promise.reject(Object.assign(new Error('no route'), { code: 'ENETUNREACH' })),
    });
    expect(backend.readOnly).toBe(true);
    const made = new DiskBench(backend, { readOnly: backend.readOnly });
    made.start([...USUAL, F.ReadOnly]);
    const sent = made.send(T.In, 5, { room: 1024 });
    while (!made.device.drained) await new Promise((resolve) => setImmediate(resolve));
    expect(made.statusOf(sent)).toBe(S.IoError);
    expect(made.lines.join('\n')).toMatch(/no route[^]*ENETUNREACH/);
    expect(() => simpleBackend({ size: 100, read: () => Promise.resolve() })).toThrow(RangeError);
  });

  test('memory of a disk in memory is what has been written', () => {
    const backend = new MemoryBackend(2 ** 40);
    const made = new DiskBench(backend, {}, { ram: new FakeRam() });
    made.start(ALL);
    made.send(T.Out, 2 ** 30, { out: pattern(512, 1) });
    expect(backend.used).toBe(65536);
    made.send(T.Discard, 0, { out: ranges({ sector: 2 ** 30, count: 128 }) });
    expect(backend.used).toBe(0);
  });
});
