/** Descriptor chains, as drivers make them and as they must not. */
import { DescriptorFlag } from '../../../src/devices/virtio/constants.js';
import { HIGH_RAM, RAM_SIZE } from './fake-ram.js';
import { QueueBench, type BenchOptions, type Popped } from './queue-bench.js';

const { Next, Write, Indirect } = DescriptorFlag;
const ROOM = { address: 0x9000, length: 128, writable: true };
const DATA = { address: 0x8000, length: 64 };
const TABLE = 0x4000;

/** What comes of one head in the ring, after `prepare` has written descriptors. */
function pop(
  prepare: (bench: QueueBench) => number,
  options?: BenchOptions,
): { chains: Popped[]; failure: string | undefined } {
  const bench = new QueueBench(options);
  bench.driver.offer(prepare(bench));
  const before = bench.ram.snapshot();
  const chains = bench.popAll();
  // A chain that is refused is not given back either, and nothing is written but flags.
  if (bench.queue.failure !== undefined) expect(bench.ram.snapshot()).toBe(before);
  return { chains, failure: bench.queue.failure };
}

function refused(prepare: (bench: QueueBench) => number, options?: BenchOptions): string {
  const { chains, failure } = pop(prepare, options);
  expect(chains).toEqual([]);
  expect(failure).toBeDefined();
  return failure!;
}

describe('the available ring', () => {
  test.each([16, 17, 0x7fff, 0xffff])('C1: head %d of a ring of 16 is refused', (head) => {
    expect(refused(() => head)).toMatch(/outside the ring/);
  });

  test.each([17, 0x8000, 0xffff])('C2: an index that jumps by %d is refused', (jump) => {
    const bench = new QueueBench();
    bench.driver.setAvailableIndex(jump);
    expect(bench.serve()).toEqual([]);
    expect(bench.queue.failure).toMatch(/jumped/);
  });

  test('C2: an index that goes backwards is refused', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.serve();
    bench.driver.setAvailableIndex(0);
    bench.serve();
    expect(bench.queue.failure).toMatch(/jumped by 65535/);
  });

  test('C17: a head that is in flight is refused, and taken again when it is not', () => {
    const bench = new QueueBench();
    const head = bench.driver.send(ROOM);
    const [first] = bench.popAll();
    bench.turn(() => bench.queue.push(first!.token, 0));
    bench.driver.offer(head, head);
    const chains = bench.popAll();
    expect(chains).toHaveLength(1);
    expect(bench.queue.failure).toMatch(/in flight/);
  });

  test('C17: two chains can share a descriptor', () => {
    const bench = new QueueBench();
    bench.driver.descriptor(0, 0x8000, 8, Next, 2);
    bench.driver.descriptor(1, 0x8100, 8, Next, 2);
    bench.driver.descriptor(2, 0x9000, 8, Write);
    bench.driver.offer(0, 1);
    expect(bench.popAll().map(({ writable }) => writable[0]!.address)).toEqual([0x9000, 0x9000]);
  });
});

