/** Puts limits on this process, by the best means that the host has, and says which. */
import os from 'node:os';
import { ownMemory } from '../process-usage.js';
import { Cgroup } from './cgroup.js';
import { CpuQuota, type Holdable } from './cpu-quota.js';
import {
  LIMIT_NAMES,
  checkLimits,
  type CheckedLimits,
  type LimitName,
  type ResourceLimits,
} from './limits.js';
import { freeThreadProcessors, setThreadProcessors, setThreadWeight } from './own-threads.js';

/** What keeps a limit: the kernel's control groups, or what does without them. */
export type Mechanism =
  /** cgroup v2. */
  | 'cgroup'
  /** Nice levels of all threads, and of the session where the kernel weighs sessions. */
  | 'nice'
  /** sched_setaffinity of all threads. */
  | 'affinity'
  /** The VM's process holds the vCPUs when its threads have used more. */
  | 'vcpu-hold'
  /** The VM's process looks at its memory, and ends the VM that has too much. */
  | 'watch'
  /** Nothing: the limit is not in force. */
  | 'none';

/** A limit, and what keeps it. */
export interface ResourceState {
  readonly limit: number | string;
  readonly by: Mechanism;
  /** Why it is not in force. */
  readonly note?: string;
}

/** Those that are limited. */
export type ResourceReport = Readonly<Partial<Record<LimitName, ResourceState>>>;

/** The VM that is limited. */
export interface LimitedVm {
  readonly cpus: number;
  /** What can be held; undefined while nothing is on. */
  vm(): Holdable | undefined;
  /** It has more memory than it may have. */
  onMemory(bytes: number): void;
}

const WATCH_MS = 500;
/** Period of cpu.max; microseconds. */
const PERIOD_US = 100_000;

/** The limits of this process. */
export class ResourceControl {
  private report: Partial<Record<LimitName, ResourceState>> = {};
  private limits: CheckedLimits = {};
  private quota: CpuQuota | undefined;
  private heldBefore = 0;
  private watch: NodeJS.Timeout | undefined;
  private readonly group: Cgroup | undefined;

  /**
   * @param groupName of the cgroup, if one can be made
   */
  constructor(
    groupName: string,
    private readonly limited: LimitedVm,
  ) {
    this.group = Cgroup.enter(groupName);
  }

  /** Where the process's cgroup is; undefined without one. */
  get cgroup(): string | undefined {
    return this.group?.path;
  }

  /**
   * Puts limits in force, and takes away those that are no longer there.
   * @throws VexitError ERR_CONFIG for limits that make no sense on this host
   */
  apply(asked: ResourceLimits): void {
    const limits = checkLimits(asked);
    this.cpuset(limits.cpuset);
    const before = this.limits;
    this.limits = limits;
    this.report = Object.fromEntries(
      LIMIT_NAMES.filter(
        (name) => limits[name] !== undefined || before[name] !== undefined,
      ).flatMap((name) => {
        const state = this.put(name);
        return limits[name] === undefined ? [] : [[name, { limit: asked[name]!, ...state }]];
      }),
    );
  }

  private put(name: LimitName): Omit<ResourceState, 'limit'> {
    const { cpuWeight, cpuQuota, memoryLimit, ioWeight } = this.limits;
    switch (name) {
      case 'cpuWeight':
        return this.cpuWeight(cpuWeight);
      case 'cpuQuota':
        return this.cpuQuota(cpuQuota);
      case 'memoryLimit':
        return this.memoryLimit(memoryLimit);
      case 'ioWeight':
        return this.ioWeight(ioWeight);
      case 'cpuset':
        return { by: 'affinity' };
    }
  }

  private cpuset(cpus: readonly number[] | undefined): void {
    if (cpus !== undefined) setThreadProcessors(cpus);
    else if (this.limits.cpuset !== undefined) freeThreadProcessors();
  }

  private cpuWeight(weight: number | undefined): Omit<ResourceState, 'limit'> {
    if (this.group?.set('cpu.weight', weight?.toString()) === true) return { by: 'cgroup' };
    const note = setThreadWeight(weight ?? 100);
    return note === undefined ? { by: 'nice' } : { by: 'none', note };
  }

  private cpuQuota(quota: number | undefined): Omit<ResourceState, 'limit'> {
    this.heldBefore += this.quota?.heldMs ?? 0;
    this.quota?.stop();
    this.quota = undefined;
    const max = quota === undefined ? undefined : `${Math.round(quota * PERIOD_US)} ${PERIOD_US}`;
    if (this.group?.set('cpu.max', max) === true) return { by: 'cgroup' };
    if (quota !== undefined) {
      const { limited } = this;
      const threads = Math.min(limited.cpus + 2, os.availableParallelism());
      this.quota = new CpuQuota(quota, () => limited.vm(), threads);
      this.quota.start();
    }
    return { by: 'vcpu-hold' };
  }

  private memoryLimit(limit: number | undefined): Omit<ResourceState, 'limit'> {
    clearInterval(this.watch);
    this.watch = undefined;
    if (this.group?.set('memory.max', limit?.toString()) === true) return { by: 'cgroup' };
    if (limit !== undefined) {
      const look = (): void => {
        const { resident } = ownMemory();
        if (resident > limit) this.limited.onMemory(resident);
      };
      this.watch = setInterval(look, WATCH_MS).unref();
    }
    return { by: 'watch' };
  }

  private ioWeight(weight: number | undefined): Omit<ResourceState, 'limit'> {
    const value = weight === undefined ? undefined : `default ${weight}`;
    if (this.group?.set('io.weight', value) === true) return { by: 'cgroup' };
    return {
      by: 'none',
      note: 'no cgroup v2 with the io controller here: limit the disks by their bps and iops',
    };
  }

  /** The limits that were asked for, and what keeps them. */
  get state(): ResourceReport {
    return this.report;
  }

  /** How long vCPUs have been held for the quota; milliseconds. */
  get heldMs(): number {
    return this.heldBefore + (this.quota?.heldMs ?? 0);
  }

  /** Gives the cgroup back. */
  close(): void {
    this.quota?.stop();
    clearInterval(this.watch);
    this.group?.leave();
  }
}
