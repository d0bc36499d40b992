// Where a guest spends its time: samples RIP and KVM's instruction counter of every vCPU.
//
//   node scripts/profile-guest.mjs [options] -- [arguments of vexit run [-- command]]
//
// Builds profile-guest.c, preloads it into vexit and resolves the samples. docs/guest.md says how to
// read the result. Options:
//   --rate N          samples a second, 500
//   --top N           lines of each table, 40
//   --under SYMBOL    only samples with this function on the stack
//   --from T --to T   only samples of these seconds after the first one
//   --system-map FILE symbols; the newest kernel of the cache otherwise
//   --samples FILE    keep the samples there; without a "--", read them from there
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './stamps.mjs';

const ours = process.argv.slice(2);
const separator = ours.indexOf('--');
const runArguments = separator < 0 ? undefined : ours.splice(separator).slice(1);

const { values } = parseArgs({
  args: ours,
  options: {
    rate: { type: 'string', default: '500' },
    top: { type: 'string', default: '40' },
    under: { type: 'string' },
    from: { type: 'string', default: '0' },
    to: { type: 'string', default: 'Infinity' },
    'system-map': { type: 'string' },
    samples: { type: 'string' },
  },
});

function newestSystemMap() {
  const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'vexit');
  const maps = readdirSync(cache)
    .map((name) => path.join(cache, name, 'System.map'))
    .filter((file) => existsSync(file));
  const age = (file) => statSync(file).mtimeMs;
  const newest = maps.sort((a, b) => age(b) - age(a))[0];
  if (newest === undefined) throw new Error('the cache holds no kernel: run "vexit guest"');
  return newest;
}

/** Text symbols by address, as numbers relative to -2 GiB, which is exact in a double. */
function readSymbols(file) {
  const symbols = [];
  const marks = new Map();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [address, type, name] = line.split(' ');
    if (name === undefined || !address.startsWith('ffffffff')) continue;
    const at = Number.parseInt(address.slice(8), 16);
    marks.set(name, address);
    if (/^[tTwW]$/.test(type)) symbols.push({ at, name });
  }
  symbols.sort((a, b) => a.at - b.at);
  return { symbols, marks };
}

function resolver(symbols) {
  const known = new Map();
  return (address) => {
    let name = known.get(address);
    if (name !== undefined) return name;
    if (address.length < 16) name = '(user program)';
    else if (!address.startsWith('ffffffff')) name = `(0x${address})`;
    else {
      const at = Number.parseInt(address.slice(8), 16);
      let low = 0;
      let high = symbols.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (symbols[middle].at <= at) low = middle + 1;
        else high = middle;
      }
      name = symbols[low - 1]?.name ?? `(0x${address})`;
    }
    known.set(address, name);
    return name;
  };
}

async function record(samples, marks, work) {
  const library = path.join(work, 'profile-guest.so');
  const source = path.join(root, 'scripts', 'profile-guest.c');
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  execFileSync('gcc', [...flags, '-o', library, source, '-ldl'], { stdio: 'inherit' });
  const child = spawn(
    process.execPath,
    [path.join(root, 'dist', 'cli.js'), 'run', ...runArguments],
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        LD_PRELOAD: library,
        PROFILE_OUT: samples,
        PROFILE_RATE: values.rate,
        PROFILE_TEXT_START: marks.get('_text'),
        // The functions of the boot are behind the data.
        PROFILE_TEXT_END: marks.get('_einittext') ?? marks.get('_etext'),
      },
    },
  );
  const status = await new Promise((resolve) => child.on('close', resolve));
  if (status !== 0) console.error(`vexit ended with status ${status}`);
}

/** Whether an address on the stack can be one to return to: not data between text and init text. */
function isText(marks) {
  const [etext, sinittext] = ['_etext', '_sinittext'].map((name) => marks.get(name) ?? '');
  return (address) => address < etext || address >= sinittext;
}

/** Samples with what has happened since the one before of the same vCPU. */
function readSamples(file) {
  const before = new Map();
  const samples = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [time, vcpu, instructions, exits, rip, ...stack] = line.split(' ');
    if (rip === undefined) continue;
    const now = {
      time: Number(BigInt(`0x${time}`) / 1000n) / 1e6,
      instructions: Number.parseInt(instructions, 16),
      exits: Number.parseInt(exits, 16),
    };
    const last = before.get(vcpu) ?? { time: now.time, instructions: 0, exits: 0 };
    before.set(vcpu, now);
    samples.push({
      time: now.time,
      seconds: now.time - last.time,
      instructions: now.instructions - last.instructions,
      exits: now.exits - last.exits,
      rip,
      stack,
    });
  }
  const start = samples[0]?.time ?? 0;
  for (const sample of samples) sample.time -= start;
  return samples;
}

function add(table, name, { seconds, instructions, exits }) {
  const row = table.get(name) ?? { seconds: 0, instructions: 0, exits: 0, samples: 0 };
  row.seconds += seconds;
  row.instructions += instructions;
  row.exits += exits;
  row.samples += 1;
  table.set(name, row);
}

function print(title, table) {
  console.log(`\n${title}\n   seconds  Minsn   exits  samples`);
  const rows = [...table].sort(([, a], [, b]) => b.instructions - a.instructions);
  for (const [name, row] of rows.slice(0, Number(values.top))) {
    const numbers = [
      row.seconds.toFixed(3).padStart(10),
      (row.instructions / 1e6).toFixed(3).padStart(6),
      String(row.exits).padStart(7),
      String(row.samples).padStart(8),
    ];
    console.log(`${numbers.join(' ')}  ${name}`);
  }
}

function report(samples, resolve, text) {
  const total = new Map();
  const self = new Map();
  const inclusive = new Map();
  for (const sample of samples) {
    if (sample.time < Number(values.from) || sample.time > Number(values.to)) continue;
    const name = resolve(sample.rip);
    const on = new Set([name, ...sample.stack.filter(text).map(resolve)]);
    if (values.under !== undefined && !on.has(values.under)) continue;
    add(total, 'all', sample);
    add(self, name, sample);
    for (const each of on) add(inclusive, each, sample);
  }
  print('Sum', total);
  print('In the function itself', self);
  print('With what it called (a function found on the stack)', inclusive);
}

const work = mkdtempSync(path.join(tmpdir(), 'vexit-profile-'));
try {
  const { symbols, marks } = readSymbols(values['system-map'] ?? newestSystemMap());
  const samples = values.samples ?? path.join(work, 'samples');
  if (runArguments !== undefined) await record(samples, marks, work);
  report(readSamples(samples), resolver(symbols), isText(marks));
} finally {
  rmSync(work, { recursive: true, force: true });
}
