/** `vexit top` */
import { setTimeout as sleep } from 'node:timers/promises';
import { Vexit } from '../../manage/vexit.js';
import type { ThreadUsage } from '../../manage/process-usage.js';
import { VexitError } from '../../util/errors.js';
import { formatTable, type Column } from './table.js';

/** How long it is looked at how much each thread runs. */
const INTERVAL_MS = 500;

interface Row extends ThreadUsage {
  readonly cpuPercent: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'TID', value: ({ tid }) => String(tid), right: true },
  { title: 'CPU %', value: ({ cpuPercent }) => cpuPercent.toFixed(0), right: true },
  { title: 'TIME', value: ({ cpuMs }) => `${(cpuMs / 1000).toFixed(2)}s`, right: true },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'THREAD', value: ({ name }) => name },
];

/** Prints the threads of a VM's process, the busiest first. */
export async function showThreads(name: string, json: boolean): Promise<void> {
  const vm = new Vexit().get(name);
  const before = new Map(vm.threads().map((thread) => [thread.tid, thread.cpuMs]));
  const began = performance.now();
  await sleep(INTERVAL_MS);
  const ms = performance.now() - began;
  const rows = vm.threads().map((thread) => {
    const ran = thread.cpuMs - (before.get(thread.tid) ?? thread.cpuMs);
    return { ...thread, cpuPercent: Math.round((ran * 100) / ms) };
  });
  if (rows.length === 0) throw new VexitError('ERR_VM_STATE', `VM ${name} is not running`);
  rows.sort((a, b) => b.cpuPercent - a.cpuPercent || b.cpuMs - a.cpuMs);
  process.stdout.write(json ? `${JSON.stringify(rows)}\n` : formatTable(COLUMNS, rows));
}
