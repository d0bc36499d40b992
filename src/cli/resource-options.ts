/** Limits of a VM as options of the command line. */
import type { Options } from 'yargs';
import type { LimitChanges, ResourceLimits } from '../manage/resources/limits.js';

/** Options of `run` and `create`. */
export const RESOURCE_OPTIONS = {
  'cpu-weight': {
    type: 'number',
    describe: 'Share of the processors beside other VMs, 1 to 10000; 100 is usual',
  },
  'cpu-quota': {
    type: 'number',
    describe: 'The most processor time that it gets, in processors: 1.5',
  },
  cpuset: { type: 'string', describe: 'Processors of the host that it may run on: 0-1,3' },
  'memory-limit': {
    type: 'string',
    describe: 'The most memory that it may have, with its process: 1G',
  },
  'io-weight': {
    type: 'number',
    describe: 'Share of the disks beside other VMs, 1 to 10000; 100 is usual',
  },
} as const satisfies Record<string, Options>;

/** What yargs makes of them. */
export interface ResourceArguments {
  readonly cpuWeight: number | undefined;
  readonly cpuQuota: number | undefined;
  readonly cpuset: string | undefined;
  readonly memoryLimit: string | undefined;
  readonly ioWeight: number | undefined;
}

/** The limits that are asked for; undefined when none is. They are checked by whoever uses them. */
export function resourceLimits(args: ResourceArguments): ResourceLimits | undefined {
  const { cpuWeight, cpuQuota, cpuset, memoryLimit, ioWeight } = args;
  const given = Object.entries({ cpuWeight, cpuQuota, cpuset, memoryLimit, ioWeight }).filter(
    ([, value]) => value !== undefined,
  );
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

/** The same options for `update`, where "none" takes a limit away. */
export const RESOURCE_UPDATES: Readonly<Record<string, Options>> = Object.fromEntries(
  Object.entries(RESOURCE_OPTIONS).map(([name, { describe }]) => [
    name,
    { type: 'string', describe: `${describe}; or none` },
  ]),
);

/** What yargs makes of those. */
export type ResourceUpdates = { readonly [K in keyof ResourceArguments]: string | undefined };

const NUMBERS = ['cpuWeight', 'cpuQuota', 'ioWeight'];

/** @returns undefined when nothing is to change */
export function limitChanges(args: ResourceUpdates): LimitChanges | undefined {
  const { cpuWeight, cpuQuota, cpuset, memoryLimit, ioWeight } = args;
  const changes: Record<string, string | number | null> = {};
  const given = { cpuWeight, cpuQuota, cpuset, memoryLimit, ioWeight };
  for (const [name, text] of Object.entries(given)) {
    if (text === undefined) continue;
    changes[name] = text === 'none' ? null : NUMBERS.includes(name) ? Number(text) : text;
  }
  return Object.keys(changes).length === 0 ? undefined : changes;
}
