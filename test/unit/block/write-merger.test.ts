/** Writes that continue each other become one, and nothing else changes. */
import { readFileSync } from 'node:fs';
import { closeRaw, openRaw, type OpenRaw } from '../../../src/block/raw/open-raw.js';
import { RawBackend } from '../../../src/block/raw/raw-backend.js';
import { WriteMerger } from '../../../src/block/raw/write-merger.js';
import { BackendBench, expectBytes, pattern, scratch, type Ended } from './backend-bench.js';
import { HostSpace, makeEngine, type EngineOptions } from './test-engine.js';

const MIB = 2 ** 20;
const files = scratch();
const open: OpenRaw[] = [];
let counter = 0;

afterEach(() => {
  for (const file of open.splice(0)) closeRaw(file);
});

function setUp(options: EngineOptions = {}) {
  const file = files.file(`merged${counter++}`, 20 * MIB);
  const raw = openRaw(file);
  open.push(raw);
  const { engine, dispatcher, space } = makeEngine(new HostSpace(), options);
  const backend = new WriteMerger(new RawBackend(raw, engine, dispatcher, space.allocate));
  const bench = new BackendBench(backend, space, () => engine.drain());
  /** Queues a write; a seed makes a pattern, none is zeroes. */
  const queue = (offset: number, length: number, seed?: number, stable = false): Ended => {
    const bytes = seed === undefined ? new Uint8Array(length) : pattern(length, seed);
    const { segments } = bench.segments(bytes);
    return bench.start((token) => backend.write(segments, offset, token, stable));
  };
  const finish = (): void => {
    backend.submit();
    engine.drain();
  };
  const writes = (): number[][] =>
    engine.operations
      .filter(({ kind }) => kind === 'writev')
      .map(({ offset, length }) => [offset, length]);
  return { backend, bench, engine, file, queue, finish, writes };
}

test('writes that continue each other are one, and each one ends', () => {
  const { queue, finish, writes, file } = setUp();
  const ended = [0, 1, 2, 3].map((i) => queue(8192 + 4096 * i, 4096, i));
  expect(ended.map(({ result }) => result)).toEqual([undefined, undefined, undefined, undefined]);
  finish();
  expect(ended.map(({ result }) => result)).toEqual([0, 0, 0, 0]);
  expect(writes()).toEqual([[8192, 16384]]);
  const content = readFileSync(file);
  for (let i = 0; i < 4; i++) {
    expectBytes(content.subarray(8192 + 4096 * i, 12288 + 4096 * i), pattern(4096, i));
  }
});

test('a gap, an order of its own, and other durability begin another one', () => {
  const { queue, finish, writes, engine } = setUp();
  queue(0, 4096, 1);
  queue(8192, 4096, 2);
  queue(4096, 4096, 3);
  queue(8192, 4096, 4, true);
  queue(12288, 4096, 5, true);
  finish();
  expect(writes()).toEqual([
    [0, 4096],
    [8192, 4096],
    [4096, 4096],
    [8192, 8192],
  ]);
  expect(engine.operations.map(({ dataSync }) => dataSync)).toEqual([false, false, false, true]);
});

test('a merged write has its limits: bytes, and pieces of memory', () => {
  const { queue, finish, writes } = setUp();
  for (let i = 0; i < 18; i++) queue(i * MIB, MIB);
  finish();
  expect(writes()).toEqual([
    [0, 16 * MIB],
    [16 * MIB, 2 * MIB],
  ]);
  // Two pieces a write, and 1024 a call.
  for (let i = 0; i < 600; i++) queue(i * 512, 512);
  finish();
  expect(writes().slice(2)).toEqual([
    [0, 512 * 512],
    [512 * 512, 88 * 512],
  ]);
});

test('one that fails is made again piece by piece: each has the error that is its own', () => {
  const { queue, finish, file } = setUp({
    // The third 4 KiB are a hole in the medium.
    fault: ({ kind, offset, length }) =>
      kind === 'writev' && offset <= 8192 && offset + length > 8192 ? -5 : undefined,
  });
  const ended = [0, 1, 2, 3].map((i) => queue(4096 * i, 4096, i + 1));
  finish();
  return Promise.resolve().then(() => {
    finish();
    expect(ended.map(({ result }) => result)).toEqual([0, 0, -5, 0]);
    expectBytes(readFileSync(file).subarray(12288, 16384), pattern(4096, 4));
  });
});

test('a short one is continued', () => {
  let calls = 0;
  const { queue, finish, file } = setUp({ fault: () => (calls++ === 0 ? 5000 : undefined) });
  const ended = [0, 1, 2].map((i) => queue(4096 * i, 4096, i));
  finish();
  finish();
  expect(ended.map(({ result }) => result)).toEqual([0, 0, 0]);
  expectBytes(readFileSync(file).subarray(4096, 8192), pattern(4096, 1));
});

test('an engine without room keeps what was collected, and takes it later', () => {
  const { queue, finish, bench, engine, backend } = setUp({ capacity: 1 });
  const first = queue(0, 4096, 1);
  const second = queue(65536, 4096, 2);
  const third = queue(69632, 4096, 3);
  // The first is with the engine, which is full.
  backend.submit();
  expect(engine.operations).toHaveLength(1);
  const { segments } = bench.segments(pattern(512, 4));
  expect(backend.write(segments, 0, 99, false)).toBe(false);
  engine.drain();
  expect(bench.retries).toBeGreaterThan(0);
  finish();
  expect([first, second, third].map(({ result }) => result)).toEqual([0, 0, 0]);
});

test('hundreds of random writes end once each, with the right content', () => {
  let state = 7;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % limit;
  };
  const { queue, finish, file, engine } = setUp({
    fault: ({ length }) => [undefined, undefined, undefined, Math.min(length, 512), -4][random(5)],
    pick: (count) => random(count),
  });
  const model = new Uint8Array(MIB);
  for (let round = 0; round < 20; round++) {
    const ended: Ended[] = [];
    let at = random(16) * 65536;
    // Within one batch no two writes overlap: their order is not defined.
    const limit = at + 65536;
    while (at < limit) {
      const length = Math.min(512 * (1 + random(16)), limit - at);
      if (random(4) > 0) {
        const seed = random(1000);
        model.set(pattern(length, seed), at);
        ended.push(queue(at, length, seed));
      }
      at += length;
    }
    for (let i = 0; i < 50 && ended.some(({ result }) => result === undefined); i++) finish();
    expect(ended.every(({ result }) => result === 0)).toBe(true);
  }
  expect(engine.operations.length).toBeGreaterThan(20);
  expectBytes(readFileSync(file).subarray(0, MIB), model);
});
