// Fuzzes what a guest can feed:  node scripts/fuzz.mjs TARGET|all [options]
//
//   --cases N     cases of each target (100000)
//   --seed N      another sequence of cases (1)
//   --seconds N   no longer than this for each target
//   --keep        replace the kept corpus by the smallest cases that run as many blocks
//   --missing     say which blocks no case has run
//
// Builds each target with a counter in every basic block of the code it is about, and runs it in a
// process of its own with a garbage collector that can be called.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { addCounters } from './fuzz-blocks.mjs';
import { root } from './stamps.mjs';

const folder = path.join(root, 'test/fuzz/targets');
const out = path.join(root, 'build/fuzz');
const MOST_BLOCKS = 16384;
/** Not what a guest feeds: the addon's face, and what everything uses. */
const UNCOUNTED = /\/src\/(kvm|util)\//;

const targets = readdirSync(folder)
  .filter((file) => file.endsWith('.target.ts'))
  .map((file) => file.slice(0, -'.target.ts'.length))
  .sort();
const [asked, ...options] = process.argv.slice(2);
if (asked !== 'all' && !targets.includes(asked)) {
  console.error(
    `usage: node scripts/fuzz.mjs TARGET|all [--cases N] [--seed N] [--seconds N] [--keep]`,
  );
  console.error(`targets: ${targets.join(' ')}`);
  process.exit(2);
}
mkdirSync(out, { recursive: true });
let failed = false;
for (const name of asked === 'all' ? targets : [asked]) {
  const places = [];
  const counters = {
    name: 'counters',
    setup({ onLoad }) {
      onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path: file }) => {
        if (UNCOUNTED.test(file)) return undefined;
        const next = (line) => places.push(`${path.relative(root, file)}:${line}`) - 1;
        return { contents: addCounters(readFileSync(file, 'utf8'), file, next), loader: 'js' };
      });
    },
  };
  const outfile = path.join(out, `${name}.cjs`);
  await build({
    stdin: {
      contents: `import { target } from './${name}.target.ts';
        import { main } from '../engine/main.ts';
        globalThis.vexitBlocks = { counts: vexitCounts, total: BLOCKS() };
        void main(target, ${JSON.stringify(path.join(root, 'test/fuzz/corpus'))});`,
      resolveDir: folder,
      loader: 'ts',
    },
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'warning',
    banner: { js: `const vexitCounts = new Uint32Array(${MOST_BLOCKS});` },
    // Known when all files have been read; a function is known before it is written.
    footer: { js: 'function BLOCKS() { return Number(process.env.VEXIT_FUZZ_BLOCKS); }' },
    plugins: [counters],
  });
  if (places.length > MOST_BLOCKS) throw new Error(`${name}: ${places.length} blocks`);
  const { status, signal, stdout } = spawnSync(
    process.execPath,
    ['--expose-gc', '--max-semi-space-size=32', '--stack-trace-limit=30', outfile, ...options],
    {
      stdio: ['ignore', options.includes('--missing') ? 'pipe' : 'inherit', 'inherit'],
      env: { ...process.env, VEXIT_FUZZ_BLOCKS: String(places.length) },
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    },
  );
  for (const line of (stdout ?? '').split('\n')) {
    if (!line.startsWith('MISSING')) console.log(line);
    else for (const n of line.split(' ').slice(1)) console.log(`  never run: ${places[n]}`);
  }
  if (status !== 0) {
    console.log(`${name}: FAILED${signal === null ? '' : ` by ${signal}`}`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
