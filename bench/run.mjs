// npm run bench -- [exit] [startup] [boot] [memory] [io] [disk] [net] [user] [vsock] [fs] [fio] [--rounds N] [--iterations N] [--fifo] [--json FILE]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { factsLine, machineFacts } from './lib/facts.mjs';

const SECTIONS = {
  exit: async (options) => (await import('./exit-cost.mjs')).exitCost(options),
  startup: async (options) => (await import('./startup.mjs')).startup(options),
  boot: async (options) => (await import('./boot.mjs')).bootTime(options),
  memory: async (options) => (await import('./memory.mjs')).memory(options),
  disk: async (options) => (await import('./disk.mjs')).diskSpeed(options),
  net: async (options) => (await import('./net.mjs')).netSpeed(options),
  user: async (options) => (await import('./user-stack.mjs')).userStack(options),
  vsock: async (options) => (await import('./vsock.mjs')).vsockSpeed(options),
  fs: async (options) => (await import('./fs.mjs')).fsSpeed(options),
  io: async (options) => (await import('./io.mjs')).io(options),
  fio: async () => (await import('./fio.mjs')).fio(),
};
/** Run when it is named only: it needs root and Debian's mirror, and minutes. */
const ON_DEMAND = new Set(['fio']);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '7' },
    iterations: { type: 'string', default: '50000' },
    fifo: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const usual = Object.keys(SECTIONS).filter((name) => !ON_DEMAND.has(name));
const names = positionals.length === 0 ? usual : positionals;
const unknown = names.find((name) => !(name in SECTIONS));
if (unknown !== undefined) {
  console.error(`no benchmark ${unknown}: ${Object.keys(SECTIONS).join(', ')}`);
  process.exit(2);
}
const options = {
  rounds: Number(values.rounds),
  iterations: Number(values.iterations),
  fifo: values.fifo,
  steadyMs: 500,
};

const facts = machineFacts();
console.log(factsLine(facts));
const results = {};
for (const name of names) results[name] = await SECTIONS[name](options);
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify({ facts, options, results }, null, 2)}\n`);
}
