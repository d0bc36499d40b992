/** virtio-pmem: where the region is, and flushes that mean something. */
import {
  PMEM_ALIGNMENT,
  PmemDevice,
  pmemRegionBytes,
  type PmemFlush,
} from '../../../src/devices/virtio/pmem/pmem.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import type { CoreOptions } from '../../../src/devices/virtio/queue-runner.js';
import { FakeRam } from './fake-ram.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

const ADDRESS = 0x2_4000_0000;
const SIZE = 64 * PMEM_ALIGNMENT;
const REQUEST = 0x40000;
const ANSWERS = 0x50000;
const UNTOUCHED = 0x7777_7777;
const FAILURE = 0xffff_ffff;
const EIO = -5;

/** Flushes that end when the test says so. */
class Flusher {
  readonly running: ((result: number) => void)[] = [];
  started = 0;
  accepts = true;
  readonly flush: PmemFlush = (done) => {
    if (this.accepts) this.running.push(done);
    if (this.accepts) this.started++;
    return this.accepts;
  };
  end(result = 0): void {
    this.running.shift()!(result);
  }
}

class PmemBench extends MmioBench<PmemDevice> {
  constructor(
    readonly flusher?: Flusher,
    options: CoreOptions = {},
    ram = new FakeRam(),
    flush: PmemFlush | undefined = flusher?.flush,
  ) {
    super(new PmemDevice({ address: ADDRESS, size: SIZE, ...(flush && { flush }) }), options, ram);
  }

  /** The n-th request; its answer goes to a place of its own. */
  request(n: number, type = 0): this {
    this.ram.set(REQUEST + 4 * n, 4, type);
    this.ram.set(ANSWERS + 4 * n, 4, UNTOUCHED);
    this.rings[0]!.send(
      { address: REQUEST + 4 * n, length: 4 },
      { address: ANSWERS + 4 * n, length: 4, writable: true },
    );
    this.notify(0);
    return this;
  }

  answers(count: number): number[] {
    return Array.from({ length: count }, (_, n) => this.ram.get(ANSWERS + 4 * n, 4));
  }

  /** How many requests have come back. */
  used(): number {
    return this.rings[0]!.take().length;
  }
}

describe('configuration', () => {
  test('start and size, read-only, and no shared memory region (G-5)', () => {
    const bench = new PmemBench();
    expect(bench.get(R.DeviceId)).toBe(27);
    expect(bench.offered()).toEqual([28, 29, 32, 40]);
    const words = (): number[] => [0, 4, 8, 12].map((offset) => bench.get(R.Config + offset));
    const expected = [ADDRESS % 2 ** 32, Math.floor(ADDRESS / 2 ** 32), SIZE, 0];
    expect(words()).toEqual(expected);
    for (let offset = 0; offset < 16; offset += 4) bench.set(R.Config + offset, 0xffff_ffff);
    expect(words()).toEqual(expected);
    bench.set(R.ShmSel, 0);
    expect(bench.get(R.ShmLenLow)).toBe(0xffff_ffff);
  });

  test.each([
    [ADDRESS + 4096, SIZE],
    [ADDRESS, SIZE + 4096],
    [ADDRESS, 0],
    [-PMEM_ALIGNMENT, SIZE],
    [NaN, SIZE],
    [ADDRESS, Infinity],
    [2 ** 53, SIZE],
  ])('a region at %d of %d bytes is refused', (address, size) => {
    expect(() => new PmemDevice({ address, size })).toThrow(RangeError);
  });

  test.each([
    [0, PMEM_ALIGNMENT],
    [1, PMEM_ALIGNMENT],
    [PMEM_ALIGNMENT, PMEM_ALIGNMENT],
    [PMEM_ALIGNMENT + 1, 2 * PMEM_ALIGNMENT],
    [5e9, 2385 * PMEM_ALIGNMENT],
  ])('%d bytes of content need a region of %d', (content, region) => {
    expect(pmemRegionBytes(content)).toBe(region);
  });
});

