// A host program for guests that flood: runs one, with a second VM beside it if asked to, and prints
// as JSON what that did to the process. Arguments: the built library, and settings as JSON.
const { readFileSync } = require('node:fs');
const { clearInterval, setInterval } = require('node:timers');
const { setTimeout: sleep } = require('node:timers/promises');

const [, , library, settings] = process.argv;
const { VirtualMachine } = require(library);
const { flood, beside, reader, warmUp, seconds, untilDropped } = JSON.parse(settings);

/** Nanoseconds of this thread: running, and waiting for a processor that others had. */
function schedule() {
  const [running, waiting] = readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ');
  return { running: Number(running), waiting: Number(waiting) };
}

const TICK_MS = 2;
/** Looks at the event loop and the memory; worst since the last `take`. */
class Watcher {
  constructor() {
    this.reset();
    this.timer = setInterval(() => this.look(), TICK_MS);
  }
  reset() {
    this.at = performance.now();
    this.before = schedule();
    this.away = 0;
    this.busy = 0;
    this.rss = 0;
  }
  look() {
    const now = performance.now();
    const after = schedule();
    const waited = (after.waiting - this.before.waiting) / 1e6;
    this.away = Math.max(this.away, now - this.at - waited - TICK_MS);
    this.busy = Math.max(this.busy, (after.running - this.before.running) / 1e6);
    this.rss = Math.max(this.rss, process.memoryUsage.rss());
    this.at = now;
    this.before = after;
  }
  take() {
    const { away, busy, rss } = this;
    this.reset();
    return { away, busy, rss };
  }
}

async function start(options, onNote) {
  const vm = await VirtualMachine.create(options);
  vm.on('note', onNote);
  let text = '';
  return {
    vm,
    get text() {
      return text;
    },
    read() {
      vm.serial.output.on(
        'data',
        (bytes) => (text = (text + bytes.toString('latin1')).slice(-4096)),
      );
    },
  };
}

/** The number of the last whole "n=" line. */
function count(text) {
  const lines = text.match(/^n=[0-9a-f]+$(?=\n)/gm) ?? [];
  return lines.length === 0 ? 0 : parseInt(lines.at(-1).slice(2), 16);
}

async function main() {
  const notes = [];
  const flooder = await start(flood, (line) => notes.push(line));
  if (!flood.cmdline.endsWith('s')) flooder.read();
  let consoleBytes = 0;
  const output = flooder.vm.virtioConsole?.ports[0].output;
  if (reader === 'reads') output.on('data', (bytes) => (consoleBytes += bytes.length));
  // One that has begun to read and then is busy with something else for ever.
  if (reader === 'stalls') output.once('data', () => output.pause());
  const other = beside && (await start(beside, () => undefined));
  other?.read();
  await flooder.vm.start();
  await other?.vm.start();
  const watcher = new Watcher();
  await sleep(warmUp * 1000);
  const warm = watcher.take();
  const done = count(other?.text ?? '');
  const bytes = consoleBytes;
  await sleep(seconds * 1000);
  // Where every byte is an exit, it takes a while until a backlog is full.
  for (let i = 0; untilDropped && i < 300; i++) {
    if (flooder.vm.serial.output.dropped > 0) break;
    await sleep(100);
  }
  const measured = watcher.take();
  const result = {
    up: flooder.text.includes('up\n'),
    states: [flooder.vm.state, other?.vm.state ?? 'running'],
    away: measured.away,
    busy: measured.busy,
    grown: measured.rss - warm.rss,
    notes,
    consoleBytes: consoleBytes - bytes,
    progress: count(other?.text ?? '') - done,
    dropped: flooder.vm.serial.output.dropped,
  };
  await flooder.vm.stop();
  await other?.vm.stop();
  process.stdout.write(JSON.stringify(result));
  clearInterval(watcher.timer);
}
void main();
