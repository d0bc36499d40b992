// Memory of the VMM without the guest's: the first VM and each further VM in one process, and a
// process of the CLI per VM.
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { baseline, benchDir, dist, guest } from './lib/build.mjs';
import { hasProgram, QEMU } from './lib/facts.mjs';
import { memoryOf } from './lib/process-memory.cjs';
import { fixed, median, table } from './lib/stats.mjs';
import { commands } from './lib/vmms.mjs';

const VMS = 10;
/** Time for a VM to start and come to rest in its HLT. */
const SETTLE_MS = 1500;

function inProcess(elf) {
  const script = path.join(benchDir, 'lib', 'hold-vms.cjs');
  const args = [script, path.join(dist, 'index.js'), elf, String(VMS)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

/** Memory of one process that holds one VM. */
async function ofProcess(command) {
  const child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await sleep(SETTLE_MS);
  const memory = memoryOf(child.pid);
  child.kill('SIGKILL');
  await ended;
  return memory;
}

export async function memory() {
  const elf = guest('first', { HOLD: 1 });
  const steps = inProcess(elf);
  const all = commands(elf, baseline('kvm-run-loop'));
  const processes = { 'node, idle': await ofProcess([process.execPath, '-i']) };
  for (const [name, command] of Object.entries(all)) {
    if (name === 'QEMU microvm' && !hasProgram(QEMU)) continue;
    processes[name] = await ofProcess(command);
  }

  const grown = (i, kind) => steps[i][kind] - steps[i - 1][kind];
  const further = steps.slice(2).map((_, i) => ({
    rss: grown(i + 2, 'rss'),
    private: grown(i + 2, 'private'),
  }));
  const each = {
    rss: median(further.map(({ rss }) => rss)),
    private: median(further.map(({ private: dirty }) => dirty)),
  };
  console.log("\n## In one process, MiB without the guest's memory\n");
  const rows = [
    ['library loaded', fixed(steps[0].rss, 1), fixed(steps[0].private, 1)],
    ['first VM adds', fixed(grown(1, 'rss'), 1), fixed(grown(1, 'private'), 1)],
    ['each further VM adds (median)', fixed(each.rss, 1), fixed(each.private, 1)],
    [`all, with ${VMS} VMs`, fixed(steps.at(-1).rss, 1), fixed(steps.at(-1).private, 1)],
  ];
  console.log(table(['', 'RSS', 'private dirty'], rows));
  console.log("\n## A process per VM, MiB without the guest's memory\n");
  const cells = ([name, m]) => [name, fixed(m.rss, 1), fixed(m.pss, 1), fixed(m.private, 1)];
  console.log(
    table(['process', 'RSS', 'PSS', 'private dirty'], Object.entries(processes).map(cells)),
  );
  return { steps, further: each, processes };
}