describe('flush', () => {
  test('a region without a flush answers at once', () => {
    const bench = new PmemBench().start().request(0).request(1);
    expect(bench.used()).toBe(2);
    expect(bench.answers(2)).toEqual([0, 0]);
  });

  test('the answer comes when the flush has ended', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start().request(0);
    expect(flusher.started).toBe(1);
    expect(bench.used()).toBe(0);
    expect(bench.answers(1)).toEqual([UNTOUCHED]);
    flusher.end();
    expect(bench.rings[0]!.take()).toEqual([{ id: 0, length: 4 }]);
    expect(bench.answers(1)).toEqual([0]);
    expect(bench.acknowledge()).toBe(1);
  });

  test('requests that come during a flush share the next one', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start();
    for (let n = 0; n < 10; n++) bench.request(n);
    expect(flusher.running).toHaveLength(1);
    flusher.end();
    expect(bench.used()).toBe(1);
    expect(flusher.running).toHaveLength(1);
    flusher.end();
    expect(bench.used()).toBe(9);
    expect(bench.answers(10)).toEqual(Array(10).fill(0));
    expect(flusher.started).toBe(2);
    expect(flusher.running).toHaveLength(0);
  });

  test('C23: a full ring, again and again, is one flush after the other', () => {
    const flusher = new Flusher();
    const later: number[] = [];
    const processLater = (index: number): void => void later.push(index);
    const bench = new PmemBench(flusher, { processLater }).start();
    let done = 0;
    for (let round = 0; round < 50; round++) {
      while (bench.rings[0]!.availableIndex - bench.rings[0]!.usedIndex < 32) {
        bench.request(bench.rings[0]!.availableIndex % 32);
      }
      expect(flusher.running).toHaveLength(1);
      flusher.end();
      for (; later.length > 0; later.shift()) bench.core.serve(0);
      done += bench.used();
    }
    expect(done).toBeGreaterThan(700);
  });

  test('a flush that ends at once is fine too, and nothing is left behind', () => {
    let flushes = 0;
    const flush: PmemFlush = (done) => {
      flushes++;
      done(0);
      return true;
    };
    const bench = new PmemBench(undefined, {}, undefined, flush).start();
    for (let n = 0; n < 32; n++) {
      bench.rings[0]!.send(
        { address: REQUEST, length: 4 },
        { address: ANSWERS, length: 4, writable: true },
      );
    }
    bench.notify(0);
    expect(bench.used()).toBe(32);
    expect(flushes).toBe(1);
    bench.request(0);
    expect(bench.used()).toBe(1);
  });

  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

  test('one that cannot be accepted is tried again', async () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start();
    flusher.accepts = false;
    bench.request(0).request(1);
    await settled();
    expect(bench.used()).toBe(0);
    flusher.accepts = true;
    while (flusher.started === 0) await settled();
    flusher.end();
    expect(bench.used()).toBe(2);
    expect(bench.answers(2)).toEqual([0, 0]);
  });

  test('A15: a reset completes when the requests that could not be accepted have come back', async () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start();
    flusher.accepts = false;
    bench.request(0);
    bench.set(R.Status, 0);
    expect(bench.status).not.toBe(0);
    flusher.accepts = true;
    while (flusher.started === 0) await settled();
    flusher.end();
    expect(bench.status).toBe(0);
    expect(bench.answers(1)).toEqual([UNTOUCHED]);
  });

  test('a flush that throws is a flush that failed, for all that wait', () => {
    const flush: PmemFlush = () => {
      throw new TypeError('defect');
    };
    const bench = new PmemBench(undefined, {}, undefined, flush).start();
    bench.request(0).request(1);
    expect(bench.used()).toBe(2);
    expect(bench.answers(2)).toEqual([FAILURE, FAILURE]);
    expect(bench.needsReset).toBe(false);
    bench.set(R.Status, 0);
    expect(bench.status).toBe(0);
  });

  test('after a failed flush none succeeds: what was lost cannot be vouched for', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start().request(0).request(1);
    flusher.end(EIO);
    expect(bench.answers(2)).toEqual([FAILURE, UNTOUCHED]);
    flusher.end(0);
    expect(bench.answers(2)).toEqual([FAILURE, FAILURE]);
    bench.start().request(2);
    expect(bench.ram.get(ANSWERS + 8, 4)).toBe(FAILURE);
    expect(flusher.started).toBe(2);
    expect(bench.lines).toEqual(['pmem: a flush failed with error 5']);
    expect(bench.needsReset).toBe(false);
  });
});

