/**
 * Every target with its kept corpus, and with some cases that no coverage guides. Longer runs, with
 * coverage: node scripts/fuzz.mjs all --cases 1000000. See docs/fuzzing.md.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { readCorpus } from './engine/corpus.js';
import { Fuzzer } from './engine/fuzzer.js';
import type { FuzzTarget } from './engine/target.js';

const CASES = Number(process.env.FUZZ_CASES ?? 2000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const CORPUS = path.join(__dirname, 'corpus');
const CORPUS_LIMIT = 512 * 1024;

const names = readdirSync(path.join(__dirname, 'targets'))
  .filter((file) => file.endsWith('.target.ts'))
  .map((file) => file.slice(0, -'.target.ts'.length));

async function load(name: string): Promise<FuzzTarget> {
  const module = (await import(`./targets/${name}.target.js`)) as { target: FuzzTarget };
  return module.target;
}

describe('what a guest feeds', () => {
  test.each(names)('does no harm to %s', async (name) => {
    const target = await load(name);
    expect(target.name).toBe(name);
    const corpus = readCorpus(path.join(CORPUS, name)).map(({ bytes }) => bytes);
    const report = await new Fuzzer(target, { cases: CASES, seed: SEED, corpus }).run();
    expect(report.failure).toBeUndefined();
    expect(report.cases).toBeGreaterThanOrEqual(CASES);
  });

  test.each(names)('of %s is kept, case by case in a fresh target', async (name) => {
    const target = await load(name);
    const kept = readCorpus(path.join(CORPUS, name));
    expect(kept.length).toBeGreaterThan(0);
    for (const { bytes } of kept) expect(bytes.length).toBeLessThanOrEqual(target.maxBytes);
    for (const { bytes } of kept.filter(({ file }) => file.startsWith('found-'))) {
      const open = await target.open();
      await open.run(bytes);
      await open.close?.();
    }
  });

  test('is kept for these targets only, and small', () => {
    const folders = readdirSync(CORPUS);
    expect(folders.sort()).toEqual([...names].sort());
    const sizes = folders.flatMap((folder) =>
      readCorpus(path.join(CORPUS, folder)).map(({ bytes }) => bytes.length),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(CORPUS_LIMIT);
  });
});