describe('chains', () => {
  test.each([16, 255, 0xffff])('C3: next = %d in a table of 16 is refused', (next) => {
    const failure = refused(({ driver }) => {
      driver.descriptor(0, 0x8000, 8, Next, next);
      return 0;
    });
    expect(failure).toMatch(/outside the table/);
  });

  test.each([
    ['itself', [0]],
    ['two', [1, 0]],
    ['all sixteen', Array.from({ length: 16 }, (_, i) => (i + 1) % 16)],
  ])('C4: a loop of %s is refused', (_, nexts) => {
    const failure = refused(({ driver }) => {
      nexts.forEach((next, i) => driver.descriptor(i, 0x8000, 8, Next, next));
      return 0;
    });
    expect(failure).toMatch(/loop/);
  });

  test('C4: a loop of descriptors without length is refused', () => {
    refused(({ driver }) => {
      driver.descriptor(0, 0, 0, Next, 0);
      return 0;
    });
  });

  test('a chain can be as long as the ring', () => {
    const buffers = Array.from({ length: 16 }, (_, i) => ({ address: 0x8000 + i, length: 1 }));
    const { chains } = pop(({ driver }) => driver.chain(buffers));
    expect(chains[0]!.readable).toEqual(buffers);
  });

  test('C5: longer than the ring is a loop, longer than the longest chain is refused', () => {
    expect(
      refused(({ driver }) => {
        for (let i = 0; i < 16; i++) driver.descriptor(i, 0x8000 + i, 1, Next, (i + 1) % 16);
        return 5;
      }),
    ).toMatch(/too long/);
    // Through a table, where 256 is the most that any queue of the device allows.
    const buffers = Array.from({ length: 257 }, (_, i) => ({ address: 0x8000 + i, length: 1 }));
    const options = { size: 16, maximumSize: 256 };
    const longest = pop(({ driver }) => driver.indirect(TABLE, buffers.slice(1)), options);
    expect(longest.chains[0]!.readable).toHaveLength(256);
    expect(refused(({ driver }) => driver.indirect(TABLE, buffers), options)).toMatch(/too long/);
  });

  test('C11: descriptors without length carry nothing, wherever they are and point', () => {
    const empty = { address: 0xffff_ffff_ffff_ffffn, length: 0 };
    const { chains } = pop(({ driver }) =>
      driver.chain([empty, DATA, empty, ROOM, { ...empty, writable: true }, empty]),
    );
    expect(chains[0]!.readable).toEqual([DATA]);
    expect(chains[0]!.writable).toHaveLength(1);
    const alone = pop(({ driver }) => driver.chain([empty]));
    expect(alone.chains[0]).toMatchObject({ readable: [], writable: [] });
  });

  test('C12: a length of 0xffffffff is refused where RAM is smaller', () => {
    expect(refused(({ driver }) => driver.chain([{ address: 0, length: 0xffff_ffff }]))).toMatch(
      /outside RAM/,
    );
  });

  test('C12: more than 2^32 bytes in all are refused', () => {
    // 1 MiB at a time: 4097 of them through an indirect table.
    const buffers = Array.from({ length: 4097 }, () => ({ address: 0, length: RAM_SIZE }));
    const options = { size: 8192, place: { descriptors: 0, driver: 0x80000, device: 0xa0000 } };
    expect(refused(({ driver }) => driver.indirect(0xc0000, buffers), options)).toMatch(/2\^32/);
    const most = pop(({ driver }) => driver.indirect(0xc0000, buffers.slice(1)), options);
    expect(most.chains[0]!.readable).toHaveLength(4096);
  });

  test.each([
    ['at 2^64 - 1', 0xffff_ffff_ffff_ffffn, 1],
    ['that wraps at 2^64', 0xffff_ffff_ffff_f000n, 0x2000],
    ['in the hole', BigInt(RAM_SIZE), 1],
    ['in a virtio window', 0xd000_0050n, 4],
    ['that JavaScript rounds', 2n ** 53n + 1n, 1],
    ['that ends behind RAM', BigInt(RAM_SIZE - 4), 5],
    ['below the second region', BigInt(HIGH_RAM - 1), 2],
    ['across the hole', 0n, HIGH_RAM - 1],
    ['behind all RAM', BigInt(HIGH_RAM + RAM_SIZE), 1],
    ['with the sign bit of 32', 0x8000_0000n, 1],
    ['with the sign bit of 64', 0x8000_0000_0000_0000n, 1],
  ])('C13: a buffer %s is refused', (_, address, length) => {
    for (const writable of [false, true]) {
      expect(refused(({ driver }) => driver.chain([{ address, length, writable }]))).toMatch(
        /outside RAM/,
      );
    }
  });

  test('buffers may end where RAM ends', () => {
    const buffers = [
      { address: RAM_SIZE - 4, length: 4 },
      { address: HIGH_RAM, length: RAM_SIZE },
    ];
    expect(pop(({ driver }) => driver.chain(buffers)).chains[0]!.readable).toEqual(buffers);
  });

  test('C14: readable after writable is refused', () => {
    expect(refused(({ driver }) => driver.chain([ROOM, DATA]))).toMatch(/readable/);
  });

  test('C16: unknown flags are ignored', () => {
    const { chains } = pop(({ driver }) => {
      driver.descriptor(0, 0x9000, 8, 0xfff8 | Write);
      return 0;
    });
    expect(chains[0]!.writable).toEqual([{ address: 0x9000, length: 8 }]);
  });

  test('C19: buffers may be the rings themselves', () => {
    const { chains } = pop(({ driver }) =>
      driver.chain([{ address: 0x1000, length: 0x3000, writable: true }]),
    );
    expect(chains[0]!.writable).toEqual([{ address: 0x1000, length: 0x3000 }]);
  });
});

