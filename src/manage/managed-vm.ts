/** A VM of the store, from outside its process: what commands and the library do with it. */
import type { GuestAgent } from '../agent/guest-agent.js';
import { netSettings } from '../machine/device-options.js';
import { hostAndPort } from '../net/wire/address.js';
import { VexitError } from '../util/errors.js';
import { readLog, type LogOptions } from './console-log.js';
import { ControlConnection, ask } from './control-client.js';
import { withDeviceUpdates, type DeviceUpdates } from './device-updates.js';
import { agentOf } from './guest-agent.js';
import { launch } from './launcher.js';
import { ProcessControl, wrongState } from './process-control.js';
import { threadsOf, type ThreadUsage } from './process-usage.js';
import { reap } from './reap.js';
import { isActive, type VmConfig, type VmExit, type VmRecord } from './records.js';
import { changeLimits, type LimitChanges } from './resources/limits.js';
import type { ResourceReport } from './resources/resource-control.js';
import { formatRestartPolicy, parseRestartPolicy } from './restart-policy.js';
import type { Store } from './store.js';
import type { VmStats } from './vm-stats.js';
import type { VmDirectory } from './vm-directory.js';

/** Default of `vexit stop --time`. */
export const STOP_GRACE_MS = 10_000;
/** What ending a VM takes beyond the time that its guest is given. */
const STOP_MARGIN_MS = 20_000;
/** How long a process that is to end its VM at once has for it, before it is ended itself. */
const KILL_MS = 5000;

/** Everything about a VM. */
export interface VmInfo {
  readonly name: string;
  /** Where its files are. */
  readonly path: string;
  readonly config: VmConfig;
  readonly state: VmRecord;
  /** What limits it, and by what means, while it runs. */
  readonly resources?: ResourceReport;
}

/** What {@link ManagedVm.update} can change. */
export interface VmUpdate extends DeviceUpdates {
  /** `no`, `on-failure`, `on-failure:N` or `always`. */
  readonly restart?: string;
  /** Bytes that the guest is asked to give up; for a VM that runs and has a balloon. */
  readonly balloon?: number;
  /** What it may take of the host, from now on; `null` takes a limit away. */
  readonly resources?: LimitChanges;
}

/** A VM by its name. */
export class ManagedVm {
  private readonly process: ProcessControl;

  /** @internal by `Vexit` */
  constructor(
    private readonly store: Store,
    private directory: VmDirectory,
  ) {
    this.process = new ProcessControl(store, () => this.directory);
  }

  get name(): string {
    return this.directory.name;
  }

  /** Where its files are. */
  get path(): string {
    return this.directory.path;
  }

  /** @throws VexitError ERR_STORE when its files are damaged */
  get config(): VmConfig {
    return this.directory.readConfig();
  }

  /**
   * How it is: by its process while there is one, else by its file.
   * @throws VexitError ERR_STORE, ERR_NOT_FOUND
   */
  async state(): Promise<VmRecord> {
    reap(this.store, this.directory);
    const record = this.directory.readRecord();
    if (!isActive(record.status)) return record;
    try {
      return (await ask(this.directory, { op: 'state' }, 2000)) as VmRecord;
    } catch {
      return record; // it is just starting or ending
    }
  }

  async inspect(): Promise<VmInfo> {
    const { name, path, config } = this;
    const state = await this.state();
    const resources = isActive(state.status) ? await this.limits() : undefined;
    return { name, path, config, state, ...(resources === undefined ? {} : { resources }) };
  }

  /** Nothing while it is just starting or ending. */
  private async limits(): Promise<ResourceReport | undefined> {
    try {
      const limits = (await ask(this.directory, { op: 'resources' }, 2000)) as ResourceReport;
      return Object.keys(limits).length === 0 ? undefined : limits;
    } catch (error) {
      if (!(error instanceof VexitError)) throw error;
      return undefined;
    }
  }

  /**
   * Starts it; resolves when its guest runs.
   * @throws VexitError ERR_VM_STATE when it runs already, and why it could not be started
   */
  async start(): Promise<void> {
    const lock = await this.directory.lock();
    try {
      if (!this.config.detached) throw this.wrong('was run on a terminal: it cannot be started');
      const { status } = this.directory.readRecord();
      if (this.directory.isAlive()) {
        if (isActive(status)) throw this.wrong(`is ${status} already`);
        await this.process.ended();
      }
      await launch(this.directory);
    } finally {
      lock.release();
    }
  }

  private wrong(what: string, hint?: string): VexitError {
    return wrongState(this.directory, what, hint);
  }

  /**
   * Asks the guest to power off, and switches the VM off when it does not in time.
   * @param graceMs 0: does not ask
   * @throws VexitError ERR_VM_STATE unless it runs
   */
  async stop(graceMs = STOP_GRACE_MS): Promise<VmExit> {
    this.checkActive();
    try {
      const request = { op: 'stop', graceMs };
      const exit = (await this.process.ask(request, graceMs + STOP_MARGIN_MS)) as VmExit;
      await this.process.ended();
      return exit;
    } catch (error) {
      return await this.process.endedMeanwhile(error);
    }
  }

  /** Switches it off at once; ends its process when that does not answer. */
  async kill(): Promise<void> {
    this.checkActive();
    try {
      await this.process.ask({ op: 'stop', graceMs: 0 }, KILL_MS);
    } catch (error) {
      if (!(error instanceof VexitError) || error.code === 'ERR_NOT_FOUND') throw error;
      this.process.kill();
    }
    await this.process.ended();
  }

