/** What a VM may take of its host: as people write it, checked once. */
import { VexitError } from '../../util/errors.js';
import { parseSize } from '../../util/size.js';

/** Limits and shares of a VM's process, guest and devices together. What is left out is not limited. */
export interface ResourceLimits {
  /** Share of the processors beside other VMs that want them, 1 to 10000; 100 unless given. */
  readonly cpuWeight?: number;
  /** Processor time in a second, in seconds: 1.5 is one and a half processors. */
  readonly cpuQuota?: number;
  /** Processors of the host that it may run on, such as "0-1,3". */
  readonly cpuset?: string;
  /** Bytes, or text such as "1G", that it may have in memory, the guest's memory included. */
  readonly memoryLimit?: number | string;
  /** Share of the disks beside other VMs that want them, 1 to 10000; 100 unless given. */
  readonly ioWeight?: number;
}

/** The same, as they are used. */
export interface CheckedLimits {
  readonly cpuWeight?: number;
  readonly cpuQuota?: number;
  readonly cpuset?: readonly number[];
  readonly memoryLimit?: number;
  readonly ioWeight?: number;
}

/** The names of the limits, in the order people read them. */
export const LIMIT_NAMES = [
  'cpuWeight',
  'cpuQuota',
  'cpuset',
  'memoryLimit',
  'ioWeight',
] as const satisfies readonly (keyof ResourceLimits)[];
export type LimitName = (typeof LIMIT_NAMES)[number];

/** cgroup v2, "Weights". */
const MAX_WEIGHT = 10_000;
/** Less is no time to get anything done between two looks. */
const MIN_QUOTA = 0.01;
const MAX_QUOTA = 1024;
/** CPU_SETSIZE of sched_setaffinity(2). */
const MAX_PROCESSORS = 1024;
/** Node.js and the VMM's own memory. */
const MIN_MEMORY = 64 * 2 ** 20;

function wrong(message: string, hint: string): VexitError {
  return new VexitError('ERR_CONFIG', message, hint);
}

function weight(option: string, value: unknown): number {
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_WEIGHT) {
    return value as number;
  }
  throw wrong(
    `${option} ${String(value)} is not a weight`,
    `give 1 to ${MAX_WEIGHT}; 100 is usual`,
  );
}

function quota(value: unknown): number {
  if (typeof value === 'number' && value >= MIN_QUOTA && value <= MAX_QUOTA) return value;
  throw wrong(
    `a CPU quota of ${String(value)} is not possible`,
    'give processors, such as 0.5 or 2',
  );
}

/** The numbers in "0-1,3". */
function processors(value: unknown): number[] {
  const text = typeof value === 'string' ? value : '';
  const found = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || last < first || last >= MAX_PROCESSORS) {
      throw wrong(
        `cpuset ${JSON.stringify(value)} is not a list of processors`,
        'write it as 0-1,3',
      );
    }
    for (let cpu = first; cpu <= last; cpu++) found.add(cpu);
  }
  return [...found].sort((a, b) => a - b);
}

function memory(value: unknown): number {
  const bytes = typeof value === 'string' ? parseSize(value) : value;
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes)) {
    throw wrong(`memory limit ${String(value)} is not a size`, 'write it as 1G');
  }
  if (bytes >= MIN_MEMORY) return bytes;
  throw wrong(
    `a memory limit of ${String(value)} leaves no room for the VM's process`,
    'give 64M or more',
  );
}

/** @throws VexitError ERR_CONFIG that names what is wrong */
export function checkLimits(limits: ResourceLimits): CheckedLimits {
  const unknown = Object.keys(limits).find((key) => !LIMIT_NAMES.includes(key as LimitName));
  if (unknown !== undefined) {
    throw wrong(`no limit is called ${unknown}`, `there are ${LIMIT_NAMES.join(', ')}`);
  }
  const { cpuWeight, cpuQuota, cpuset, memoryLimit, ioWeight } = limits;
  return {
    ...(cpuWeight === undefined ? {} : { cpuWeight: weight('CPU weight', cpuWeight) }),
    ...(cpuQuota === undefined ? {} : { cpuQuota: quota(cpuQuota) }),
    ...(cpuset === undefined ? {} : { cpuset: processors(cpuset) }),
    ...(memoryLimit === undefined ? {} : { memoryLimit: memory(memoryLimit) }),
    ...(ioWeight === undefined ? {} : { ioWeight: weight('I/O weight', ioWeight) }),
  };
}

/** Changes of limits: `null` takes one away. */
export type LimitChanges = { readonly [K in LimitName]?: ResourceLimits[K] | null };

/** @throws VexitError ERR_CONFIG when the result makes no sense */
export function changeLimits(limits: ResourceLimits, changes: LimitChanges): ResourceLimits {
  const merged: LimitChanges = { ...limits, ...changes };
  const kept = Object.entries(merged).filter(([, value]) => value !== null);
  const result = Object.fromEntries(kept) as ResourceLimits;
  checkLimits(result);
  return result;
}

/** Whether anything is limited. */
export function isLimited(limits: ResourceLimits | undefined): limits is ResourceLimits {
  return limits !== undefined && Object.keys(limits).length > 0;
}
