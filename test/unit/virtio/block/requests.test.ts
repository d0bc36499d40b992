/** Requests of a disk: what the specification says of each, and what drivers get wrong on purpose. */
import {
  BlockRequestType as T,
  BlockStatus as S,
} from '../../../../src/devices/virtio/block/block-layout.js';
import { pattern } from '../../block/backend-bench.js';
import { FakeRam, HIGH_RAM, RAM_SIZE } from '../fake-ram.js';
import { ALL, CAPACITY, PENDING, USUAL, disk, ranges } from './disk-bench.js';

const SECTORS = CAPACITY / 512;
const H = 0x60000;

describe('reads and writes', () => {
  test('S-7: data goes both ways, and lengths are those of the bytes written', () => {
    const made = disk();
    const write = made.send(T.Out, 8, { out: pattern(4096, 1) });
    made.finish();
    const read = made.send(T.In, 8, { room: 4096 });
    expect(made.statusOf(read)).toBe(PENDING);
    made.finish();
    expect([made.statusOf(write), made.statusOf(read)]).toEqual([S.Ok, S.Ok]);
    expect(Buffer.from(made.ram.read(read.data, 4096)).equals(pattern(4096, 1))).toBe(true);
    expect(made.used()).toEqual([1, 4097]);
  });

  test('E1, S-1: a header in 16 pieces, data and status in pieces as well', () => {
    const made = disk();
    made.header(H, T.Out, 3);
    made.ram.write(H + 0x100, pattern(512, 2));
    made.sendPieces(
      ...Array.from({ length: 16 }, (_, i) => ({ address: H + i, length: 1 })),
      { address: H + 0x100, length: 100 },
      { address: H + 0x164, length: 412 },
      { address: H + 0x800, length: 1, writable: true },
    );
    made.finish();
    // Header and data in one descriptor; status at the end of the data's.
    made.header(H, T.In, 3);
    made.sendPieces(
      { address: H, length: 16 },
      { address: H + 0x1000, length: 513, writable: true },
    );
    made.finish();
    expect(made.ram.get(H + 0x800, 1)).toBe(S.Ok);
    expect(made.ram.get(H + 0x1200, 1)).toBe(S.Ok);
    expect(Buffer.from(made.ram.read(H + 0x1000, 512)).equals(pattern(512, 2))).toBe(true);
    expect(made.used()).toEqual([1, 513]);
  });

  test('many small ones that end together are pushed in one turn, with one interrupt', () => {
    const made = disk();
    const sent = Array.from({ length: 40 }, (_, i) => {
      return made.send(T.In, i, { room: 512, notify: i === 39 });
    });
    made.backend.endAll();
    made.acknowledge();
    const { edges } = made.line;
    made.device.deliver();
    expect(made.line.edges - edges).toBe(1);
    expect(sent.map((one) => made.statusOf(one))).toEqual(sent.map(() => S.Ok));
  });

  test('completions out of order go to their own requests', () => {
    const made = disk();
    const sent = [0, 1, 2, 3].map((i) => made.send(T.Out, i, { out: pattern(512, i) }));
    for (const i of [2, 0, 1, 0]) {
      made.backend.end(i, i === 1 ? -5 : undefined);
      made.device.deliver();
    }
    const heads = made.rings[0]!.take().map(({ id }) => id);
    expect(heads).toEqual([2, 0, 3, 1].map((i) => sent[i]!.head));
    expect(sent.map((one) => made.statusOf(one))).toEqual([S.Ok, S.Ok, S.Ok, S.IoError]);
  });

  test('completions come without deliver, too', async () => {
    const made = disk();
    const read = made.send(T.In, 0, { room: 512 });
    made.backend.end();
    expect(made.statusOf(read)).toBe(PENDING);
    await Promise.resolve();
    expect(made.statusOf(read)).toBe(S.Ok);
  });
});

