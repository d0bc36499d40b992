// Exit cost: the same loops of PIO and MMIO at CPL 0 under a bare KVM_RUN loop in C, under vexit
// and under QEMU microvm, alternated; the VMM's own time per exit; and whether other threads wake.
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { baseline, guest, scratch } from './lib/build.mjs';
import { hasProgram, QEMU } from './lib/facts.mjs';
import { fixed, median, summary, table } from './lib/stats.mjs';
import { commands, cpuTime, prefixed, watch } from './lib/vmms.mjs';

/** Parts of guests/exits.S: their marks and how many exits an iteration makes. */
const PARTS = [
  { name: 'OUT, unused port', from: 0xa1, to: 0xa2, exits: 1 },
  { name: 'OUT + IN, UART scratch', from: 0xb1, to: 0xb2, exits: 2 },
  { name: 'MMIO store, unused', from: 0xc1, to: 0xc2, exits: 1 },
];

/** Microseconds per exit of each part, in one run: by the clock, and of processor time. */
async function runOnce(command, iterations) {
  const marks = new Map();
  await watch(command, (byte, wall, child) => {
    if (byte > 0x7f) marks.set(byte, { wall: Number(wall), cpu: cpuTime(child.pid) });
  });
  return PARTS.map(({ from, to, exits }) => {
    const [start, end] = [marks.get(from), marks.get(to)];
    if (!start || !end) throw new Error(`${command.join(' ')}: no marks of a part`);
    const perExit = (kind) => (end[kind] - start[kind]) / 1000 / (iterations * exits);
    return { wall: perExit('wall'), cpu: perExit('cpu') };
  });
}

async function compare(options) {
  const { rounds, iterations } = options;
  const all = commands(guest('exits', { ITERATIONS: iterations }), baseline('kvm-run-loop'));
  const names = Object.keys(all).filter((name) => name !== 'QEMU microvm' || hasProgram(QEMU));
  const times = Object.fromEntries(names.map((name) => [name, PARTS.map(() => [])]));
  for (let round = 0; round < rounds; round++) {
    // Every other round backwards, so that a drift of the machine hits all alike.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const result = await runOnce(prefixed(all[name], options), iterations);
      result.forEach((time, part) => times[name][part].push(time));
    }
  }
  return Object.fromEntries(
    names.map((name) => [
      name,
      times[name].map((values) => ({
        wall: summary(values.map(({ wall }) => wall)),
        cpu: summary(values.map(({ cpu }) => cpu)),
      })),
    ]),
  );
}

/** Iterations before the first mark of a part, as guests/exits.S has it. */
const WARMUP = 5000;

/** Cuts the gaps between exits into the parts of the guest; the warm-up and the marks fall away. */
function byPart(gaps, iterations) {
  let at = 0;
  return PARTS.map(({ exits }) => {
    const start = at + WARMUP * exits;
    at += (WARMUP + iterations) * exits + 2;
    return gaps.slice(start, at);
  });
}

/** Runs a command while perf records its system calls; returns gaps between two KVM_RUNs in us. */
function recordGaps(command, options) {
  const data = scratch('perf.data');
  const events = ['-e', 'raw_syscalls:sys_enter', '-e', 'raw_syscalls:sys_exit'];
  const record = ['perf', 'record', '-q', '-m', '4096', '-o', data, ...events, '--', ...command];
  const [program, ...args] = prefixed(record, options);
  try {
    execFileSync(program, args, { stdio: 'ignore' });
  } catch (error) {
    if (error.status === null || error.status === 127) throw error;
  }
  const script = execFileSync(
    'perf',
    ['script', '-i', data, '--ns', '-F', 'tid,time,event,trace'],
    { encoding: 'utf8', maxBuffer: 2 ** 31, stdio: ['ignore', 'pipe', 'ignore'] },
  );
  return gapsBetweenRuns(script);
}

const IOCTL = 16;
const KVM_RUN = 0xae80;

