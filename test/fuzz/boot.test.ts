/**
 * A few seconds of fuzzing with every test run. Longer, or again:
 * FUZZ_SECONDS=600 FUZZ_SEED=7 npx jest test/fuzz/boot
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MIB, withMemory } from '../unit/boot/images.js';
import { fuzzBoot } from './boot.js';

const seconds = Number(process.env.FUZZ_SECONDS ?? 3);
const seed = Number(process.env.FUZZ_SEED ?? 1);
const OUT = path.join(__dirname, 'out');

describe('[H1 H2] fuzzing the kernel loaders', () => {
  it(
    `for ${seconds} s with seed ${seed}`,
    async () => {
      const report = await withMemory(48 * MIB, (memory) => fuzzBoot(memory, seed, seconds * 1000));
      for (const { iteration, image } of report.failures) {
        mkdirSync(OUT, { recursive: true });
        writeFileSync(path.join(OUT, `boot-${seed}-${iteration}.bin`), image);
      }
      console.log(
        `${report.iterations} images, ${report.loaded} loaded, grew ${Math.round(report.grown / MIB)} MiB`,
      );
      expect(report.failures.map(({ iteration, what }) => `${iteration}: ${what}`)).toEqual([]);
      expect(report.iterations).toBeGreaterThan(seconds * 10);
      expect(report.loaded).toBeGreaterThan(0);
      // The collector decides when memory goes back; what leaks in every round is far more.
      expect(report.grown).toBeLessThan(512 * MIB);
    },
    (seconds + 60) * 1000,
  );
});
