/** Fuzzes one target: what `scripts/fuzz.mjs` runs, with counters in the blocks of `src/`. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { readCorpus, writeCorpus, writeFailure } from './corpus.js';
import { Fuzzer, type FuzzReport } from './fuzzer.js';
import type { FuzzTarget } from './target.js';
import { Watchdog } from './watchdog.js';

/** Growth of the heap that is none: caches, code, tables that reach their bounds. */
const GROWTH_LIMIT = 8 << 20;
const CORPUS_BYTES = 32768;
const REPORT_EVERY_MS = 15_000;

function line(name: string, report: FuzzReport): string {
  const { cases, time, covered, blocks, mostWork, grown, parents } = report;
  const rate = Math.round((cases / time) * 1000);
  const growth = grown === undefined ? '' : `, heap grown by ${Math.round(grown / 1024)} KiB`;
  return (
    `${name}: ${cases} cases in ${Math.round(time / 1000)} s (${rate}/s), ` +
    `${covered} of ${blocks} blocks, at most ${mostWork} blocks a case, ` +
    `${parents} parents${growth}`
  );
}

export async function main(target: FuzzTarget, corpusRoot: string): Promise<void> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
      seconds: { type: 'string' },
      keep: { type: 'boolean', default: false },
      missing: { type: 'boolean', default: false },
    },
  });
  const folder = path.join(corpusRoot, target.name);
  const watchdog = new Watchdog(folder);
  const most = values.seconds === undefined ? Infinity : Number(values.seconds) * 1000;
  const begun = performance.now();
  let reported = begun;
  const fuzzer = new Fuzzer(target, {
    cases: Number(values.cases),
    seed: Number(values.seed),
    corpus: readCorpus(folder).map(({ bytes }) => bytes),
    before: (bytes) => watchdog.begin(bytes),
    progress: (report) => {
      const now = performance.now();
      if (now - reported > REPORT_EVERY_MS) {
        reported = now;
        console.log(line(target.name, report));
      }
      return now - begun > most;
    },
  });
  const report = await fuzzer.run();
  const { failure, grown = 0 } = report;
  console.log(`${line(target.name, report)}, done`);
  if (failure !== undefined) {
    console.log(`FAILED with --seed ${values.seed}, case ${failure.number}: ${failure.stack}`);
    const bytes = failure.minimized ?? failure.bytes;
    if (failure.minimized === undefined) console.log('not by this case alone: others came before');
    console.log(`the case: ${writeFailure(folder, bytes)} (${bytes.length} bytes)`);
    process.exitCode = 1;
  } else if (grown > GROWTH_LIMIT) {
    console.log(`FAILED: the heap grew by ${grown} bytes`);
    process.exitCode = 1;
  } else if (values.keep) {
    const cases = await fuzzer.distill(CORPUS_BYTES);
    writeCorpus(folder, cases);
    console.log(`${target.name}: ${cases.length} cases kept`);
  }
  if (values.missing) console.log(`MISSING ${fuzzer.coverage.missing().join(' ')}`);
  await watchdog.close();
  process.exit();
}