function gapsBetweenRuns(script) {
  const gaps = [];
  /** When each thread's KVM_RUN returned. */
  const returned = new Map();
  const line =
    /^\s*(\d+)\s+(\d+)\.(\d+):\s+raw_syscalls:sys_(enter|exit):\s+NR (\d+) (?:\((\w+), (\w+)|= (-?\d+))/;
  const running = new Set();
  for (const text of script.split('\n')) {
    const match = line.exec(text);
    if (match === null) continue;
    const [, tid, seconds, fraction, kind, number, , request] = match;
    const time = Number(seconds) * 1e6 + Number(fraction) / 1e3;
    if (kind === 'exit') {
      if (running.delete(tid)) returned.set(tid, time);
    } else if (Number(number) === IOCTL && parseInt(request, 16) === KVM_RUN) {
      running.add(tid);
      // Another system call in between means this gap is not a plain exit.
      if (returned.has(tid)) gaps.push(time - returned.get(tid));
      returned.delete(tid);
    } else {
      returned.delete(tid);
    }
  }
  return gaps;
}

/**
 * The VMM's own time per exit: from KVM_RUN's return to the next KVM_RUN, as the kernel's
 * tracepoints see it, without what the same tracepoints show for the bare loop.
 */
function ownTime(options) {
  if (!hasProgram('perf')) return undefined;
  const loop = baseline('kvm-run-loop');
  const all = commands(guest('exits', { ITERATIONS: options.iterations }), loop);
  const gaps = Object.fromEntries(
    Object.entries(all)
      .filter(([name]) => name !== 'QEMU microvm' || hasProgram(QEMU))
      .map(([name, command]) => [name, recordGaps(command, options)]),
  );
  const parts = (name) => byPart(gaps[name], options.iterations);
  const floor = parts('bare C').map(median);
  return Object.fromEntries(
    Object.keys(gaps).map((name) => [
      name,
      parts(name).map((values, i) => ({
        gap: median(values),
        own: median(values) - floor[i],
        p99: values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)],
        n: values.length,
      })),
    ]),
  );
}

function contextSwitches(pid) {
  return new Map(
    readdirSync(`/proc/${pid}/task`).map((tid) => {
      const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8');
      const name = /^Name:\s*(.*)$/m.exec(status)[1];
      return [
        tid,
        { name, voluntary: Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)[1]) },
      ];
    }),
  );
}

/** Voluntary context switches (sleeps, so wake-ups) of each thread while the guest makes exits. */
async function wakeUps(options) {
  const iterations = options.iterations * 10;
  const command = commands(guest('exits', { ITERATIONS: iterations }), '').vexit;
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const marks = new Set();
  await new Promise((resolve, reject) => {
    child.stderr.on('data', (bytes) => {
      for (const byte of bytes) marks.add(byte);
      if (marks.has(PARTS[0].from)) resolve();
    });
    child.once('close', () => reject(new Error('vexit ended before its guest began')));
  });
  // The mark itself woke the main thread; let that, and the compiler's threads, come to rest.
  await sleep(300);
  const before = contextSwitches(child.pid);
  await sleep(options.steadyMs);
  const after = contextSwitches(child.pid);
  if (marks.has(PARTS[0].to)) throw new Error('the part ended too early: give more iterations');
  child.kill('SIGTERM');
  await ended;
  return [...after].map(([tid, { name, voluntary }]) => ({
    thread: name,
    wakeUps: voluntary - (before.get(tid)?.voluntary ?? 0),
  }));
}

function printTimes(times, kind, title) {
  const names = Object.keys(times);
  console.log(`\n## Exit cost, us ${title} per exit (median of rounds; ratio to bare C)\n`);
  const cell = (name, part) => {
    const time = times[name][part][kind].median;
    const ratio = time / times['bare C'][part][kind].median;
    return name === 'bare C' ? fixed(time) : `${fixed(time)} (${fixed(ratio, 3)})`;
  };
  const rows = PARTS.map((part, i) => [part.name, ...names.map((name) => cell(name, i))]);
  console.log(table(['part', ...names], rows));
}

export async function exitCost(options) {
  const times = await compare(options);
  printTimes(times, 'wall', 'by the clock');
  // What the neighbours on a busy machine do to the clock they do not do to this.
  printTimes(times, 'cpu', 'of processor time, all threads,');

  const own = ownTime(options);
  if (own === undefined) {
    console.log('\nperf is not installed: own time per exit not measured');
  } else {
    console.log('\n## Own time of the VMM per exit, us (perf tracepoints, less the bare loop)\n');
    const head = ['part', 'VMM', 'gap median', 'own median', 'gap p99', 'exits'];
    const lines = PARTS.flatMap((part, i) =>
      Object.entries(own).map(([name, values]) => {
        const { gap, own: time, p99, n } = values[i];
        return [part.name, name, fixed(gap), fixed(time), fixed(p99), n];
      }),
    );
    console.log(table(head, lines));
  }

  const threads = await wakeUps(options);
  console.log(`\n## Wake-ups of vexit's threads in ${options.steadyMs} ms of steady exits\n`);
  console.log(
    table(
      ['thread', 'wake-ups'],
      threads.map((t) => [t.thread, t.wakeUps]),
    ),
  );
  return { times, own, threads };
}
