/** Both engines against real files, with the results of the system calls. */
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { MAX_SEGMENTS, createIoEngine } from '../../../src/io/index.js';
import { thrownBy } from '../../support/thrown.js';
import { EngineBench, VARIANTS, Memory, segments } from './engine-bench.js';

const EBADF = -9;
const EFAULT = -14;
const EFBIG = -27;
const ENOSPC = -28;
const EOPNOTSUPP = -95;
const TMPFS_MAGIC = 0x01021994n;
const PUNCH_HOLE_KEEP_SIZE = 3;

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe.each(VARIANTS)('$name', (variant) => {
  let bench: EngineBench;
  beforeEach(() => {
    bench = new EngineBench(variant, { entries: 32 });
  });
  afterEach(() => bench.close());

  test('says what it is', () => {
    expect(bench.engine.kind).toBe(variant.kind);
    expect(bench.engine.capacity).toBe(32);
    expect(bench.engine.inFlight).toBe(0);
  });

  test('a write and a read of one segment', async () => {
    const { memory } = bench;
    const { file, fd } = bench.open('a');
    const data = randomBytes(100_000);
    memory.bytes.set(data);
    const from = segments([memory.address, data.length]);
    expect(await bench.run((io, token) => io.writev(file, from, 12345, token))).toBe(data.length);
    expect(bench.size(fd)).toBe(12345 + data.length);
    const to = segments([memory.address + 2 ** 20 + 1, data.length]);
    expect(await bench.run((io, token) => io.readv(file, to, 12345, token))).toBe(data.length);
    const read = memory.bytes.subarray(2 ** 20 + 1, 2 ** 20 + 1 + data.length);
    expect(sha256(read)).toBe(sha256(data));
    expect(sha256(readFileSync(path.join(bench.directory, 'a')).subarray(12345))).toBe(
      sha256(data),
    );
    expect(bench.engine.inFlight).toBe(0);
  });

  test('lists of 0, 2 and 1024 segments, of lengths that fit nothing', async () => {
    const { memory } = bench;
    const { file } = bench.open('a');
    memory.bytes.set(randomBytes(2 ** 20));
    for (const count of [2, MAX_SEGMENTS]) {
      const pieces = Array.from({ length: count }, (_, i): [number, number] => [
        memory.address + i * 1000,
        1 + (i % 999),
      ]);
      const wanted = Buffer.concat(
        pieces.map(([address, length]) => {
          const start = address - memory.address;
          return memory.bytes.slice(start, start + length);
        }),
      );
      const list = segments(...pieces);
      const written = await bench.run((io, token) => io.writev(file, list, 0, token));
      expect(written).toBe(wanted.length);
      const back = pieces.map(([address, length]): [number, number] => [address + 2 ** 21, length]);
      const scattered = segments(...back);
      expect(await bench.run((io, token) => io.readv(file, scattered, 0, token))).toBe(
        wanted.length,
      );
      const found = Buffer.concat(
        back.map(([address, length]) => {
          const start = address - memory.address;
          return memory.bytes.slice(start, start + length);
        }),
      );
      expect(sha256(found)).toBe(sha256(wanted));
    }
    expect(await bench.run((io, token) => io.readv(file, segments(), 0, token))).toBe(0);
  });

  test('more lists in one submission than there is room for iovecs', async () => {
    const { engine, memory } = bench;
    const { file, fd } = bench.open('a');
    const pieces = Array.from({ length: MAX_SEGMENTS }, (_, i): [number, number] => [
      memory.address + i * 2,
      2,
    ]);
    const list = segments(...pieces);
    memory.bytes.set(randomBytes(MAX_SEGMENTS * 2));
    for (let i = 0; i < 32; i++) {
      expect(engine.writev(file, list, i * MAX_SEGMENTS * 2, i)).toBe(true);
    }
    // The engine has its own copy of the list.
    list.addresses.fill(0);
    await bench.run((io, token) => {
      io.submitAndReap();
      while (!io.fdatasync(file, token)) io.submitAndReap();
      return true;
    });
    while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    const lists = bench.completions.filter(({ token }) => token < 32);
    expect(lists.map(({ result }) => result)).toEqual(Array(32).fill(MAX_SEGMENTS * 2));
    expect(bench.size(fd)).toBe(32 * MAX_SEGMENTS * 2);
    const block = memory.bytes.slice(0, MAX_SEGMENTS * 2);
    const content = readFileSync(path.join(bench.directory, 'a'));
    for (let i = 0; i < 32; i++) {
      expect(content.subarray(i * block.length, (i + 1) * block.length).equals(block)).toBe(true);
    }
  });

  test('a memfd as the file, and offsets beyond 2^32', async () => {
    const { engine, memory } = bench;
    const disk = new Memory(5 * 2 ** 30);
    const file = engine.register(disk.fd);
    disk.close(); // the engine has its own reference
    memory.bytes.set([1, 2, 3, 4]);
    const four = segments([memory.address, 4]);
    const offset = 4.5 * 2 ** 30;
    expect(await bench.run((io, token) => io.writev(file, four, offset, token))).toBe(4);
    memory.bytes.fill(0);
    expect(await bench.run((io, token) => io.readv(file, four, offset, token))).toBe(4);
    expect([...memory.bytes.subarray(0, 5)]).toEqual([1, 2, 3, 4, 0]);
    expect(await bench.run((io, token) => io.readv(file, four, offset - 2 ** 32, token))).toBe(4);
    expect(memory.bytes[0]).toBe(0);
  });

  test('reads end at the end of the file', async () => {
    const { memory } = bench;
    const { file, fd } = bench.open('a');
    writeSync(fd, 'hello');
    const ten = segments([memory.address, 10]);
    expect(await bench.run((io, token) => io.readv(file, ten, 2, token))).toBe(3);
    expect(Buffer.from(memory.bytes.subarray(0, 3)).toString()).toBe('llo');
    expect(await bench.run((io, token) => io.readv(file, ten, 5, token))).toBe(0);
    expect(await bench.run((io, token) => io.readv(file, ten, 2 ** 40, token))).toBe(0);
  });

  test('errors are those of the system calls', async () => {
    const { memory } = bench;
    const piece = segments([memory.address, 512]);
    const { file } = bench.open('a');
    const nowhere = segments([4096, 512]);
    writeFileSync(path.join(bench.directory, 'b'), Buffer.alloc(4096));
    const { file: readOnly } = bench.open('b', 'r');
    expect(await bench.run((io, token) => io.writev(readOnly, piece, 0, token))).toBe(EBADF);
    expect(await bench.run((io, token) => io.fallocate(readOnly, 0, 0, 1, token))).toBe(EBADF);
    expect(await bench.run((io, token) => io.readv(readOnly, nowhere, 0, token))).toBe(EFAULT);
    const end = 2 ** 53 - 4096;
    expect(await bench.run((io, token) => io.writev(file, piece, end, token))).toBe(EFBIG);
    expect(await bench.run((io, token) => io.fallocate(file, 0x4000, 0, 1, token))).toBe(
      EOPNOTSUPP,
    );
    // And the engine goes on.
    expect(await bench.run((io, token) => io.writev(file, piece, 0, token))).toBe(512);
  });

  test('a request that fails in the middle of a submission stops no other', async () => {
    const { engine, memory } = bench;
    const { file, fd } = bench.open('a');
    const gone = engine.register(fd);
    engine.unregister(gone);
    for (let token = 0; token < 32; token++) {
      const to = token % 4 === 2 ? gone : file;
      expect(engine.writev(to, segments([memory.address, 4]), token * 4, token)).toBe(true);
    }
    engine.submit();
    while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    const results = new Map(bench.completions.map(({ token, result }) => [token, result]));
    expect(results.size).toBe(32);
    for (const [token, result] of results) expect(result).toBe(token % 4 === 2 ? EBADF : 4);
  });

  test('data that is synchronous, and fdatasync', async () => {
    const { memory } = bench;
    const { file, fd } = bench.open('a');
    memory.bytes.set(randomBytes(8192));
    const one = segments([memory.address, 4096]);
    const two = segments([memory.address, 1024], [memory.address + 4096, 4096]);
    expect(await bench.run((io, token) => io.writev(file, one, 0, token, true))).toBe(4096);
    expect(await bench.run((io, token) => io.writev(file, two, 4096, token, true))).toBe(5120);
    expect(await bench.run((io, token) => io.fdatasync(file, token))).toBe(0);
    expect(bench.size(fd)).toBe(4096 + 5120);
  });

  test('fallocate makes a file longer, and holes', async () => {
    const { memory } = bench;
    const { file, fd } = bench.open('a');
    expect(await bench.run((io, token) => io.fallocate(file, 0, 0, 2 ** 20, token))).toBe(0);
    expect(bench.size(fd)).toBe(2 ** 20);
    memory.bytes.fill(0xaa, 0, 2 ** 20);
    const all = segments([memory.address, 2 ** 20]);
    expect(await bench.run((io, token) => io.writev(file, all, 0, token))).toBe(2 ** 20);
    expect(await bench.run((io, token) => io.fdatasync(file, token))).toBe(0);
    const before = fstatSync(fd).blocks;
    const hole = await bench.run((io, token) =>
      io.fallocate(file, PUNCH_HOLE_KEEP_SIZE, 65536, 2 ** 19, token),
    );
    expect(hole).toBe(0);
    expect(bench.size(fd)).toBe(2 ** 20);
    expect(before - fstatSync(fd).blocks).toBe(2 ** 19 / 512);
    expect(await bench.run((io, token) => io.readv(file, all, 0, token))).toBe(2 ** 20);
    const wanted = Buffer.alloc(2 ** 20, 0xaa).fill(0, 65536, 65536 + 2 ** 19);
    expect(sha256(memory.bytes.subarray(0, 2 ** 20))).toBe(sha256(wanted));
  });

  test('a full queue says no, and has room again after completions', async () => {
    const { engine, memory } = bench;
    const { file } = bench.open('a');
    const piece = segments([memory.address, 512]);
    const pair = segments([memory.address, 512], [memory.address, 512]);
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 32; i++) expect(engine.writev(file, piece, i * 512, i)).toBe(true);
      expect(engine.inFlight).toBe(32);
      expect(engine.writev(file, piece, 0, 99)).toBe(false);
      expect(engine.readv(file, pair, 0, 99)).toBe(false);
      expect(engine.fdatasync(file, 99)).toBe(false);
      expect(engine.fallocate(file, 0, 0, 1, 99)).toBe(false);
      engine.submit();
      while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(bench.completions.length).toBe(5 * 32);
    expect(bench.completions.some(({ token }) => token === 99)).toBe(false);
  });

  test('what the page cache has completes within submitAndReap', async () => {
    const { engine, memory } = bench;
    const { file } = bench.open('a');
    const piece = segments([memory.address, 4096]);
    expect(await bench.run((io, token) => io.writev(file, piece, 0, token))).toBe(4096);
    bench.batches = 0;
    expect(engine.readv(file, piece, 0, 1)).toBe(true);
    expect(bench.completions.length).toBe(1);
    expect(engine.submitAndReap()).toBe(1);
    expect(bench.completions[1]).toEqual({ token: 1, result: 4096 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(bench.batches).toBe(0);
    expect(engine.reap()).toBe(0);
  });

  test('direct I/O, which always waits for the device', async () => {
    const { engine, memory } = bench;
    writeFileSync(path.join(bench.directory, 'a'), randomBytes(2 ** 20));
    const { file } = bench.open('a', constants.O_RDWR | constants.O_DIRECT);
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 32; i++) {
        const piece = segments([memory.address + i * 4096, 4096]);
        expect(engine.readv(file, piece, ((i * 7 + round) % 256) * 4096, i)).toBe(true);
      }
      if (round % 2 === 0) engine.submit();
      else engine.submitAndReap();
      // Nothing but the event loop brings them.
      while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(bench.completions.length).toBe(20 * 32);
    expect(bench.completions.every(({ result }) => result === 4096)).toBe(true);
    const content = readFileSync(path.join(bench.directory, 'a'));
    const start = (19 + 31 * 7) % 256;
    const last = memory.bytes.subarray(31 * 4096, 32 * 4096);
    expect(content.subarray(start * 4096, (start + 1) * 4096).equals(last)).toBe(true);
  });

  /** A tmpfs with an end, which refuses at once what is longer than it is. */
  const small = statfsSync('/dev/shm', { bigint: true });
  const limited = small.type === TMPFS_MAGIC && small.blocks > 0n && small.blocks < 2n ** 28n;
  (limited ? test : test.skip)('ENOSPC', async () => {
    const name = `/dev/shm/vexit-io-${process.pid}`;
    const fd = openSync(name, 'w+');
    unlinkSync(name);
    const file = bench.engine.register(fd);
    closeSync(fd);
    const size = 2 ** 41;
    expect(await bench.run((io, token) => io.fallocate(file, 0, 0, size, token))).toBe(ENOSPC);
  });

  test('completions through the event loop end with onBatch', async () => {
    const { engine, memory } = bench;
    const { file } = bench.open('a');
    for (let i = 0; i < 8; i++) engine.writev(file, segments([memory.address, 512]), 0, i);
    engine.submit();
    expect(bench.completions.length).toBe(0); // never within a call that queues or submits
    while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(bench.batches).toBeGreaterThan(0);
  });

  test('files: the table has an end, names are checked, the file stays open', async () => {
    const { engine, memory } = bench;
    expect(thrownBy(() => engine.register(-1))).toMatchObject({ code: 'ERR_IO' });
    expect(thrownBy(() => engine.register(-2))).toMatchObject({ code: 'ERR_IO' });
    expect(thrownBy(() => engine.register(1_000_000))).toMatchObject({ code: 'ERR_IO' });
    const { file, fd } = bench.open('a');
    const more = Array.from({ length: 63 }, () => engine.register(fd));
    expect(thrownBy(() => engine.register(fd))).toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining('64') as string,
    });
    const piece = segments([memory.address, 1]);
    engine.unregister(more[62]!);
    engine.unregister(more[62]!); // once is enough
    expect(more[62]!.slot).toBe(-1);
    expect(await bench.run((io, token) => io.readv(more[62]!, piece, 0, token))).toBe(EBADF);
    const other = engine.register(fd);
    expect(await bench.run((io, token) => io.writev(other, piece, 0, token))).toBe(1);
    expect(await bench.run((io, token) => io.writev(file, piece, 1, token))).toBe(1);
    // A queued request still goes to the file it was queued for.
    expect(engine.writev(other, piece, 2, 7)).toBe(true);
    engine.unregister(other);
    while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(bench.completions.at(-1)).toEqual({ token: 7, result: 1 });
    expect(bench.size(fd)).toBe(3);
  });

  test('calls that make no sense throw, and leave nothing queued', () => {
    const { engine, memory } = bench;
    const { file } = bench.open('a');
    const piece = segments([memory.address, 1]);
    for (const offset of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      expect(() => engine.readv(file, piece, offset, 1)).toThrow(RangeError);
      expect(() => engine.writev(file, piece, offset, 1)).toThrow(RangeError);
      expect(() => engine.fallocate(file, 0, offset, 1, 1)).toThrow(RangeError);
      expect(() => engine.fallocate(file, 0, 0, offset, 1)).toThrow(RangeError);
    }
    const list = segments(
      ...Array.from({ length: 1025 }, (): [number, number] => [memory.address, 1]),
    );
    expect(() => engine.readv(file, list, 0, 1)).toThrow(RangeError);
    expect(engine.inFlight).toBe(0);
    expect(engine.submitAndReap()).toBe(0);
  });

  test('requests queued from a completion go out with the next submission', async () => {
    const { memory } = bench;
    const counts = new Map<number, number>();
    const piece = segments([memory.address, 512]);
    const chained = new EngineBench(variant, {
      entries: 4,
      onCompletion: (token) => {
        const count = (counts.get(token) ?? 0) + 1;
        counts.set(token, count);
        if (count < 100) {
          // Each of the ways a device may go on from here.
          expect(chained.engine.writev(file, piece, token * 512, token)).toBe(true);
          if (count % 3 === 0) chained.engine.submit();
          else if (count % 3 === 1) expect(chained.engine.submitAndReap()).toBe(0);
          expect(chained.engine.reap()).toBe(0);
        }
      },
      onBatch: () => chained.engine.submit(),
    });
    const { file } = chained.open('a');
    for (let token = 0; token < 4; token++) chained.engine.writev(file, piece, 0, token);
    chained.engine.submit();
    while (chained.engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    expect([...counts.values()]).toEqual([100, 100, 100, 100]);
    await chained.close();
  });

  test('close completes everything once, and refuses what comes later', async () => {
    const closing = new EngineBench(variant, { entries: 32, threads: 1 });
    const { engine, memory } = closing;
    const { file } = closing.open('a');
    const megabyte = segments([memory.address, 2 ** 20]);
    for (let i = 0; i < 16; i++) engine.writev(file, megabyte, i * 2 ** 20, i, true);
    engine.submit();
    for (let i = 16; i < 20; i++) engine.writev(file, megabyte, i * 2 ** 20, i);
    const first = engine.close();
    expect(engine.close()).toBe(first);
    expect(engine.readv(file, megabyte, 0, 77)).toBe(false);
    expect(engine.fdatasync(file, 77)).toBe(false);
    await first;
    expect(engine.inFlight).toBe(0);
    const tokens = closing.completions.map(({ token }) => token).sort((a, b) => a - b);
    expect(tokens).toEqual(Array.from({ length: 20 }, (_, i) => i));
    for (const { token, result } of closing.completions) {
      expect([2 ** 20, -125]).toContain(result);
      if (token >= 16) expect(result).toBe(-125);
    }
    expect(engine.submitAndReap()).toBe(0);
    expect(engine.reap()).toBe(0);
    engine.submit();
    engine.unregister(file);
    expect(thrownBy(() => engine.register(0))).toMatchObject({ code: 'ERR_IO' });
    await closing.close();
  });

  test('a completion that throws loses no other', async () => {
    let thrown = 0;
    const throwing = new EngineBench(variant, {
      onCompletion: (token) => {
        if (token < 2 && thrown++ < 2) throw new Error(`completion ${token}`);
      },
    });
    const { engine, memory } = throwing;
    const { file } = throwing.open('a');
    const piece = segments([memory.address, 512]);
    await throwing.run((io, token) => io.writev(file, piece, 0, token));
    for (let token = 0; token < 4; token++) engine.readv(file, piece, 0, token);
    expect(() => engine.submitAndReap()).toThrow('completion 0');
    expect(() => engine.reap()).toThrow('completion 1');
    while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(throwing.completions.slice(1).map(({ token }) => token)).toEqual([0, 1, 2, 3]);
    await throwing.close();
  });
});

test.each([
  [{ entries: 0 }, 'entries is 0: give 1 to 4096'],
  [{ entries: 4097 }, 'entries is 4097'],
  [{ entries: 1.5 }, 'entries is 1.5'],
  [{ files: 0 }, 'files is 0'],
  [{ threads: 65 }, 'threads is 65'],
])('options %p are refused', (options, message) => {
  expect(
    thrownBy(() => createIoEngine({ ...options, onCompletion: () => undefined })),
  ).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining(message) as string });
});

test('memory that does not exist is refused', () => {
  expect(() => createIoEngine({ memories: [0xffff], onCompletion: () => undefined })).toThrow(
    'EBADF',
  );
});
