/**
 * The life of a managed VM in its process: start it, write down how it is, answer commands, start it
 * again when its policy says so, and leave its end behind.
 */
import { bootsDefaultGuest } from '../machine/config.js';
import { commandStatus } from '../machine/command-status.js';
import { EXIT_STATUS } from '../machine/exit-report.js';
import { VirtualMachine } from '../machine/virtual-machine.js';
import { VexitError, errorMessage } from '../util/errors.js';
import { ConsoleHub } from './console-hub.js';
import type { ConsoleLog } from './console-log.js';
import type { VmEvent } from './event-log.js';
import { stopGracefully } from './graceful-stop.js';
import { checkHealth, type FullHealthCheck } from './health/health-check.js';
import { HealthMonitor } from './health/health-monitor.js';
import { probe } from './health/probes.js';
import { KILLED_STATUS } from './reap.js';
import { isLimited, type ResourceLimits } from './resources/limits.js';
import { ResourceControl } from './resources/resource-control.js';
import {
  startingRecord,
  type VmConfig,
  type VmExit,
  type VmRecord,
  type VmStatus,
} from './records.js';
import { RestartCounter, type RestartPolicy } from './restart-policy.js';
import type { Store } from './store.js';
import type { VmDirectory } from './vm-directory.js';
import { withVsockPlace } from './vsock-place.js';

/** How long the guest has to power off after its command has ended. */
const POWER_OFF_GRACE_MS = 2000;
/** How often a state that could not be written, because the disk is full, is written again. */
const RETRY_MS = 2000;
/** A guest that reboots in a loop does not fill the event log: so many a second. */
const REBOOTS_PER_SECOND = 5;

/** What someone has asked the VM to do, if anything: it decides what its end means. */
type Wish = 'run' | 'stop' | 'restart';

/** Runs one VM until its end. */
export class Supervisor {
  readonly console: ConsoleHub;
  /** The VM that is on, if one is. */
  vm: VirtualMachine | undefined;
  restartPolicy: RestartPolicy;
  private record: VmRecord;
  private wish: Wish = 'run';
  private killed = false;
  private limits: ResourceControl | undefined;
  private overMemory: number | undefined;
  private readonly counter = new RestartCounter();
  private readonly done: Promise<VmExit>;
  private finish!: (exit: VmExit) => void;
  private wakeFromDelay: (() => void) | undefined;
  private unwritten: NodeJS.Timeout | undefined;
  private reboots = { second: 0, count: 0 };
  private monitor: HealthMonitor | undefined;

  constructor(
    private readonly store: Store,
    readonly directory: VmDirectory,
    readonly config: VmConfig,
    readonly log: ConsoleLog,
  ) {
    this.console = new ConsoleHub(log);
    this.restartPolicy = config.restart;
    this.done = new Promise((resolve) => (this.finish = resolve));
    this.record = startingRecord();
    this.write({});
  }

  get state(): VmRecord {
    return this.record;
  }

  /** Resolves with the VM's end, after every restart. */
  wait(): Promise<VmExit> {
    return this.done;
  }

  /**
   * Starts the VM for the first time.
   * @throws VexitError; the start is then over, and written down
   */
  async start(): Promise<void> {
    try {
      this.limit(this.config.resources ?? {});
      await this.powerOn();
    } catch (error) {
      const status = error instanceof VexitError ? EXIT_STATUS.usage : EXIT_STATUS.internalError;
      this.ended({ reason: 'start-failed', status, message: errorMessage(error) });
      throw error;
    }
  }

  /** What limits the VM; undefined when nothing does. */
  get resources(): ResourceControl | undefined {
    return this.limits;
  }

  /**
   * Puts limits in force, instead of those before.
   * @throws VexitError ERR_CONFIG for limits that make no sense on this host
   */
  limit(limits: ResourceLimits): void {
    if (this.limits === undefined && !isLimited(limits)) return;
    this.limits ??= this.makeLimits();
    this.limits.apply(limits);
  }

  private makeLimits(): ResourceControl {
    const limits = new ResourceControl(`vexit-${this.config.id}`, {
      cpus: this.config.options.cpus ?? 1,
      vm: () => this.vm,
      onMemory: (bytes) => {
        this.overMemory = bytes;
        void this.vm?.stop();
      },
    });
    // Whoever finds that this process was killed removes the group.
    if (limits.cgroup !== undefined) this.write({ cgroup: limits.cgroup });
    return limits;
  }

  /** Goes on until the VM has ended and is not started again. */
  async run(): Promise<VmExit> {
    for (;;) {
      const began = Date.now();
      const exit = await this.powerOff();
      const wish = this.takeWish();
      this.event({ type: 'exit', reason: exit.reason, status: exit.status });
      const delay =
        wish === 'restart'
          ? 0
          : wish === 'stop'
            ? undefined
            : this.counter.next(this.restartPolicy, exit.status, Date.now() - began);
      if (delay === undefined) return this.ended(exit);
      this.write({ status: 'restarting', finishedAt: now(), exit });
      await this.delay(delay);
      if (this.takeWish() === 'stop') return this.ended(exit);
      try {
        this.write({ restarts: this.record.restarts + 1 });
        this.event({ type: 'restart' });
        await this.powerOn();
      } catch (error) {
        const failed: VmExit = {
          reason: 'start-failed',
          status: EXIT_STATUS.internalError,
          message: errorMessage(error),
        };
        return this.ended(failed);
      }
    }
  }

