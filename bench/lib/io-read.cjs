// The loop of baseline/uring-read.c over the engine of src/io, as bundled by the benchmark.
// Usage: node io-read.cjs BUNDLE KIND FILE DEPTH READS. Prints wall and CPU nanoseconds.
const { fstatSync, openSync } = require('node:fs');

const BLOCK = 4096;
const [bundle, kind, path, depthText, readsText] = process.argv.slice(2);
const { createIoEngine, native } = require(bundle);
const depth = Number(depthText);
const fd = openSync(path, 'r');
const blocks = Math.floor(fstatSync(fd).size / BLOCK);
const { address } = native().memoryCreate('bench', depth * BLOCK);
const memory = Number(address);

let reads = 0;
let started = 0;
let done = 0;
let state = 1;
const segments = { count: 1, addresses: new Float64Array(1), lengths: new Uint32Array([BLOCK]) };

function start(token) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  segments.addresses[0] = memory + token * BLOCK;
  if (!engine.readv(file, segments, ((state >>> 8) % blocks) * BLOCK, token))
    throw new Error('full');
  started++;
}

function completed(token, result) {
  if (result !== BLOCK) throw new Error(`result ${result}`);
  done++;
  if (started < reads) start(token);
}

let finished;
const engine = createIoEngine({
  kind,
  entries: depth,
  onCompletion: completed,
  // What is not there at once comes through the event loop, and goes on from here.
  onBatch: () => turn(),
});
const file = engine.register(fd);

function turn() {
  while (engine.submitAndReap() > 0);
  if (done === reads) finished();
}

function run(count) {
  return new Promise((resolve) => {
    finished = resolve;
    reads = count;
    started = 0;
    done = 0;
    for (let i = 0; i < depth; i++) start(i);
    turn();
  });
}

async function main() {
  await run(20000); // V8 compiles
  const cpu = process.cpuUsage();
  const wall = process.hrtime.bigint();
  await run(Number(readsText));
  const elapsed = process.hrtime.bigint() - wall;
  const used = process.cpuUsage(cpu);
  console.log(`${elapsed} ${(used.user + used.system) * 1000}`);
  await engine.close();
}

void main();
