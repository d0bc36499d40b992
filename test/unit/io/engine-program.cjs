// A process, or a worker of it, that uses an engine: node engine-program.cjs BUNDLE WHAT KIND.
// Prints JSON. `blocked` reads /dev/kmsg until nothing is there, and so has a request that does not
// end.
const { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');

const [bundle, what, kind] = isMainThread ? process.argv.slice(2) : workerData;
const { createIoEngine, native } = require(bundle);
const AREA = 65536;

const turn = () => later(0);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function allocate(size) {
  const { id, address } = native().memoryCreate('vexit-test', size);
  return { id, address: Number(address), bytes: new Uint8Array(native().memoryWrap(id, 0, size)) };
}

function release({ id, bytes }) {
  native().memoryUnwrap(bytes.buffer);
  native().memoryRelease(id);
}

function piece(address, length) {
  return {
    count: 1,
    addresses: new Float64Array([address]),
    lengths: new Uint32Array([length]),
  };
}

function report(value) {
  if (isMainThread) console.log(JSON.stringify(value));
  else parentPort.postMessage(value);
}

/** Leaves reads of the kernel's log in flight, more than the pool has threads. */
async function block() {
  const memory = allocate(AREA);
  let done = 0;
  const engine = createIoEngine({
    kind,
    entries: 16,
    memories: [memory.id],
    onCompletion: () => done++,
  });
  const file = engine.register(openSync('/dev/kmsg', 'r'));
  const list = piece(memory.address, 8192);
  for (let last = Date.now(), before = -1; Date.now() - last < 200;) {
    while (engine.readv(file, list, 0, 0));
    engine.submit();
    await turn();
    if (done !== before) last = Date.now();
    before = done;
  }
  return engine;
}

/** Writes and reads in a file of its own; how many bytes came back wrong. */
async function work(rounds) {
  const directory = mkdtempSync(path.join(tmpdir(), 'vexit-io-'));
  const memory = allocate(AREA);
  const results = new Map();
  const engine = createIoEngine({
    kind,
    onCompletion: (token, result) => results.set(token, result),
  });
  const fd = openSync(path.join(directory, 'file'), 'w+');
  const file = engine.register(fd);
  let wrong = 0;
  for (let round = 0; round < rounds; round++) {
    results.clear();
    const value = (round * 7 + 1) % 251;
    memory.bytes.fill(value, 0, AREA / 2);
    for (let i = 0; i < 32; i++) engine.writev(file, piece(memory.address + i, 1024), i * 1024, i);
    engine.submit();
    while (engine.inFlight > 0) await turn();
    engine.readv(file, piece(memory.address + AREA / 2, AREA / 2), 0, 99);
    engine.submitAndReap();
    while (engine.inFlight > 0) await turn();
    for (let i = 0; i < 32; i++) if (results.get(i) !== 1024) wrong++;
    for (let i = 0; i < AREA / 2; i++) if (memory.bytes[AREA / 2 + i] !== value) wrong++;
  }
  await engine.close();
  closeSync(fd);
  release(memory);
  rmSync(directory, { recursive: true });
  return wrong;
}

/** Reads without an end. */
function flood(engine, file, list) {
  while (engine.readv(file, list, 0, 1));
  engine.submit();
}

async function abandon() {
  const memory = allocate(AREA);
  const engine = createIoEngine({
    kind,
    memories: [memory.id],
    onCompletion: () => undefined,
    onBatch: () => flood(engine, file, list),
  });
  const list = piece(memory.address, AREA);
  const file = engine.register(openSync(bundle, 'r'));
  release(memory); // the engine keeps it mapped
  flood(engine, file, list);
  report('running');
}

function resources() {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    fds: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    maps: maps.filter((line) => /io_uring|vexit-test/.test(line)).length,
    rss: process.memoryUsage.rss() / 2 ** 20,
  };
}

function thread(program) {
  return new Worker(module.filename, { workerData: [bundle, program, kind] });
}

const message = (worker) => new Promise((resolve) => worker.once('message', resolve));

const PROGRAMS = {
  async kind() {
    const engine = createIoEngine({ onCompletion: () => undefined });
    report(engine.kind);
    await engine.close();
  },
  async forced() {
    try {
      createIoEngine({ kind: 'io_uring', onCompletion: () => undefined });
    } catch ({ code, message: text, hint }) {
      report({ code, text, hint });
    }
  },
  async work() {
    report(await work(200));
  },
  abandon,
  async blocked() {
    await block();
    report('blocked');
  },
  async exit() {
    await block();
    report('blocked');
    process.exit(0);
  },
  async terminate() {
    const worker = thread('blocked');
    await message(worker);
    const start = Date.now();
    await worker.terminate();
    report(Date.now() - start);
  },
  async workers() {
    const workers = [thread('work'), thread('work')];
    report(await Promise.all(workers.map(message)));
  },
  /** Engines that are closed, and workers that end with requests in flight. */
  async leaks() {
    const once = async () => {
      await work(2);
      const worker = thread('abandon');
      await message(worker);
      await worker.terminate();
    };
    for (let i = 0; i < 3; i++) await once();
    await later(200);
    const before = resources();
    for (let i = 0; i < 12; i++) await once();
    await later(200);
    report({ before, after: resources() });
  },
  /** Bytes of the JavaScript heap that 100000 requests leave behind, without a collection. */
  async allocation() {
    const memory = allocate(AREA);
    let done = 0;
    const engine = createIoEngine({ kind, entries: 32, onCompletion: () => done++ });
    const file = engine.register(openSync(bundle, 'r'));
    const one = piece(memory.address, 512);
    const two = {
      count: 2,
      addresses: new Float64Array([memory.address, memory.address + 4096]),
      lengths: new Uint32Array([512, 512]),
    };
    const requests = async (count) => {
      for (const end = done + count; done < end;) {
        while (engine.readv(file, engine.inFlight % 2 === 0 ? one : two, 0, 5));
        if (engine.submitAndReap() === 0) await turn();
      }
      while (engine.inFlight > 0) await turn();
    };
    await requests(50_000); // V8 compiles
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    await requests(100_000);
    report(process.memoryUsage().heapUsed - before);
    await engine.close();
  },
};

void PROGRAMS[what]();