describe('requests of any kind', () => {
  test.each([1, 2, 0xffff_ffff])('type %d fails and flushes nothing', (type) => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start().request(0, type);
    expect(bench.used()).toBe(1);
    expect(bench.answers(1)).toEqual([FAILURE]);
    expect(flusher.started).toBe(0);
  });

  test.each([0, 1, 3])('C15: a request of %d bytes fails', (length) => {
    const bench = new PmemBench(new Flusher()).start();
    bench.ram.set(ANSWERS, 4, UNTOUCHED);
    bench.rings[0]!.send(
      { address: REQUEST, length },
      { address: ANSWERS, length: 4, writable: true },
    );
    bench.notify(0);
    expect(bench.used()).toBe(1);
    expect(bench.answers(1)).toEqual([FAILURE]);
  });

  test.each([0, 1, 3])('C15, S-2: room for %d bytes of answer gets those', (length) => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start();
    bench.ram.set(ANSWERS, 4, UNTOUCHED);
    bench.rings[0]!.send(
      { address: REQUEST, length: 4 },
      { address: ANSWERS, length, writable: true },
    );
    bench.notify(0);
    flusher.end();
    expect(bench.rings[0]!.take().map((used) => used.length)).toEqual([length]);
    const expected = [0x77, 0x77, 0x77, 0x77].fill(0, 0, length);
    expect([...bench.ram.read(ANSWERS, 4)]).toEqual(expected);
  });

  test('S-1: request and answer in single bytes', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start();
    bench.ram.write(ANSWERS, Array(64).fill(0x77));
    const pieces = [0, 1, 2, 3].map((i) => ({ address: REQUEST + i, length: 1 }));
    const room = [0, 1, 2, 3, 4, 5].map((i) => ({
      address: ANSWERS + 8 * i,
      length: 1,
      writable: true,
    }));
    bench.rings[0]!.send(...pieces, ...room);
    bench.notify(0);
    flusher.end();
    expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([4]);
    const bytes = room.map(({ address }) => bench.ram.get(address, 1));
    expect(bytes).toEqual([0, 0, 0, 0, 0x77, 0x77]);
  });
});

describe('reset and state', () => {
  test('A15, G-7: a flush that ends after a reset answers nobody, and completes the reset', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start().request(0);
    bench.set(R.Status, 0);
    expect(bench.status).not.toBe(0);
    flusher.end();
    expect(bench.status).toBe(0);
    expect(bench.answers(1)).toEqual([UNTOUCHED]);
    bench.start().request(1);
    flusher.end();
    expect(bench.used()).toBe(1);
  });

  test('G-11, M-6: the same for a reset of the queue', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start([...RING_BITS, 40]).request(0);
    bench.set(R.QueueSel, 0);
    bench.set(R.QueueReset, 1);
    expect(bench.get(R.QueueReset)).toBe(1);
    flusher.end();
    expect(bench.get(R.QueueReset)).toBe(0);
    expect(bench.answers(1)).toEqual([UNTOUCHED]);
  });

  test('a copy in the middle of a flush answers what it owes', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start().request(0).request(1);
    const again = new Flusher();
    const copy = new PmemBench(again, {}, bench.ram);
    copy.registers.restore(bench.registers.save());
    copy.notify(0);
    expect(again.started).toBe(1);
    again.end();
    expect(copy.used()).toBe(2);
    expect(copy.answers(2)).toEqual([0, 0]);
  });

  test('I4: a restored state can hold anything, and writes to RAM only', () => {
    const flusher = new Flusher();
    const bench = new PmemBench(flusher).start().request(0);
    const { registers } = bench;
    registers.state.fill(0x7f, 12);
    registers.state.fill(0, 0, 8);
    bench.notify(0);
    expect(() => flusher.end()).not.toThrow();
    registers.state.fill(0);
    expect(bench.start().status).toBeGreaterThan(0);
  });
});