describe('malformed requests', () => {
  test('E1: a header of 15 bytes, and none', () => {
    const made = disk();
    made.header(H, T.In, 0);
    made.sendPieces(
      { address: H, length: 15 },
      { address: H + 0x100, length: 513, writable: true },
    );
    made.sendPieces({ address: H + 0x800, length: 1, writable: true });
    expect(made.ram.get(H + 0x300, 1)).toBe(S.IoError);
    expect(made.ram.get(H + 0x800, 1)).toBe(S.IoError);
    expect(made.used()).toEqual([0, 1]);
    expect(made.backend.calls).toEqual([]);
  });

  test('E2, C15: no status byte, or one without length', () => {
    const made = disk();
    made.header(H, T.Out, 0);
    made.sendPieces({ address: H, length: 16 }, { address: H + 0x100, length: 512 });
    made.header(H, T.In, 0);
    made.sendPieces(
      { address: H, length: 16 },
      { address: H + 0x100, length: 512, writable: true },
      { address: H + 0x800, length: 0, writable: true },
    );
    // The last writable byte is the status, so the data is not whole sectors.
    expect(made.ram.get(H + 0x2ff, 1)).toBe(S.IoError);
    expect(made.used()).toEqual([0, 0]);
    expect(made.backend.calls).toEqual([]);
    expect(made.needsReset).toBe(false);
    expect(made.lines).toHaveLength(1);
  });

  test('E2: a read-only status byte, and one that is not in RAM', () => {
    const made = disk();
    made.header(H, T.Flush, 0);
    made.sendPieces({ address: H, length: 16 }, { address: H + 0x800, length: 1 });
    expect(made.used()).toEqual([0]);
    made.sendPieces({ address: H, length: 16 }, { address: RAM_SIZE, length: 1, writable: true });
    expect(made.needsReset).toBe(true);
    made.start(USUAL);
    const flush = made.send(T.Flush, 0);
    made.finish();
    expect(made.statusOf(flush)).toBe(S.Ok);
  });

  test('E2: a status byte within the data', () => {
    const made = disk();
    made.header(H, T.In, 0);
    made.sendPieces(
      { address: H, length: 16 },
      { address: H + 0x100, length: 512, writable: true },
      { address: H + 0x180, length: 1, writable: true },
    );
    made.finish();
    expect(made.ram.get(H + 0x180, 1)).toBe(S.Ok);
    expect(made.used()).toEqual([513]);
  });

  test.each([
    ['2^64 - 1', 2n ** 64n - 1n],
    ['2^55, which overflows as bytes', 2n ** 55n],
    ['2^53 + 1', 2n ** 53n + 1n],
    ['2^23, which overflows 32 bits as bytes', 2n ** 23n],
    ['2^32', 2n ** 32n],
    ['the capacity', BigInt(SECTORS)],
  ])('E3: sector %s', (_, sector) => {
    const made = disk();
    const sent = [
      made.send(T.In, sector, { room: 512 }),
      made.send(T.Out, sector, { out: pattern(512, 1) }),
    ];
    expect(sent.map((one) => made.statusOf(one))).toEqual([S.IoError, S.IoError]);
    expect(made.backend.calls).toEqual([]);
  });

  test('E3: the last sector, and one more than there is', () => {
    const made = disk();
    const last = made.send(T.In, SECTORS - 1, { room: 512 });
    const beyond = made.send(T.In, SECTORS - 1, { room: 1024 });
    made.finish();
    expect([made.statusOf(last), made.statusOf(beyond)]).toEqual([S.Ok, S.IoError]);
  });

  test.each([1, 511, 513, 1000])('E4: %d bytes are no sectors', (length) => {
    const made = disk();
    const sent = [
      made.send(T.In, 0, { room: length }),
      made.send(T.Out, 0, { out: new Uint8Array(length) }),
    ];
    expect(sent.map((one) => made.statusOf(one))).toEqual([S.IoError, S.IoError]);
    expect(made.backend.calls).toEqual([]);
  });

  test('E4: nothing to read or write is done at once', () => {
    const made = disk();
    const sent = [made.send(T.In, 0), made.send(T.Out, SECTORS), made.send(T.Out, SECTORS + 1)];
    expect(sent.map((one) => made.statusOf(one))).toEqual([S.Ok, S.Ok, S.IoError]);
  });

  test('E4: pieces that overlap, more than there is RAM, are one request', () => {
    const made = disk({}, ALL, { capacity: 2 ** 33 });
    const pieces = Array.from({ length: 8 }, () => ({
      address: 0x80000,
      length: RAM_SIZE - 0x80000,
      writable: true,
    }));
    made.header(H, T.In, 0);
    made.rings[0]!.offer(
      made.rings[0]!.indirect(0x70000, [
        { address: H, length: 16 },
        ...pieces,
        { address: H + 0x800, length: 1, writable: true },
      ]),
    );
    made.notify(0);
    expect(made.backend.calls).toMatchObject([{ length: 8 * (RAM_SIZE - 0x80000) }]);
    made.finish();
    expect(made.ram.get(H + 0x800, 1)).toBe(S.Ok);
  });
});

