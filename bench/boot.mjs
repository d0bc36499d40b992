// Boot of the default guest: a command from exec to exit, and the shell from exec to its prompt on
// the serial console. KVM's count of emulated instructions says what the guest did where its kernel
// is interpreted (kvm-pvm); unlike the clock it does not depend on what else the host does.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { cli } from './lib/build.mjs';
import { fixed, summary, table } from './lib/stats.mjs';

const COMMAND = ['sh', '-c', 'uname -sm; nproc; echo err >&2; exit 7'];
const COMMAND_STATUS = 7;
const PROMPT = 'vexit:~# ';
/** The escape key of the console and the letter that quits. */
const QUIT = '\x01x';
const POLL_MS = 20;

/** A directory for each VM, named by process and file descriptor; for root only. */
const KVM_STATISTICS = '/sys/kernel/debug/kvm';

/** Instructions that KVM has emulated for the VMs of this process; undefined if nobody counts. */
function instructionsOf(pid) {
  if (!existsSync(KVM_STATISTICS)) return undefined;
  const own = readdirSync(KVM_STATISTICS).filter((name) => name.startsWith(`${pid}-`));
  if (own.length === 0) return undefined;
  try {
    const read = (name) =>
      Number(readFileSync(path.join(KVM_STATISTICS, name, 'insn_emulation'), 'utf8'));
    return own.map(read).reduce((sum, value) => sum + value);
  } catch {
    // The VM has just ended.
    return undefined;
  }
}

/** User and system time of all threads so far, in ticks of 10 ms. */
function cpuSecondsOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return undefined;
  }
}

/** The process that script(1) has started, which has a terminal. */
function childOf(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ')[0]);
  } catch {
    return undefined;
  }
}

/**
 * Seconds, CPU seconds and instructions, from exec until the exit, or until `prompt` is there: a shell
 * prompts only on a terminal.
 */
function boot(command, { prompt, status }) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const vexit = [process.execPath, cli, 'run', ...command];
    const onTerminal = ['script', '-qefc', vexit.join(' '), '/dev/null'];
    const [program, ...args] = prompt === undefined ? vexit : onTerminal;
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    let found;
    let cpu;
    let instructions;
    let output = '';
    const look = () => {
      const pid = prompt === undefined ? child.pid : childOf(child.pid);
      cpu = cpuSecondsOf(pid) ?? cpu;
      instructions = instructionsOf(pid) ?? instructions;
    };
    const finish = () => {
      found ??= { seconds: (performance.now() - start) / 1000, cpu, instructions };
    };
    const poll = setInterval(look, POLL_MS);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      if (prompt === undefined || !output.includes(prompt) || found !== undefined) return;
      look();
      finish();
      child.stdin.write(QUIT);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(poll);
      finish();
      if (prompt !== undefined ? output.includes(prompt) : code === status) resolve(found);
      else reject(new Error(`vexit run ended with status ${code}:\n${output}`));
    });
  });
}

const CASES = [
  ["the command's exit", () => boot(['--', ...COMMAND], { status: COMMAND_STATUS })],
  ["the shell's prompt", () => boot([], { prompt: PROMPT })],
];

export async function bootTime(options) {
  const results = CASES.map(([name]) => ({ name, runs: [] }));
  // The first run may make the guest.
  await CASES[0][1]();
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, [, run]] of CASES.entries()) results[i].runs.push(await run());
  }
  const column = (runs, key) => {
    const values = runs.map((run) => run[key]).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : summary(values);
  };
  const summaries = results.map(({ name, runs }) => ({
    name,
    seconds: column(runs, 'seconds'),
    cpu: column(runs, 'cpu'),
    instructions: column(runs, 'instructions'),
  }));
  console.log('\n## Boot of the default guest, from exec (medians)\n');
  const rows = summaries.map(({ name, seconds, cpu, instructions }) => [
    name,
    fixed(seconds.median),
    fixed(seconds.min),
    fixed(cpu?.median),
    instructions === undefined ? '-' : fixed(instructions.median / 1e6),
  ]);
  const head = ['to', 'seconds', 'min', 'CPU seconds', 'million guest instructions'];
  console.log(table(head, rows));
  return summaries;
}