  private checkActive(): void {
    reap(this.store, this.directory);
    const { status } = this.directory.readRecord();
    if (!isActive(status)) throw this.wrong('is not running');
  }

  /** Stops it, if it runs, and starts it. */
  async restart(graceMs = STOP_GRACE_MS): Promise<void> {
    reap(this.store, this.directory);
    if (!isActive(this.directory.readRecord().status)) {
      await this.start();
      return;
    }
    await this.process.ask({ op: 'restart', graceMs }, graceMs + STOP_MARGIN_MS);
  }

  /** @throws VexitError ERR_VM_STATE unless it runs */
  async pause(): Promise<void> {
    await this.process.ask({ op: 'pause' });
  }

  /** @throws VexitError ERR_VM_STATE unless it is paused */
  async resume(): Promise<void> {
    await this.process.ask({ op: 'resume' });
  }

  /**
   * Removes it and its files.
   * @param force kills it first, and removes it even if its files are damaged
   * @throws VexitError ERR_VM_STATE when it runs and is not to be killed
   */
  async remove(force = false): Promise<void> {
    const lock = await this.directory.lock();
    try {
      if (this.directory.isAlive()) await this.endForRemoval(force);
      await this.store.remove(this.directory);
    } catch (error) {
      // It was to be removed at its end, and that was quicker.
      if (!(error instanceof VexitError) || error.code !== 'ERR_NOT_FOUND') throw error;
    } finally {
      lock.release();
    }
  }

  private async endForRemoval(force: boolean): Promise<void> {
    const { status } = this.directory.readRecord();
    if (isActive(status)) {
      if (!force) throw this.wrong(`is ${status}`, 'stop it first, or use: vexit rm -f');
      await this.kill();
    }
    await this.process.ended();
  }

  /** @throws VexitError ERR_CONFIG, ERR_EXISTS */
  async rename(name: string): Promise<void> {
    const lock = await this.directory.lock();
    try {
      this.directory = await this.store.rename(this.directory, name);
      // Its process finds the name by itself; only its title is older.
      await ask(this.directory, { op: 'renamed' }, 2000).catch(() => undefined);
    } finally {
      lock.release();
    }
  }

  /**
   * Resolves with its end, which may have been long ago.
   * @throws VexitError ERR_VM_STATE when it has never been started
   */
  wait(): Promise<VmExit> {
    return this.process.exit();
  }

  /**
   * What its console has said, as one or more pieces.
   * @param signal ends following
   */
  logs(options: LogOptions = {}, signal?: AbortSignal): AsyncGenerator<Buffer> {
    return readLog(this.directory, options, signal);
  }

  /** Connects to its console. @throws VexitError ERR_VM_STATE unless it runs */
  async attach(): Promise<ControlConnection> {
    this.checkActive();
    return ControlConnection.open(this.directory, { op: 'attach' });
  }

  /**
   * The agent in its guest: programs and files. Its operations wait up to two minutes for a guest that
   * boots, and fail then with ERR_AGENT.
   * @throws VexitError ERR_VM_STATE unless it runs, and when it has no agent
   */
  async agent(): Promise<GuestAgent> {
    const agent = agentOf(this.directory, this.config);
    const { status } = await this.state();
    if (!isActive(status)) throw this.wrong('is not running');
    if (status === 'paused')
      throw this.wrong('is paused', `let it go on: vexit resume ${this.name}`);
    return agent;
  }

  /** What it has done since power-on. @throws VexitError ERR_VM_STATE unless it runs */
  async stats(): Promise<VmStats> {
    this.checkActive();
    return (await this.process.ask({ op: 'stats' })) as VmStats;
  }

  /** The threads of its process; none unless it runs. */
  threads(): ThreadUsage[] {
    const { pid } = this.directory.readRecord();
    return pid === undefined || !this.directory.isAlive() ? [] : threadsOf(pid);
  }

  /** Changes what can be changed without starting it again. */
  async update(change: VmUpdate): Promise<void> {
    const { restart } = change;
    const lock = await this.directory.lock();
    try {
      const policy = restart === undefined ? undefined : parseRestartPolicy(restart);
      const { config } = this;
      const resources = changeLimits(config.resources ?? {}, change.resources ?? {});
      const { status } = await this.state();
      const options = withDeviceUpdates(config.options, change);
      const running =
        change.balloon !== undefined || change.disks?.some(({ size }) => size !== undefined);
      if (running === true && !isActive(status)) throw this.wrong('is not running');
      if (isActive(status)) {
        const limits = change.resources === undefined ? {} : { resources };
        await this.process.ask({ op: 'update', ...change, ...limits });
      }
      const kept = { ...config, options, resources, restart: policy ?? config.restart };
      if (JSON.stringify(kept) !== JSON.stringify(config)) this.directory.writeConfig(kept);
    } finally {
      lock.release();
    }
  }

  /** The ports it asks the host for, as "127.0.0.1:8080->80/tcp". */
  ports(): string[] {
    return netSettings(this.config.options)
      .flatMap((settings) => ('publish' in settings ? (settings.publish ?? []) : []))
      .map(
        ({ hostAddress, hostPort, guestPort, protocol }) =>
          `${hostAndPort(hostAddress, hostPort)}->${guestPort}/${protocol}`,
      );
  }

  /** Its restart policy as people write it. */
  get restartPolicy(): string {
    return formatRestartPolicy(this.config.restart);
  }
}