  private takeWish(): Wish {
    const { wish } = this;
    this.wish = 'run';
    return wish;
  }

  private async powerOn(): Promise<void> {
    const { config, console } = this;
    const { options } = config;
    this.killed = false;
    this.overMemory = undefined;
    const { name } = this.directory;
    const check = config.health === undefined ? undefined : checkHealth(config.health, options);
    const vm = await VirtualMachine.create(withVsockPlace({ ...options, name }, this.directory));
    this.vm = vm;
    try {
      const extra = [
        ...(config.log?.firmware === true ? [vm.firmwareLog] : []),
        ...(config.log?.debug === true ? [vm.debugConsole] : []),
      ];
      console.connect(vm, options.command !== undefined && bootsDefaultGuest(options), extra);
      vm.on('reboot', () => this.onReboot());
      vm.on('state', (state) => {
        if (state === 'running' || state === 'paused') this.write({ status: state });
      });
      this.write({ startedAt: now() });
      await vm.start();
    } catch (error) {
      await vm.stop();
      this.vm = undefined;
      throw error;
    }
    this.event({ type: 'start' });
    if (check !== undefined) this.watch(check, vm);
  }

  /** Checks the VM's health until it is off. */
  private watch(check: FullHealthCheck, vm: VirtualMachine): void {
    const { options } = this.config;
    const monitor = new HealthMonitor(check, {
      probe: (signal) => probe(check, { agent: vm.agent, options }, signal),
      canAnswer: () => vm.state === 'running',
      onResult: (health, changed) => {
        // What is asked for is the newest; a file is written and an event told when it matters.
        this.record = { ...this.record, health };
        if (!changed) return;
        this.write({});
        this.event({ type: 'health', health: health.status });
      },
    });
    this.monitor = monitor;
    this.write({ health: monitor.health });
  }

  /** What was found out about a VM that is off now says nothing any more. */
  private endWatch(): void {
    this.monitor?.stop();
    this.monitor = undefined;
    const record = { ...this.record };
    delete (record as { health?: unknown }).health;
    this.record = record;
  }

  /** Waits for the end of the VM that is on. */
  private async powerOff(): Promise<VmExit> {
    const vm = this.vm!;
    let status: number | undefined;
    if (this.config.options.command !== undefined) {
      vm.command?.once('exit', (exit) => {
        status = commandStatus(exit);
        const timer = setTimeout(() => void vm.stop(), POWER_OFF_GRACE_MS);
        void vm.wait().then(() => clearTimeout(timer));
      });
    }
    const report = await vm.wait();
    this.endWatch();
    // The streams' last bytes are delivered in later ticks.
    await new Promise((resolve) => setImmediate(resolve));
    this.vm = undefined;
    if (status !== undefined) {
      return { reason: 'power-off', status, message: `the command ended with ${status}` };
    }
    if (this.overMemory !== undefined) {
      const message = `it had ${Math.round(this.overMemory / 2 ** 20)} MiB of memory, more than its limit`;
      return { reason: 'memory-limit', status: KILLED_STATUS, message };
    }
    if (this.killed) return { reason: 'killed', status: KILLED_STATUS, message: 'killed' };
    const { reason, message } = report;
    const lost = this.config.options.command !== undefined && report.status === 0;
    return { reason, status: lost ? EXIT_STATUS.commandLost : report.status, message };
  }

  private onReboot(): void {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.reboots.second) this.reboots = { second, count: 0 };
    if (++this.reboots.count <= REBOOTS_PER_SECOND) this.event({ type: 'reboot' });
  }

  private delay(ms: number): Promise<void> {
    if (this.wish !== 'run') return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wakeFromDelay = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * Ends the VM for good, or to start it again.
   * @param graceMs how long the guest has to power off by itself; 0 does not ask it
   */
  async stop(wish: 'stop' | 'restart', graceMs: number): Promise<void> {
    this.wish = wish;
    this.wakeFromDelay?.();
    const { vm } = this;
    if (vm === undefined) return;
    this.event({ type: graceMs > 0 ? 'stop' : 'kill' });
    if (await stopGracefully(vm, graceMs)) this.killed = true;
  }

  private ended(exit: VmExit): VmExit {
    this.limits?.close();
    this.write({ status: 'exited', finishedAt: now(), exit });
    this.console.end(exit);
    this.finish(exit);
    return exit;
  }

  event(event: Omit<VmEvent, 'time' | 'name'>): void {
    this.store.events.add({ ...event, name: this.directory.name, id: this.config.id });
  }

  /** Writes the state down; when that is not possible, again later. */
  private write(change: Partial<VmRecord> & { readonly status?: VmStatus }): void {
    this.record = { ...this.record, ...change };
    clearTimeout(this.unwritten);
    this.unwritten = undefined;
    try {
      this.directory.writeRecord(this.record, this.config.detached);
    } catch (error) {
      process.stderr.write(`${errorMessage(error)}\n`);
      this.unwritten = setTimeout(() => this.write({}), RETRY_MS).unref();
    }
  }
}

function now(): string {
  return new Date().toISOString();
}