describe('requests of 4 GiB', () => {
  const PIECE = 2 ** 32 / 64;
  /** 63 pieces of 64 MiB and one that is short by `less`. */
  function sendLarge(made: ReturnType<typeof disk>, less: number): void {
    made.header(H, T.In, 0);
    made.ram.set(H + 0x800, 1, PENDING);
    const room = Array.from({ length: 64 }, (_, i) => ({
      address: HIGH_RAM,
      length: i === 0 ? PIECE - less : PIECE,
      writable: true,
    }));
    const status = { address: H + 0x800, length: 1, writable: true };
    const pieces = [{ address: H, length: 16 }, ...room, status];
    made.rings[0]!.offer(made.rings[0]!.indirect(0x70000, pieces));
    made.notify(0);
  }
  const large = (): ReturnType<typeof disk> =>
    disk({}, ALL, { capacity: 2 ** 33, ram: new FakeRam(PIECE) });

  test('E4: one sector less is one request, and its length is no number of 32 bits with a sign', () => {
    const made = large();
    sendLarge(made, 512);
    expect(made.backend.calls).toMatchObject([{ name: 'read', length: 2 ** 32 - 512 }]);
    // As the host answers: it has read all of it.
    made.backend.end(0, 0);
    made.device.deliver();
    expect(made.ram.get(H + 0x800, 1)).toBe(S.Ok);
    expect(made.used()).toEqual([2 ** 32 - 511]);
  });

  test('E4: 4 GiB and a header are more than a chain may have, and a reset mends the disk', () => {
    const made = large();
    sendLarge(made, 0);
    expect(made.backend.calls).toEqual([]);
    expect(made.needsReset).toBe(true);
    made.start(ALL);
    const sent = made.send(T.In, 0, { room: 512 });
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
  });
});

