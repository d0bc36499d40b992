/** Overlays: what is where, who waits for whom, and what is on storage when. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { MemoryBackend } from '../../../src/block/memory-backend.js';
import { simpleBackend } from '../../../src/block/simple-backend.js';
import { createBackend } from '../../../src/block/open-disk.js';
import {
  createOverlay,
  describeBase,
  openOverlay,
} from '../../../src/block/overlay/open-overlay.js';
import { OverlayBackend } from '../../../src/block/overlay/overlay-backend.js';
import {
  BITMAP_OFFSET,
  DATA_OFFSET,
  MAX_BLOCKS,
  decodeHeader,
  defaultBlockSize,
  encodeHeader,
  overlayFileSize,
  type OverlayLayout,
} from '../../../src/block/overlay/overlay-format.js';
import { closeRaw, openRaw, type OpenRaw } from '../../../src/block/raw/open-raw.js';
import { thrownBy } from '../../support/thrown.js';
import { Random, fuzz } from '../virtio/fuzz.js';
import { BackendBench, expectBytes, pattern, scratch } from './backend-bench.js';
import { HostSpace, makeEngine, type EngineOptions } from './test-engine.js';

const SIZE = 64 * 1024;
const BLOCK = 4096;
const files = scratch();
const content = pattern(SIZE, 11);
let counter = 0;
const toClose: OpenRaw[] = [];
afterEach(() => toClose.splice(0).forEach(closeRaw));

interface Bench extends BackendBench {
  readonly engine: ReturnType<typeof makeEngine>['engine'];
  readonly base: OpenRaw;
  readonly store: OpenRaw;
  readonly path: string;
}

function reopen(basePath: string, path: string, options: EngineOptions = {}): Bench {
  const base = openRaw(basePath, { readOnly: true });
  toClose.push(base);
  const { store, layout } = openOverlay(path, describeBase(base));
  toClose.push(store);
  const { engine, dispatcher, space } = makeEngine(new HostSpace(), options);
  const disk = {
    raw: base,
    overlay: { store, layout },
    capacity: layout.capacity,
    blockSize: 512,
    physicalBlockSize: 4096,
    concurrent: false,
  };
  const backend = createBackend(disk, engine, dispatcher, space.allocate);
  return Object.assign(new BackendBench(backend, space, () => engine.drain()), {
    engine,
    base,
    store,
    path,
  });
}

function bench(options: EngineOptions = {}, more = {}): Bench {
  const basePath = files.file(`base${++counter}`, content);
  const path = files.file(`overlay${counter}`);
  const base = openRaw(basePath, { readOnly: true });
  createOverlay(path, describeBase(base), more);
  closeRaw(base);
  return reopen(basePath, path, options);
}

/** Keeps the engine going until something has come to its end. */
async function whileDraining(made: Bench, work: Promise<void>): Promise<void> {
  let ended = false;
  void work.finally(() => (ended = true));
  while (!ended) {
    made.engine.drain();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await work;
}

function again(made: Bench): Bench {
  toClose.splice(0).forEach(closeRaw);
  return reopen(made.base.path, made.path);
}

describe('reads and writes', () => {
  test('a fresh overlay is its base', () => {
    const made = bench();
    expectBytes(made.read(0, SIZE), content);
    expect(made.engine.operations).toHaveLength(1);
  });

  test('a part of a block is written with the rest of it around', () => {
    const made = bench();
    expect(made.write(BLOCK + 512, pattern(1024, 3))).toBe(0);
    const expected = Buffer.from(content);
    pattern(1024, 3).copy(expected, BLOCK + 512);
    expectBytes(made.read(0, SIZE), expected);
    expectBytes(readFileSync(made.base.path), content);
    const writes = made.engine.operations.filter(({ kind }) => kind === 'writev');
    expect(writes).toMatchObject([{ offset: DATA_OFFSET + BLOCK, length: BLOCK }]);
  });

  test('both ends of a write copy their blocks, and what is there already is not copied again', () => {
    const made = bench();
    expect(made.write(512, pattern(3 * BLOCK, 4))).toBe(0);
    const expected = Buffer.from(content);
    pattern(3 * BLOCK, 4).copy(expected, 512);
    expectBytes(made.read(0, SIZE), expected);
    made.engine.operations.length = 0;
    expect(made.write(1024, pattern(512, 5))).toBe(0);
    expect(made.engine.operations).toMatchObject([{ kind: 'writev', length: 512 }]);
  });

  test('whole blocks need nothing of the base', () => {
    const made = bench();
    expect(made.write(BLOCK, pattern(2 * BLOCK, 6))).toBe(0);
    expect(made.engine.operations.map(({ kind }) => kind)).toEqual(['writev']);
  });

  test('zeroes and discards hide the base', () => {
    const made = bench();
    expect(made.writeZeroes(512, 2 * BLOCK)).toBe(0);
    expect(made.discard(4 * BLOCK - 512, 2 * BLOCK)).toBe(0);
    const expected = Buffer.from(content);
    expected.fill(0, 512, 512 + 2 * BLOCK);
    // A discard is for whole blocks.
    expected.fill(0, 4 * BLOCK, 5 * BLOCK);
    expectBytes(made.read(0, SIZE), expected);
    expect(made.discard(512, 512)).toBe(0);
    expectBytes(made.read(0, SIZE), expected);
  });

  test('two writes to parts of one block at once are both there', () => {
    const made = bench();
    const { backend } = made;
    const ended = [0, 1, 2, 3].map((i) => {
      const { segments } = made.segments(pattern(512, 20 + i));
      return made.start((token) => backend.write(segments, 1024 * i, token, false));
    });
    const whole = made.segments(pattern(BLOCK, 30)).segments;
    ended.push(made.start((token) => backend.write(whole, BLOCK, token, false)));
    made.engine.drain();
    expect(ended.map(({ result }) => result)).toEqual([0, 0, 0, 0, 0]);
    const expected = Buffer.from(content);
    for (let i = 0; i < 4; i++) pattern(512, 20 + i).copy(expected, 1024 * i);
    pattern(BLOCK, 30).copy(expected, BLOCK);
    expectBytes(made.read(0, SIZE), expected);
  });

  test('more copies at once than there is memory for wait', () => {
    const made = bench();
    const ended = Array.from({ length: 16 * 2 }, (_, i) => {
      const { segments } = made.segments(pattern(512, i));
      const at = Math.floor(i / 2) * BLOCK + (i % 2) * 512;
      return made.start((token) => made.backend.write(segments, at, token, false));
    });
    made.engine.drain();
    expect(ended.every(({ result }) => result === 0)).toBe(true);
  });

  test('a failed copy leaves the block to the base, and the next write can have it', () => {
    let fail = true;
    const made = bench({ fault: ({ kind }) => (fail && kind === 'writev' ? -28 : undefined) });
    expect(made.write(512, pattern(512, 1))).toBe(-28);
    fail = false;
    expectBytes(made.read(0, SIZE), content);
    expect(made.write(512, pattern(512, 1))).toBe(0);
    const readError = bench({ fault: ({ kind }) => (kind === 'readv' ? -5 : undefined) });
    expect(readError.write(512, pattern(512, 1))).toBe(-5);
  });

  test('E4: a read of alternating blocks has a bounded number of parts', () => {
    const made = bench({}, { capacity: 2 ** 20 });
    for (let at = 0; at < 2 ** 20; at += 2 * BLOCK) made.write(at, pattern(BLOCK, at / BLOCK));
    const { segments } = made.segments(new Uint8Array(2 ** 20));
    const ended = made.start((token) => made.backend.read(segments, 0, token));
    expect(made.engine.inFlight).toBeLessThanOrEqual(33);
    made.engine.drain();
    expect(ended.result).toBe(0);
    const bytes = Buffer.alloc(BLOCK);
    segments.copyOut(126 * BLOCK, bytes, 0, BLOCK);
    expectBytes(bytes, pattern(BLOCK, 126));
  });
});

describe('storage', () => {
  test('a flush writes data, then bits, then nothing when there is nothing', () => {
    const made = bench();
    made.write(0, pattern(BLOCK, 1));
    made.engine.operations.length = 0;
    expect(made.flush()).toBe(0);
    expect(made.engine.operations).toMatchObject([
      { kind: 'fdatasync' },
      { kind: 'writev', offset: BITMAP_OFFSET, length: 4096 },
      { kind: 'fdatasync' },
    ]);
    made.engine.operations.length = 0;
    expect(made.flush()).toBe(0);
    expect(made.engine.operations.map(({ kind }) => kind)).toEqual(['fdatasync']);
  });

  test('what has been flushed is there after SIGKILL, and so is what was closed', async () => {
    const made = bench();
    made.write(512, pattern(1024, 1));
    made.flush();
    made.write(8 * BLOCK, pattern(BLOCK, 2));
    const killed = again(made);
    const expected = Buffer.from(content);
    pattern(1024, 1).copy(expected, 512);
    expectBytes(killed.read(0, SIZE), expected);
    killed.write(8 * BLOCK, pattern(BLOCK, 2));
    const before = killed.space.live;
    await whileDraining(killed, killed.backend.close());
    expect(killed.space.live).toBe(before - 1);
    pattern(BLOCK, 2).copy(expected, 8 * BLOCK);
    expectBytes(again(killed).read(0, SIZE), expected);
  });

  test('B-7: a stable write that makes a block ends when its bit is on storage', () => {
    const made = bench();
    expect(made.write(512, pattern(512, 1), true)).toBe(0);
    expect(made.engine.operations.at(-1)!.kind).toBe('fdatasync');
    made.engine.operations.length = 0;
    expect(made.write(1024, pattern(512, 2), true)).toBe(0);
    expect(made.engine.operations).toMatchObject([{ kind: 'writev', dataSync: true }]);
    made.write(BLOCK, pattern(BLOCK, 3));
    made.engine.operations.length = 0;
    // The bit of block 1 is not there yet: a stable write to it has to see to that.
    expect(made.write(BLOCK, pattern(512, 4), true)).toBe(0);
    expect(made.engine.operations.at(-1)!.kind).toBe('fdatasync');
    expectBytes(again(made).read(BLOCK, 512), pattern(512, 4));
  });

  test('a failed flush is an error, and the next one writes what is missing', () => {
    let fail = true;
    const made = bench({
      fault: ({ offset }) => (fail && offset === BITMAP_OFFSET ? -5 : undefined),
    });
    made.write(0, pattern(BLOCK, 1));
    expect(made.flush()).toBe(-5);
    fail = false;
    expect(made.flush()).toBe(0);
    expectBytes(again(made).read(0, BLOCK), pattern(BLOCK, 1));
  });

  test('bits of a write that ends during a flush wait for the next one', () => {
    const made = bench();
    made.write(0, pattern(BLOCK, 1));
    const flush = made.start((token) => made.backend.flush(token));
    const { segments } = made.segments(pattern(BLOCK, 2));
    const write = made.start((token) => made.backend.write(segments, BLOCK, token, false));
    // fdatasync, the write, the bits: only then the second fdatasync.
    made.engine.reap(3);
    expect([flush.result, write.result]).toEqual([undefined, 0]);
    const bits = Buffer.alloc(1);
    bits[0] = readFileSync(made.path)[BITMAP_OFFSET]!;
    expect(bits[0]).toBe(1);
    made.engine.drain();
    expect(flush.result).toBe(0);
    made.flush();
    expect(readFileSync(made.path)[BITMAP_OFFSET]).toBe(3);
  });
});

describe('sizes', () => {
  test('it can be larger than its base, and grow', async () => {
    const made = bench({}, { capacity: 2 * SIZE });
    expectBytes(
      made.read(SIZE - 512, 1024),
      Buffer.concat([content.subarray(-512), Buffer.alloc(512)]),
    );
    made.write(2 * SIZE - 512, pattern(512, 1));
    await whileDraining(made, made.backend.resize!(4 * SIZE));
    expect(made.backend.capacity).toBe(4 * SIZE);
    made.write(4 * SIZE - 512, pattern(512, 2));
    made.flush();
    const copy = again(made);
    expect(copy.backend.capacity).toBe(4 * SIZE);
    expectBytes(
      copy.read(2 * SIZE - 512, 1024),
      Buffer.concat([pattern(512, 1), Buffer.alloc(512)]),
    );
    expectBytes(copy.read(4 * SIZE - 512, 512), pattern(512, 2));
    await expect(made.backend.resize!(SIZE)).rejects.toMatchObject({ code: 'ERR_DISK' });
  });

  test('a smaller one shows no more of its base when it grows', () => {
    const made = bench({}, { capacity: SIZE / 2 });
    const layout = decodeHeader(readFileSync(made.path).subarray(0, 512));
    expect(layout).toMatchObject({ baseLimit: SIZE / 2, baseSize: SIZE });
  });

  test('the file is sparse', () => {
    const made = bench();
    expect(statSync(made.path).size).toBe(DATA_OFFSET + SIZE);
    expect(statSync(made.path).blocks * 512).toBeLessThan(SIZE);
  });

  test('blocks grow with the disk', () => {
    expect(defaultBlockSize(2 ** 30)).toBe(4096);
    expect(defaultBlockSize(2 ** 38)).toBe(4096);
    expect(defaultBlockSize(2 ** 38 + 512)).toBe(8192);
    expect(defaultBlockSize(2 ** 46)).toBe(2 ** 20);
  });
});

test('any backend can be the base, and any the store', async () => {
  const layout: OverlayLayout = {
    blockSize: BLOCK,
    capacity: SIZE,
    baseSize: SIZE,
    baseLimit: SIZE,
    identity: new Uint8Array(32),
  };
  const backend = new OverlayBackend({
    base: simpleBackend({
      size: SIZE,
      read: (offset, buffer) => Promise.resolve(void content.copy(buffer, 0, offset)),
    }),
    store: new MemoryBackend(overlayFileSize(layout)),
    layout,
    loadBitmap: () => undefined,
    allocate: new HostSpace().allocate,
  });
  const made = new BackendBench(backend, new HostSpace());
  const { segments } = made.segments(pattern(512, 1));
  const written = made.start((token) => backend.write(segments, 512, token, true));
  const { segments: all } = made.segments(new Uint8Array(SIZE));
  while (written.result === undefined) await new Promise((resolve) => setImmediate(resolve));
  const read = made.start((token) => backend.read(all, 0, token));
  while (read.result === undefined) await new Promise((resolve) => setImmediate(resolve));
  const bytes = Buffer.alloc(SIZE);
  all.copyOut(0, bytes, 0, SIZE);
  const expected = Buffer.from(content);
  pattern(512, 1).copy(expected, 512);
  expectBytes(bytes, expected);
  await backend.close();
});

describe('a header that anybody has written', () => {
  const good: OverlayLayout = {
    blockSize: 4096,
    capacity: SIZE,
    baseSize: SIZE,
    baseLimit: SIZE,
    identity: new Uint8Array(32).fill(7),
  };

  test('is what was encoded', () => {
    expect(decodeHeader(encodeHeader(good))).toEqual(good);
  });

  test.each([
    ['E15: block size 0', { blockSize: 0 }],
    ['E15: block size 5000', { blockSize: 5000 }],
    ['E15: block size 2^31', { blockSize: 2 ** 31 }],
    ['E26: capacity 0', { capacity: 0 }],
    ['E26: capacity that is no sectors', { capacity: 1000 }],
    ['E26: capacity 2^60', { capacity: 2 ** 60 }],
    ['E16: more blocks than bits', { capacity: (MAX_BLOCKS + 1) * 4096 }],
    ['base larger than possible', { baseSize: 2 ** 62 }],
    ['base that ends behind its end', { baseLimit: SIZE + 512 }],
  ])('%s is refused', (_, change) => {
    expect(decodeHeader(encodeHeader({ ...good, ...change }))).toMatch(/^it has /);
  });

  test('E30: no change of a byte passes', () => {
    const header = encodeHeader(good);
    for (let i = 0; i < header.length; i++) {
      const changed = Buffer.from(header);
      changed[i]! ^= 1 << (i % 8);
      expect(typeof decodeHeader(changed)).toBe('string');
    }
    for (let length = 0; length < 512; length += 7) {
      expect(typeof decodeHeader(header.subarray(0, length))).toBe('string');
    }
  });

  test('E30, fuzz: with a right checksum it is refused or makes sense', () => {
    let accepted = 0;
    const rounds = fuzz((random: Random) => {
      for (let i = 0; i < 50; i++) {
        const layout = {
          blockSize: random.chance(60) ? 2 ** (10 + random.below(14)) : random.word(),
          capacity: random.chance(60)
            ? 512 * random.word()
            : random.word() * 2 ** 21 + random.word(),
          baseSize: random.chance(60) ? 512 * random.word() : random.word(),
          baseLimit: random.chance(60) ? 0 : 512 * random.word(),
          identity: good.identity,
        };
        const decoded = decodeHeader(encodeHeader(layout));
        if (typeof decoded === 'string') continue;
        accepted++;
        expect(decoded).toEqual(layout);
        expect(Number.isSafeInteger(overlayFileSize(decoded))).toBe(true);
        expect(Math.ceil(decoded.capacity / decoded.blockSize) <= MAX_BLOCKS).toBe(true);
      }
    });
    expect(rounds).toBeGreaterThan(1);
    expect(accepted).toBeGreaterThan(0);
  });

  test('unknown flags and versions are refused', () => {
    const reencode = (change: (header: Buffer) => void): string => {
      const header = encodeHeader(good);
      change(header);
      header.fill(0, 80, 112);
      header.set(createHash('sha256').update(header).digest(), 80);
      const decoded = decodeHeader(header);
      return typeof decoded === 'string' ? decoded : 'accepted';
    };
    expect(reencode((header) => header.writeUInt32LE(1, 12))).toContain('features');
    expect(reencode((header) => header.writeUInt32LE(2, 8))).toContain('version 2');
  });

  test.each([
    ['E20: another base of this size', pattern(SIZE, 12), /another base/],
    ['E20: a base of another size', pattern(SIZE / 2, 11), /is for a base of 64 KiB/],
  ])('%s is refused', (_, other, message) => {
    const made = bench();
    toClose.splice(0).forEach(closeRaw);
    const base = openRaw(files.file('other-base', other), { readOnly: true });
    toClose.push(base);
    const error = thrownBy(() => openOverlay(made.path, describeBase(base)));
    expect((error as Error).message).toMatch(message);
  });

  test('E27: one that is cut off is refused', () => {
    const made = bench();
    const bytes = readFileSync(made.path);
    const cut = files.file('cut', bytes.subarray(0, bytes.length - 512));
    const error = thrownBy(() => openOverlay(cut, describeBase(made.base)));
    expect((error as Error).message).toContain('is cut off');
  });

  test('it is never made over a file that is there', () => {
    const made = bench();
    const error = thrownBy(() => createOverlay(made.path, describeBase(made.base)));
    expect((error as Error).message).toContain('exists already');
    const bad = thrownBy(() =>
      createOverlay(files.file('bad'), describeBase(made.base), { blockSize: 100 }),
    );
    expect((bad as Error).message).toContain('a block size of 100');
  });

  test('bits behind the end of the disk mean nothing', () => {
    const made = bench();
    const fd = openSync(made.path, 'r+');
    writeSync(fd, Buffer.alloc(4096, 0xff), 2, 4094, BITMAP_OFFSET + 2);
    closeSync(fd);
    const copy = again(made);
    expectBytes(copy.read(0, SIZE), content);
    expect(copy.write(SIZE - 512, pattern(512, 1))).toBe(0);
  });
});
