/** `vexit stats`: a table that is renewed every second. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Vexit } from '../../manage/vexit.js';
import type { VmStats } from '../../manage/vm-stats.js';
import { VexitError } from '../../util/errors.js';
import { fillTemplate } from './template.js';
import { formatTable, type Column } from './table.js';

const INTERVAL_MS = 1000;

export interface StatsArguments {
  readonly vm: string[] | undefined;
  readonly stream: boolean;
  readonly json: boolean | undefined;
  readonly format: string | undefined;
}

/** What a VM did in the last second. */
interface Row {
  readonly name: string;
  /** Of one processor. */
  readonly cpuPercent: number;
  /** Of the second, how long its vCPUs were held for its quota. */
  readonly heldPercent: number;
  readonly memory: number;
  readonly guestMemory: number;
  readonly diskRead: number;
  readonly diskWrite: number;
  readonly netReceived: number;
  readonly netSent: number;
  readonly exits: number;
}

/** "12.3M": short, for a column. */
export function shortSize(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'K', 'M', 'G']) {
    if (value < 1024)
      return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)}${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)}T`;
}

/** Shown when there is something to show. */
const HELD: Column<Row> = {
  title: 'HELD %',
  value: ({ heldPercent }) => heldPercent.toFixed(0),
  right: true,
};

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'CPU %', value: ({ cpuPercent }) => cpuPercent.toFixed(1), right: true },
  HELD,
  { title: 'MEMORY', value: ({ memory }) => shortSize(memory), right: true },
  { title: 'GUEST', value: ({ guestMemory }) => shortSize(guestMemory), right: true },
  { title: 'READ/S', value: ({ diskRead }) => shortSize(diskRead), right: true },
  { title: 'WRITE/S', value: ({ diskWrite }) => shortSize(diskWrite), right: true },
  { title: 'NET IN/S', value: ({ netReceived }) => shortSize(netReceived), right: true },
  { title: 'NET OUT/S', value: ({ netSent }) => shortSize(netSent), right: true },
  { title: 'EXITS/S', value: ({ exits }) => String(exits), right: true },
];

function difference(name: string, before: VmStats, now: VmStats): Row {
  const ms = Math.max(now.time - before.time, 1);
  // Counters begin again when the guest reboots.
  const rate = (from: number, to: number): number =>
    Math.round((Math.max(to - from, 0) * 1000) / ms);
  return {
    name,
    cpuPercent: Math.round((Math.max(now.cpuMs - before.cpuMs, 0) * 1000) / ms) / 10,
    heldPercent: Math.min(rate(before.heldMs, now.heldMs) / 10, 100),
    memory: now.memory.resident,
    guestMemory: now.memory.guest,
    diskRead: rate(before.disk.readBytes, now.disk.readBytes),
    diskWrite: rate(before.disk.writeBytes, now.disk.writeBytes),
    netReceived: rate(before.net.rxBytes, now.net.rxBytes),
    netSent: rate(before.net.txBytes, now.net.txBytes),
    exits: rate(before.exits, now.exits),
  };
}

/** Of VMs that run; one that ends meanwhile is left out. */
async function sample(names: readonly string[] | undefined): Promise<Map<string, VmStats>> {
  const vexit = new Vexit();
  const vms = names === undefined ? vexit.list() : names.map((name) => vexit.get(name));
  const all = await Promise.all(
    vms.map(async (vm) => {
      try {
        return [vm.name, await vm.stats()] as const;
      } catch (error) {
        // Only those that were asked for have to run.
        if (names === undefined && error instanceof VexitError) return undefined;
        throw error;
      }
    }),
  );
  return new Map(all.filter((one) => one !== undefined));
}

function render(rows: readonly Row[], { json, format }: StatsArguments): string {
  if (json === true || format === 'json') return `${JSON.stringify(rows)}\n`;
  if (format !== undefined) return rows.map((row) => `${fillTemplate(format, row)}\n`).join('');
  const held = rows.some(({ heldPercent }) => heldPercent > 0);
  return formatTable(held ? COLUMNS : COLUMNS.filter((column) => column !== HELD), rows);
}

/** Prints what VMs do, once or every second. */
export async function showStats(args: StatsArguments): Promise<void> {
  const names = args.vm === undefined || args.vm.length === 0 ? undefined : args.vm;
  const live =
    args.stream && process.stdout.isTTY && args.json !== true && args.format === undefined;
  let before = await sample(names);
  do {
    await sleep(INTERVAL_MS);
    const now = await sample(names);
    const rows = [...now].map(([name, stats]) =>
      difference(name, before.get(name) ?? stats, stats),
    );
    // Home, and clear what was there.
    process.stdout.write(`${live ? '\u001b[H\u001b[2J' : ''}${render(rows, args)}`);
    before = now;
  } while (args.stream);
}