describe('other types', () => {
  // 10 and 14 are lifetime and secure erase (B-5), 15 to 26 those of zoned disks.
  test.each([0xffff_ffff, 2, 3, 5, 7, 9, 10, 12, 14, 15, 16, 18, 20, 22, 24, 26])(
    'E5, B-5, B-9: type %d is unsupported',
    (type) => {
      const made = disk();
      const sent = made.send(type, 0, { out: new Uint8Array(64), room: 64 });
      expect(made.statusOf(sent)).toBe(S.Unsupported);
      expect(made.backend.calls).toEqual([]);
    },
  );

  test('E5: GET_ID wants 20 bytes', () => {
    const made = disk({ serial: 'root-disk' });
    const sent = [0, 19, 20, 21].map((room) => made.send(T.GetId, 0, { room }));
    expect(sent.map((one) => made.statusOf(one))).toEqual([S.IoError, S.IoError, S.Ok, S.Ok]);
    expect(made.used()).toEqual([1, 0, 21, 20]);
    const id = made.ram.read(sent[2]!.data, 21);
    expect(Buffer.from(id).toString('latin1')).toBe(`root-disk${'\0'.repeat(12)}`);
    expect(made.ram.get(sent[1]!.data, 4)).toBe(0);
  });

  test('E5: FLUSH with data and a sector is a flush', () => {
    const made = disk();
    const sent = made.send(T.Flush, 2n ** 64n - 1n, { out: new Uint8Array(100), room: 7 });
    expect(made.backend.calls).toMatchObject([{ name: 'flush' }]);
    made.finish();
    expect(made.statusOf(sent)).toBe(S.Ok);
    expect(made.used()).toEqual([0]);
  });

  test('E6, B-4: a read-only disk', () => {
    const made = disk({ readOnly: true });
    const sent = [
      made.send(T.Out, 0, { out: pattern(512, 1) }),
      made.send(T.WriteZeroes, 0, { out: ranges({ sector: 0, count: 1 }) }),
      made.send(T.Discard, 0, { out: ranges({ sector: 0, count: 1 }) }),
      made.send(T.In, 0, { room: 512 }),
    ];
    expect(made.backend.calls.map(({ name }) => name)).toEqual(['read']);
    made.finish();
    const statuses = sent.map((one) => made.statusOf(one));
    expect(statuses).toEqual([S.IoError, S.Unsupported, S.Unsupported, S.Ok]);
  });

  test('E10: overlapping writes in flight each end', () => {
    const made = disk();
    const sent = [1, 2, 3].map((i) => made.send(T.Out, 7, { out: pattern(1024, i) }));
    expect(made.backend.waiting).toHaveLength(3);
    made.finish();
    expect(sent.map((one) => made.statusOf(one))).toEqual([S.Ok, S.Ok, S.Ok]);
  });
});

describe('discard and write zeroes', () => {
  test('every range is done, and the request ends once', () => {
    const made = disk();
    made.send(T.Out, 0, { out: pattern(4096, 1) });
    made.finish();
    const list = ranges({ sector: 1, count: 2 }, { sector: 4, count: 0 }, { sector: 6, count: 1 });
    const zero = made.send(T.WriteZeroes, 0, { out: list });
    made.finish();
    const discard = made.send(T.Discard, 0, { out: list });
    made.finish();
    expect([made.statusOf(zero), made.statusOf(discard)]).toEqual([S.Ok, S.Ok]);
    expect(made.backend.calls.slice(1)).toMatchObject([
      { name: 'zero', offset: 512, length: 1024 },
      { name: 'zero', offset: 3072, length: 512 },
      { name: 'discard', offset: 512, length: 1024 },
      { name: 'discard', offset: 3072, length: 512 },
    ]);
    const read = made.send(T.In, 0, { room: 4096 });
    made.finish();
    const expected = pattern(4096, 1);
    expected.fill(0, 512, 1536).fill(0, 3072, 3584);
    expect(Buffer.from(made.ram.read(read.data, 4096)).equals(expected)).toBe(true);
    expect(made.used()).toEqual([1, 1, 1, 4097]);
  });

  test('unmap is asked for when all ranges have it', () => {
    const made = disk();
    made.send(T.WriteZeroes, 0, { out: ranges({ sector: 0, count: 1, flags: 1 }) });
    made.finish();
    made.send(T.WriteZeroes, 0, {
      out: ranges({ sector: 0, count: 1, flags: 1 }, { sector: 1, count: 1 }),
    });
    made.finish();
    expect(made.backend.calls.map(({ name }) => name)).toEqual(['unmap', 'zero', 'zero']);
  });

  test.each([
    ['E7: no range', T.Discard, new Uint8Array(0), S.IoError],
    ['E7: not a multiple of 16', T.Discard, new Uint8Array(24), S.IoError],
    ['E7: more ranges than allowed', T.Discard, new Uint8Array(17 * 16), S.IoError],
    ['E7: 2^32 - 1 sectors', T.WriteZeroes, ranges({ sector: 0, count: 0xffff_ffff }), S.IoError],
    ['E7: sector 2^64 - 1', T.Discard, ranges({ sector: 2n ** 64n - 1n, count: 1 }), S.IoError],
    ['E7: one sector too many', T.Discard, ranges({ sector: SECTORS - 1, count: 2 }), S.IoError],
    [
      'E7, B-5: unmap on discard',
      T.Discard,
      ranges({ sector: 0, count: 1, flags: 1 }),
      S.Unsupported,
    ],
    [
      'E7, B-5: unknown flag',
      T.WriteZeroes,
      ranges({ sector: 0, count: 1, flags: 2 }),
      S.Unsupported,
    ],
    [
      'B-5: unknown flag behind a wrong range',
      T.WriteZeroes,
      ranges({ sector: SECTORS, count: 1 }, { sector: 0, count: 1, flags: 0x8000_0000 }),
      S.Unsupported,
    ],
    [
      'E7: one wrong range of two: nothing is done',
      T.WriteZeroes,
      ranges({ sector: 0, count: 1 }, { sector: SECTORS, count: 1 }),
      S.IoError,
    ],
  ])('%s', (_, type, out, status) => {
    const made = disk();
    const sent = made.send(type, 0, { out });
    expect(made.statusOf(sent)).toBe(status);
    expect(made.backend.calls).toEqual([]);
  });

  test('without the feature they are unsupported', () => {
    const made = disk({}, USUAL);
    const sent = [T.Discard, T.WriteZeroes].map((type) =>
      made.send(type, 0, { out: ranges({ sector: 0, count: 1 }) }),
    );
    expect(sent.map((one) => made.statusOf(one))).toEqual([S.Unsupported, S.Unsupported]);
  });

  test('an error in one range ends the request', () => {
    const made = disk();
    const list = ranges({ sector: 0, count: 1 }, { sector: 1, count: 1 });
    const sent = made.send(T.Discard, 0, { out: list });
    made.backend.end(0, -5);
    made.device.deliver();
    expect(made.statusOf(sent)).toBe(S.IoError);
    expect(made.backend.calls).toHaveLength(1);
  });
});

