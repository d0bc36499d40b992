/** virtio-rng: bounded, limited, and never without an answer. */
import {
  RNG_BUFFER_LIMIT,
  RngDevice,
  type RngOptions,
} from '../../../src/devices/virtio/rng/rng.js';
import { FakeRam, HIGH_RAM } from './fake-ram.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

const PATTERN = 0x5a;

interface Later {
  index: number;
  milliseconds: number;
}

function bench(
  options: RngOptions = {},
  ram = new FakeRam(),
): MmioBench<RngDevice> & { later: Later[] } {
  const later: Later[] = [];
  const device = new RngDevice({
    fill: (bytes) => bytes.fill(PATTERN),
    now: () => 0,
    limit: { perSecond: 1e6, burst: 1e9 },
    ...options,
  });
  const processLater = (index: number, milliseconds: number): void =>
    void later.push({ index, milliseconds });
  const made = new MmioBench(device, { processLater }, ram).start();
  return Object.assign(made, { later });
}

describe('requests', () => {
  test('R-1: a buffer is filled with random bytes', () => {
    const made = new MmioBench(new RngDevice()).start();
    const head = made.rings[0]!.send({ address: 0x8000, length: 64, writable: true });
    made.notify(0);
    expect(made.rings[0]!.take()).toEqual([{ id: head, length: 64 }]);
    expect(new Set(made.ram.read(0x8000, 64)).size).toBeGreaterThan(8);
    expect(made.ram.get(0x8040, 4)).toBe(0);
  });

  test('R-1: one byte, and a buffer in pieces', () => {
    const made = bench();
    made.rings[0]!.send({ address: 0x8000, length: 1, writable: true });
    made.rings[0]!.send(
      { address: 0x8100, length: 3, writable: true },
      { address: 0x8200, length: 5, writable: true },
    );
    made.notify(0);
    expect(made.rings[0]!.take().map(({ length }) => length)).toEqual([1, 8]);
    expect(made.ram.get(0x8000, 2)).toBe(PATTERN);
    expect(made.ram.read(0x8200, 6)).toEqual(Uint8Array.of(...Array<number>(5).fill(PATTERN), 0));
  });

  test('F11: 4 GiB of overlapping descriptors get 64 KiB', () => {
    const length = 2 ** 32 / 64;
    const made = bench({}, new FakeRam(length));
    const pieces = Array.from({ length: 64 }, () => ({
      address: HIGH_RAM,
      length,
      writable: true,
    }));
    made.rings[0]!.offer(made.rings[0]!.indirect(0x8000, pieces));
    made.notify(0);
    expect(made.rings[0]!.take()).toEqual([{ id: 0, length: RNG_BUFFER_LIMIT }]);
    expect(made.ram.get(HIGH_RAM + RNG_BUFFER_LIMIT - 1, 2)).toBe(PATTERN);
  });

  test('F11, S-2: readable and empty buffers come back as they are', () => {
    const made = bench();
    made.rings[0]!.send({ address: 0x8000, length: 64 });
    made.rings[0]!.send({ address: 0x8000, length: 0, writable: true });
    made.rings[0]!.send(
      { address: 0x8100, length: 4 },
      { address: 0x8200, length: 4, writable: true },
    );
    made.notify(0);
    expect(made.rings[0]!.take().map(({ length }) => length)).toEqual([0, 0, 4]);
    expect(made.ram.read(0x8000, 0x104)).toEqual(new Uint8Array(0x104));
    expect(made.needsReset).toBe(false);
  });

  test('A17: there is no configuration space', () => {
    const made = bench();
    const before = made.registers.save();
    for (let offset = 0; offset < 64; offset++) {
      for (const size of [1, 2, 4] as const) {
        expect(made.get(0x100 + offset, size)).toBe(0);
        made.set(0x100 + offset, 0xffff_ffff, size);
      }
    }
    expect(made.registers.save()).toEqual(before);
  });
});

describe('the rate limit', () => {
  test('F11: a flood gets the burst and then the rate, and no buffer is lost', () => {
    let now = 0;
    const limit = { perSecond: 10_000, burst: 1000 };
    const made = bench({ limit, now: () => now });
    const ring = made.rings[0]!;
    const send = (): number => ring.send({ address: 0x8000, length: 600, writable: true });
    send();
    send();
    made.notify(0);
    expect(ring.take().map(({ length }) => length)).toEqual([600]);
    expect(made.later).toEqual([{ index: 0, milliseconds: 12 }]);
    now = 12;
    made.core.serve(0);
    expect(ring.take().map(({ length }) => length)).toEqual([520]);

    let bytes = 0;
    for (; now < 2012; now++) {
      while (ring.availableIndex - ring.usedIndex < 32) send();
      made.core.serve(0);
      for (const { length } of ring.take()) bytes += length;
    }
    expect(bytes).toBeGreaterThan(19_000);
    expect(bytes).toBeLessThanOrEqual(20_000);
  });

  test('tokens survive in the state, and a clock that went back gives none', () => {
    const limit = { perSecond: 1000, burst: 1000 };
    const made = bench({ limit, now: () => 1e6 });
    made.rings[0]!.send({ address: 0x8000, length: 1000, writable: true });
    made.notify(0);
    const device = new RngDevice({ limit, now: () => 0, fill: (bytes) => bytes.fill(1) });
    const later: number[] = [];
    const copy = new MmioBench(device, { processLater: (_, ms) => later.push(ms) }, made.ram);
    copy.registers.restore(made.registers.save());
    Object.assign(copy.rings[0]!, { availableIndex: 1, usedIndex: 1, nextDescriptor: 1 });
    copy.rings[0]!.send({ address: 0x8000, length: 1000, writable: true });
    copy.notify(0);
    expect(copy.rings[0]!.take()).toEqual([]);
    expect(later).toEqual([512]);
  });

  test.each([
    [0, 1],
    [-1, 1],
    [1, 0],
    [NaN, 1],
  ])('a rate of %d with a burst of %d is refused', (perSecond, burst) => {
    expect(() => new MmioBench(new RngDevice({ limit: { perSecond, burst } }))).toThrow(RangeError);
  });

  test('without an I/O worker a timer goes on with it', async () => {
    const limit = { perSecond: 1e6, burst: 1000 };
    const made = new MmioBench(new RngDevice({ limit })).start(RING_BITS);
    for (let i = 0; i < 4; i++)
      made.rings[0]!.send({ address: 0x8000, length: 1000, writable: true });
    made.notify(0);
    const deadline = Date.now() + 5000;
    let done = 0;
    while (done < 4 && Date.now() < deadline) {
      done += made.rings[0]!.take().length;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(done).toBe(4);
  });
});
