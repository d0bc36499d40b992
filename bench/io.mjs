// Asynchronous I/O: random 4 KiB reads of a file in the page cache at depth 32, through the engine
// in TypeScript and by a bare loop over io_uring in C, alternated.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { baseline, benchDir, root, scratch } from './lib/build.mjs';
import { fixed, median, table } from './lib/stats.mjs';
import { prefixed } from './lib/vmms.mjs';

const DEPTH = 32;
const READS = 300_000;
const FILE_BYTES = 256 * 2 ** 20;

/** The engine as one file, within the repository, where it finds the addon. */
async function bundled() {
  mkdirSync(path.join(root, 'build'), { recursive: true });
  const directory = mkdtempSync(path.join(root, 'build', 'bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const outfile = path.join(directory, 'io.cjs');
  const entryPoints = [path.join(benchDir, 'lib', 'io-bundle.mjs')];
  await build({ entryPoints, outfile, bundle: true, platform: 'node', format: 'cjs' });
  return outfile;
}

/** Nanoseconds a read takes: by the clock, and of processor time. */
function runOnce(command, options) {
  const [program, ...args] = prefixed(command, options);
  const output = execFileSync(program, args, { encoding: 'utf8' });
  const [wall, cpu] = output.split(' ').map(Number);
  return { wall: wall / READS, cpu: cpu / READS };
}

export async function io(options) {
  const file = scratch('data');
  writeFileSync(file, randomBytes(FILE_BYTES));
  const bundle = await bundled();
  const reader = path.join(benchDir, 'lib', 'io-read.cjs');
  const numbers = [String(DEPTH), String(READS)];
  const engine = (kind) => [process.execPath, reader, bundle, kind, file, ...numbers];
  const commands = {
    'C, io_uring': [baseline('uring-read'), file, ...numbers],
    'vexit, io_uring': engine('io_uring'),
    'vexit, threads': engine('threads'),
  };
  const names = Object.keys(commands);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    // Every other round backwards, so that a drift of the machine hits all alike.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      times[name].push(runOnce(commands[name], options));
    }
  }
  const results = Object.fromEntries(
    names.map((name) => {
      const of = (kind) => median(times[name].map((time) => time[kind]));
      return [name, { wall: of('wall'), cpu: of('cpu') }];
    }),
  );
  const c = results['C, io_uring'];
  console.log(`\n## Random 4 KiB reads from the page cache, depth ${DEPTH}, ns a read\n`);
  const rows = names.map((name) => {
    const { wall, cpu } = results[name];
    return [name, fixed(wall, 0), fixed(c.wall / wall), fixed(cpu, 0), fixed(c.cpu / cpu)];
  });
  console.log(table(['', 'by the clock', 'speed / C', 'CPU time', 'C / CPU time'], rows));
  return results;
}