describe('errors of the host', () => {
  test.each([-28, -5, -122, -11, NaN])('%d is an I/O error for that request only', (error) => {
    const made = disk();
    const write = made.send(T.Out, 0, { out: pattern(512, 1) });
    const read = made.send(T.In, 0, { room: 512 });
    made.backend.end(0, error);
    made.backend.end();
    made.device.deliver();
    expect([made.statusOf(write), made.statusOf(read)]).toEqual([S.IoError, S.Ok]);
    expect(made.lines).toEqual([expect.stringMatching(/^disk: Out of 512 bytes at 0 failed: /)]);
    expect(made.device.statistics).toMatchObject({ errors: 1, reads: 1, writes: 0, inFlight: 0 });
  });

  test('a failed read says nothing of the bytes', () => {
    const made = disk();
    made.send(T.In, 0, { room: 512 });
    made.backend.end(0, -5);
    made.device.deliver();
    expect(made.used()).toEqual([0]);
  });

  test('K2: a thousand of them are ten log lines', () => {
    const made = disk();
    for (let i = 0; i < 1000; i++) {
      made.send(T.In, 0, { room: 512 });
      made.backend.end(0, -28);
      made.device.deliver();
      made.rings[0]!.take();
    }
    expect(made.lines).toHaveLength(10);
    expect(made.device.statistics.errors).toBe(1000);
  });

  test('a backend that throws, and one that completes twice or nothing', () => {
    const made = disk();
    jest.spyOn(made.backend, 'read').mockImplementation(() => {
      throw new TypeError('a defect');
    });
    const sent = made.send(T.In, 0, { room: 512 });
    expect(made.statusOf(sent)).toBe(S.IoError);
    made.backend.real.complete(0, 0);
    made.backend.real.complete(12345, 0);
    made.device.deliver();
    expect(made.used()).toEqual([0]);
    expect(made.needsReset).toBe(false);
  });
});
