/**
 * A limit of processor time where there is no cgroup: the VM's process measures the time of all its
 * threads, and holds the vCPUs for as long as they are ahead of it. What the threads that serve
 * devices take counts as well, but only vCPUs are held: without them devices have nothing to do.
 */

/** What is held. */
export interface Holdable {
  /** Keeps the vCPUs from running; devices go on. Holding twice is holding once. */
  hold(): void;
  /** Lets them go on. */
  letGo(): void;
}

/** Clocks, for tests. */
export interface Clocks {
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  /** Processor time of the process; milliseconds. */
  used(): number;
}

const CLOCKS: Clocks = {
  now: () => performance.now(),
  used: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};

/** What may be saved up: as long as the period of cpu.max. */
const BURST_MS = 100;
/** How much is waited for before vCPUs go on: switching costs a fraction of a millisecond. */
const REFILL_MS = 20;
/** Time beyond the quota that has to be given back; more is forgiven, as in a start. */
const MAX_DEBT_MS = 1000;
/** Shortest and longest pause between two looks. */
const SHORTEST_MS = 2;
const LONGEST_MS = 50;

/** Keeps one VM to its quota. */
export class CpuQuota {
  private timer: NodeJS.Timeout | undefined;
  private tokens: number;
  private time: number;
  private cpu: number;
  private held: Holdable | undefined;
  private heldTotal = 0;

  /**
   * @param quota processor time in a second; seconds
   * @param target the VM that is on, if one is
   * @param threads how many threads may run at once
   */
  constructor(
    private readonly quota: number,
    private readonly target: () => Holdable | undefined,
    private readonly threads: number,
    private readonly clocks: Clocks = CLOCKS,
  ) {
    this.tokens = quota * BURST_MS;
    this.time = clocks.now();
    this.cpu = clocks.used();
  }

  start(): void {
    this.timer = setTimeout(() => this.start(), this.look()).unref();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.held?.letGo();
    this.held = undefined;
  }

  /** How long vCPUs have been held; milliseconds. */
  get heldMs(): number {
    return this.heldTotal;
  }

  /**
   * Measures, and holds the vCPUs or lets them go.
   * @returns when to look again; milliseconds
   */
  look(): number {
    const { quota, clocks } = this;
    const [now, used] = [clocks.now(), clocks.used()];
    const passed = now - this.time;
    if (this.held !== undefined) this.heldTotal += passed;
    const tokens = this.tokens + quota * passed - (used - this.cpu);
    this.tokens = Math.max(Math.min(tokens, quota * BURST_MS), -quota * MAX_DEBT_MS);
    [this.time, this.cpu] = [now, used];
    const refill = quota * REFILL_MS;
    if (this.tokens < 0) this.hold();
    else if (this.tokens >= refill) this.letGo();
    const until =
      this.held === undefined ? this.tokens / this.threads : (refill - this.tokens) / quota;
    return Math.min(Math.max(until, SHORTEST_MS), LONGEST_MS);
  }

  /** The VM that is on may be another one since the last look, after a restart. */
  private hold(): void {
    this.held = this.target();
    this.held?.hold();
  }

  private letGo(): void {
    this.held?.letGo();
    this.held = undefined;
  }
}