describe('indirect descriptors', () => {
  const buffers = [DATA, ROOM];

  test('a table gives the same chain', () => {
    const direct = pop(({ driver }) => driver.chain(buffers)).chains[0]!;
    const indirect = pop(({ driver }) => driver.indirect(TABLE, buffers)).chains[0]!;
    expect({ ...indirect, token: 0 }).toEqual({ ...direct, token: 0 });
  });

  test('C6: refused when it has not been negotiated', () => {
    refused(({ driver }) => driver.indirect(TABLE, buffers), { indirect: false });
  });

  test('S-3, C8: the WRITE flag of the descriptor is ignored', () => {
    const { chains } = pop(({ driver }) => driver.indirect(TABLE, buffers, Write));
    expect(chains[0]!.readable).toEqual([DATA]);
  });

  test('S-4, C9: direct descriptors followed by one indirect', () => {
    const { chains } = pop(({ driver }) => {
      driver.indirect(TABLE, [ROOM, ROOM]);
      driver.descriptor(5, 0x8000, 64, Next, 6);
      driver.descriptor(6, 0x8800, 1, Next, 0);
      return 5;
    });
    expect(chains[0]!.readable).toEqual([DATA, { address: 0x8800, length: 1 }]);
    expect(chains[0]!.writable).toHaveLength(2);
  });

  test.each([0, 1, 15, 17, 24, 0xffff_ffff, 16 * 65537])('C7: length %d is refused', (length) => {
    refused(({ driver }) => {
      driver.indirect(TABLE, buffers);
      driver.descriptor(0, TABLE, length, Indirect);
      return 0;
    });
  });

  test('C7: a table longer than the ring is good for chains as long as the largest ring', () => {
    const bytes = (count: number): { address: number; length: number }[] =>
      Array.from({ length: count }, () => ({ address: 0x8000, length: 1 }));
    const options = { size: 4, maximumSize: 64 };
    expect(pop(({ driver }) => driver.indirect(TABLE, bytes(64)), options).chains).toHaveLength(1);
    expect(refused(({ driver }) => driver.indirect(TABLE, bytes(65)), options)).toMatch(/too long/);
  });

  test('C8: a table in a table is refused', () => {
    expect(
      refused(({ driver }) => {
        const head = driver.indirect(TABLE, buffers);
        driver.descriptor(1, TABLE, 16, Indirect, 0, TABLE);
        return head;
      }),
    ).toMatch(/in an indirect table/);
  });

  test('C8: INDIRECT with NEXT is refused', () => {
    expect(refused(({ driver }) => driver.indirect(TABLE, buffers, Next))).toMatch(/NEXT/);
  });

  test('C3, C4: loops and wild next fields inside a table are refused', () => {
    for (const next of [0, 1, 2, 0xffff]) {
      refused(({ driver }) => {
        const head = driver.indirect(TABLE, [DATA, DATA]);
        driver.descriptor(1, 0x8000, 8, Next, next, TABLE);
        return head;
      });
    }
  });

  test.each([BigInt(RAM_SIZE), BigInt(RAM_SIZE - 16), 2n ** 64n - 16n, 0xd000_0000n, 2n ** 53n])(
    'C10: a table at 0x%s that is not all in RAM is refused',
    (address) => {
      refused(({ driver }) => {
        driver.descriptor(0, address, 32, Indirect);
        return 0;
      });
    },
  );

  test('C10: a table can be the ring, or its own buffer', () => {
    const own = pop(({ driver }) => driver.indirect(TABLE, [{ address: TABLE, length: 16 }]));
    expect(own.chains[0]!.readable).toEqual([{ address: TABLE, length: 16 }]);
    // The ring as a table: its first entry is the indirect descriptor, hence nested.
    refused(({ driver, ram }) => {
      driver.descriptor(0, 0x1000, 256, Indirect);
      expect(ram.get(0x1000, 4)).toBe(0x1000);
      return 0;
    });
  });

  test.each([0x4001, 0x4002, 0x4004, 0xfff8, 0xfffd])('a table can be at 0x%s', (table) => {
    const { chains } = pop(({ driver }) => driver.indirect(table, buffers));
    expect(chains[0]!.readable).toEqual([DATA]);
    expect(chains[0]!.writable).toHaveLength(1);
  });
});
