/** The fuzzing driver itself: it finds what there is to find, and makes it small. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readCorpus, writeCorpus, writeFailure } from './engine/corpus.js';
import { Fuzzer } from './engine/fuzzer.js';
import { Input } from './engine/input.js';
import type { FuzzTarget } from './engine/target.js';

/** Fails on a case that has three bytes one after the other; blocks tell how many are right. */
const WANTED = [0x42, 0x99, 0x17];

function lockedTarget(counts = new Uint32Array(4)): FuzzTarget {
  return {
    name: 'locked',
    maxBytes: 64,
    seeds: [new Uint8Array(8)],
    open: () => ({
      run: (bytes) => {
        let right = 0;
        for (const byte of bytes) {
          right = byte === WANTED[right] ? right + 1 : 0;
          counts[right]!++;
          if (right === WANTED.length) throw new Error(`open after ${bytes.length} bytes`);
        }
      },
    }),
  };
}

afterEach(() => {
  globalThis.vexitBlocks = undefined;
});

test('coverage leads to a failure, which is minimized', async () => {
  const counts = new Uint32Array(4);
  globalThis.vexitBlocks = { counts, total: 4 };
  const options = { cases: 200_000, seed: 1, corpus: [] };
  const report = await new Fuzzer(lockedTarget(counts), options).run();
  expect(report.failure?.what).toBe('Error: open after N bytes');
  expect(Array.from(report.failure?.minimized ?? [])).toEqual(WANTED);
  expect(report.cases).toBeLessThan(200_000);
});

test('the same seed is the same sequence of cases', async () => {
  const run = async (seed: number): Promise<string> => {
    const cases: string[] = [];
    const before = (bytes: Uint8Array): void => void cases.push(Buffer.from(bytes).toString('hex'));
    await new Fuzzer(lockedTarget(), { cases: 300, seed, corpus: [], before }).run();
    return cases.join('\n');
  };
  expect(await run(5)).toBe(await run(5));
  expect(await run(5)).not.toBe(await run(6));
});

test('a case that does too much fails', async () => {
  const counts = new Uint32Array(1);
  globalThis.vexitBlocks = { counts, total: 1 };
  const target: FuzzTarget = {
    name: 'busy',
    maxBytes: 4,
    seeds: [Uint8Array.of(1)],
    workLimit: 100,
    open: () => ({ run: ([first = 0]) => void (counts[0]! += first) }),
  };
  const report = await new Fuzzer(target, { cases: 10_000, seed: 1, corpus: [] }).run();
  expect(report.failure?.what).toBe('Error: a case ran N blocks');
  expect(report.failure?.minimized?.[0]).toBeGreaterThan(100);
});

test('the smallest cases that do everything are chosen', async () => {
  const counts = new Uint32Array(4);
  globalThis.vexitBlocks = { counts, total: 4 };
  const corpus = [Uint8Array.of(0x42, 0x99, 0), Uint8Array.of(0x42), Uint8Array.of(7, 0x42, 0x99)];
  const fuzzer = new Fuzzer(lockedTarget(counts), { cases: 1, seed: 1, corpus });
  await fuzzer.run();
  expect((await fuzzer.distill(1000)).map((bytes) => Array.from(bytes))).toEqual([
    [0x42],
    [0x42, 0x99, 0],
  ]);
});

test('kept cases are replaced, and failures stay', () => {
  const folder = path.join(mkdtempSync(path.join(os.tmpdir(), 'vexit-corpus-')), 'target');
  try {
    writeCorpus(folder, [Uint8Array.of(1), Uint8Array.of(2)]);
    const failure = writeFailure(folder, Uint8Array.of(3));
    expect(readdirSync(folder)).toHaveLength(3);
    writeCorpus(folder, [Uint8Array.of(4)]);
    const kept = readCorpus(folder).map(({ bytes }) => bytes[0]);
    expect(kept.sort()).toEqual([3, 4]);
    expect(path.basename(failure)).toMatch(/^found-[0-9a-f]{12}$/);
  } finally {
    rmSync(path.dirname(folder), { recursive: true });
  }
});

test('behind the end of a case everything is zero and nothing happens', () => {
  const input = new Input(Uint8Array.of(200, 1, 2, 3, 4));
  expect(input.word()).toBe(0x0403_0201);
  expect(input.done).toBe(true);
  expect([input.u32(), input.word(), input.below(10), input.long()]).toEqual([0, 0, 0, 0n]);
  expect(input.chance(255)).toBe(false);
  expect(input.take(5)).toHaveLength(0);
});
