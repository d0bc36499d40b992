// Start-up: from exec of a program to the first act of its guest, as the kernel's tracepoints see
// it (the same observer for every VMM); and from VirtualMachine.create to the first KVM_RUN inside
// a running Node.js process.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { baseline, benchDir, cli, dist, guest, scratch } from './lib/build.mjs';
import { hasProgram, QEMU } from './lib/facts.mjs';
import { fixed, summary, table } from './lib/stats.mjs';
import { commands, prefixed } from './lib/vmms.mjs';

const MARK_PORT = 0x2f0;
const EVENTS = [
  ...['-e', 'sched:sched_process_exec', '-e', 'sched:sched_process_exit'],
  ...['-e', 'kvm:kvm_fpu', '-e', 'kvm:kvm_pio', '--filter', `port == ${MARK_PORT}`],
];

/** Milliseconds from exec to the first KVM_RUN, the guest's mark and the process's exit. */
function trace(command, options) {
  const data = scratch('perf.data');
  const record = ['perf', 'record', '-q', '-o', data, ...EVENTS, '--', ...command];
  const [program, ...args] = prefixed(record, options);
  spawnSync(program, args, { stdio: 'ignore' });
  const script = execFileSync(
    'perf',
    ['script', '-i', data, '--ns', '-F', 'pid,tid,time,event,trace'],
    { encoding: 'utf8', maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const found = {};
  let start;
  for (const text of script.split('\n')) {
    const match = /^\s*(\d+)\/(\d+)\s+(\d+)\.(\d+):\s+\w+:(\w+):/.exec(text);
    if (match === null) continue;
    const [, pid, tid, seconds, fraction, event] = match;
    const time = Number(seconds) * 1e3 + Number(fraction) / 1e6;
    // The last exec is the program's own: prefixes such as chrt and env exec it.
    if (event === 'sched_process_exec') start = time;
    else if (event === 'kvm_fpu') found.run ??= time - start;
    else if (event === 'kvm_pio') found.mark ??= time - start;
    else if (pid === tid) found.exit = time - start;
  }
  return found;
}

function fromExec(options) {
  const all = {
    'node -e 0': [process.execPath, '-e', '0'],
    ...commands(guest('first'), baseline('kvm-run-loop')),
  };
  const names = Object.keys(all).filter((name) => name !== 'QEMU microvm' || hasProgram(QEMU));
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      times[name].push(trace(all[name], options));
    }
  }
  const column = (name, event) => {
    const values = times[name].map((found) => found[event]).filter((v) => v !== undefined);
    return values.length === 0 ? undefined : summary(values);
  };
  return Object.fromEntries(
    names.map((name) => [
      name,
      { run: column(name, 'run'), mark: column(name, 'mark'), exit: column(name, 'exit') },
    ]),
  );
}

/** What the CLI does on its way, told from its system calls: name, and pattern in strace's output. */
const MILESTONES = [
  ['Node.js up, CLI opened', /openat\(.*cli\.js"/],
  ['addon opened', /openat\(.*vexit\.node"/],
  ['arguments and kernel checked, KVM opened', /openat\(.*"\/dev\/kvm"/],
  ['VM made', /KVM_GET_VCPU_MMAP_SIZE/],
  ['memory mapped', /KVM_SET_USER_MEMORY_REGION/],
  ['interrupt controllers and timer', /KVM_CREATE_PIT2/],
  ['devices, tables, kernel loaded', /KVM_GET_SUPPORTED_CPUID/],
  ['vCPU made and set up', /KVM_SET_REGS/],
  ['guest entered', /KVM_RUN/],
];

/** Milliseconds between the milestones, of each round. */
function breakdown(options) {
  if (!hasProgram('strace')) return undefined;
  const command = commands(guest('first'), '').vexit;
  const steps = MILESTONES.map(() => []);
  for (let round = 0; round < options.rounds; round++) {
    const log = scratch('strace.log');
    const calls = ['-e', 'trace=execve,openat,ioctl'];
    const strace = ['strace', '-f', '--seccomp-bpf', '-ttt', ...calls, '-o', log, ...command];
    const [program, ...args] = prefixed(strace, options);
    spawnSync(program, args, { stdio: 'ignore' });
    const lines = readFileSync(log, 'utf8').split('\n');
    const timeOf = (pattern) => {
      const line = lines.find((text) => pattern.test(text));
      return line === undefined ? undefined : Number(/ (\d+\.\d+) /.exec(line)[1]) * 1000;
    };
    let before = timeOf(/execve\(/);
    MILESTONES.forEach(([name, pattern], i) => {
      const time = timeOf(pattern);
      if (time === undefined) throw new Error(`no ${name} in strace's output`);
      steps[i].push(time - before);
      before = time;
    });
  }
  return MILESTONES.map(([name], i) => ({ name, ...summary(steps[i]) }));
}

/** Milliseconds from VirtualMachine.create to the first KVM_RUN, in a process that runs already. */
function inProcess(options) {
  const elf = guest('first', { HOLD: 1 });
  const script = path.join(benchDir, 'lib', 'create-vms.cjs');
  const command = [process.execPath, script, path.join(dist, 'index.js'), elf, '21'];
  const [program, ...args] = prefixed(command, options);
  const output = execFileSync(program, args, { encoding: 'utf8' });
  const times = JSON.parse(output);
  return {
    load: times.load,
    first: times.vms[0],
    create: summary(times.vms.slice(1).map((vm) => vm.create)),
    firstRun: summary(times.vms.slice(1).map((vm) => vm.firstRun)),
  };
}

export function startup(options) {
  const results = {};
  if (hasProgram('perf')) {
    results.exec = fromExec(options);
    const base = results.exec['node -e 0'].exit.median;
    const floor = results.exec['node -e 0'].exit.min;
    const rows = Object.entries(results.exec).map(([name, { run, mark, exit }]) => {
      const end = mark ?? exit;
      const times = [run, mark, exit].map((v) => fixed(v?.median));
      return [name, ...times, fixed(end.median / base), fixed(end.min), fixed(end.min / floor)];
    });
    const head = [
      'program',
      'KVM_RUN',
      "guest's mark",
      'exit',
      '/ node -e 0',
      'min',
      '/ node -e 0',
    ];
    console.log(
      "\n## From exec, ms (medians, then the fastest run to the guest's mark or the exit)\n",
    );
    console.log(table(head, rows));
  } else {
    console.log('\nperf is not installed: start-up from exec not measured');
  }

  results.breakdown = breakdown(options);
  if (results.breakdown !== undefined) {
    console.log(
      `\n## Where the CLI's time goes, ms (medians, under strace: ${path.basename(cli)})\n`,
    );
    const rows = results.breakdown.map((step) => [step.name, fixed(step.median), fixed(step.min)]);
    console.log(table(['up to', 'median', 'min'], rows));
  }

  const vms = (results.inProcess = inProcess(options));
  console.log('\n## Inside a running process, ms\n');
  const row = (name, { median, min, max }) => [name, fixed(median), fixed(min), fixed(max)];
  const once = (value) => ({ median: value, min: value, max: value });
  console.log(
    table(
      ['what', 'median', 'min', 'max'],
      [
        row('loading the library', once(vms.load)),
        row('first VM: create to KVM_RUN', once(vms.first.firstRun)),
        row('further VMs: create', vms.create),
        row('further VMs: create to KVM_RUN', vms.firstRun),
      ],
    ),
  );
  return results;
}
