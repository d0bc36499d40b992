/**
 * A `vexit run --name` on a terminal: found by its name while it runs, and gone when it ends. The
 * terminal is its console, so there is no log and nothing to attach to.
 */
import type { ProcessLock } from '../io/process-lock.js';
import type { VirtualMachineOptions } from '../machine/config.js';
import type { ExitReport } from '../machine/exit-report.js';
import type { VirtualMachine } from '../machine/virtual-machine.js';
import { ControlServer } from './control-server.js';
import type { VmEvent } from './event-log.js';
import { stopGracefully } from './graceful-stop.js';
import { operations, type ControlledVm } from './operations.js';
import { newConfig } from './new-config.js';
import { startingRecord, type VmConfig, type VmExit, type VmRecord } from './records.js';
import type { ResourceLimits } from './resources/limits.js';
import { limitProcess } from './resources/limit-process.js';
import type { ResourceControl } from './resources/resource-control.js';
import { NO_RESTART } from './restart-policy.js';
import { Store } from './store.js';
import { tryLock } from './store-lock.js';
import { VmDirectory } from './vm-directory.js';
import { VexitError } from '../util/errors.js';

/** The entry of a foreground VM in the store. */
export class ForegroundVm implements ControlledVm {
  vm: VirtualMachine | undefined;
  restartPolicy = NO_RESTART;
  resources: ResourceControl | undefined;
  private record: VmRecord;
  private server: ControlServer | undefined;
  private readonly done: Promise<VmExit>;
  private finish!: (exit: VmExit) => void;

  private constructor(
    private readonly store: Store,
    readonly directory: VmDirectory,
    private readonly config: VmConfig,
    private readonly alive: ProcessLock,
    record: VmRecord,
  ) {
    this.record = record;
    this.done = new Promise((resolve) => (this.finish = resolve));
  }

  /**
   * Takes the name.
   * @throws VexitError ERR_EXISTS, ERR_STORE
   */
  static async register(
    name: string,
    options: VirtualMachineOptions,
    resources?: ResourceLimits,
  ): Promise<ForegroundVm> {
    const store = Store.open();
    const config = newConfig({
      ...{ options, autoRemove: true, detached: false },
      ...(resources === undefined ? {} : { resources }),
    });
    const record = startingRecord();
    let alive: ProcessLock | undefined;
    try {
      const directory = await store.create(name, { config, record, durable: false }, (made) => {
        alive = tryLock(made.file('alive'));
      });
      return new ForegroundVm(store, VmDirectory.pin(directory.path), config, alive!, record);
    } catch (error) {
      alive?.release();
      throw error;
    }
  }

  get state(): VmRecord {
    return this.record;
  }

  wait(): Promise<VmExit> {
    return this.done;
  }

  /** @throws VexitError ERR_CONFIG for limits that make no sense on this host */
  limit(limits: ResourceLimits): void {
    if (this.resources !== undefined) this.resources.apply(limits);
    else if (this.vm !== undefined) {
      const { cpus = 1 } = this.config.options;
      this.resources = limitProcess(this.vm, cpus, limits, () => undefined);
    }
  }

  /**
   * The guest runs.
   * @param resources what limits it, if anything does
   */
  async started(vm: VirtualMachine, resources?: ResourceControl): Promise<void> {
    this.vm = vm;
    this.resources = resources;
    const startedAt = new Date().toISOString();
    const cgroup = resources?.cgroup;
    this.write({ status: 'running', startedAt, ...(cgroup === undefined ? {} : { cgroup }) });
    vm.on('state', (state) => {
      if (state === 'running' || state === 'paused') this.write({ status: state });
    });
    this.event({ type: 'start' });
    this.server = await ControlServer.listen(this.directory.socket, operations(this));
  }

  /** A state that cannot be written is no reason to end a VM: those who ask it are told. */
  private write(change: Partial<VmRecord>): void {
    this.record = { ...this.record, ...change };
    try {
      this.directory.writeRecord(this.record, false);
    } catch (error) {
      if (!(error instanceof VexitError)) throw error;
    }
  }

  async stop(wish: 'stop' | 'restart', graceMs: number): Promise<void> {
    if (wish === 'restart') {
      throw new VexitError(
        'ERR_VM_STATE',
        `VM ${this.directory.name} was run on a terminal`,
        'only VMs of "vexit run -d" and "vexit create" can be started again',
      );
    }
    this.event({ type: graceMs > 0 ? 'stop' : 'kill' });
    if (this.vm !== undefined) await stopGracefully(this.vm, graceMs);
  }

  event(event: Omit<VmEvent, 'time' | 'name'>): void {
    this.store.events.add({ ...event, name: this.directory.name, id: this.config.id });
  }

  /** Gives the name back. Safe to call twice. */
  async end(report: ExitReport | undefined): Promise<void> {
    const {
      reason = 'start-failed',
      status = 2,
      message = 'the VM was not started',
    } = report ?? {};
    this.event({ type: 'exit', reason, status });
    this.finish({ reason, status, message });
    await this.server?.close();
    try {
      await this.store.remove(this.directory);
    } catch (error) {
      // The next command removes what this one could not: the lock is free then.
      if (!(error instanceof VexitError)) throw error;
    } finally {
      this.alive.release();
    }
  }
}
