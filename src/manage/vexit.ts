/** The VMs of this user on this host, as a library. */
import { VexitError } from '../util/errors.js';
import type { VmEvent } from './event-log.js';
import { ManagedVm } from './managed-vm.js';
import { newConfig, type NewConfig } from './new-config.js';
import { randomName } from './paths.js';
import type { DownOptions } from './project/down.js';
import { checkProjectName } from './project/names.js';
import type { ReadOptions } from './project/project.js';
import type { UpOptions, UpResult } from './project/up.js';
import { NEW_RECORD } from './records.js';
import { Store } from './store.js';

/** A VM to be created. */
export interface CreateVmOptions extends Omit<NewConfig, 'detached'> {
  /** Random unless given. */
  readonly name?: string;
}

/** Which events. */
export interface EventOptions {
  /** From this time on; milliseconds since 1970. Default: only what happens from now on. */
  readonly since?: number;
  /** Ends the events; without it they go on for ever. */
  readonly signal?: AbortSignal;
}

/**
 * The VMs of this user: those of `vexit run -d` and `vexit create`, and foreground ones with a name.
 * Each has a process of its own, which goes on when this one ends.
 *
 * ```ts
 * const vexit = new Vexit();
 * const vm = await vexit.run({ name: 'web', options: { memory: '512M' } });
 * for (const { name, path } of vexit.list()) console.log(name, path);
 * await vm.stop();
 * await vm.remove();
 * ```
 */
export class Vexit {
  private readonly store: Store;

  /**
   * @param root where VMs are kept; default `$XDG_STATE_HOME/vexit`
   * @throws VexitError ERR_STORE when that is another user's, or others may write there
   */
  constructor(root?: string) {
    this.store = Store.open(root);
  }

  /** All VMs by name, after cleaning up what killed processes have left. */
  list(): ManagedVm[] {
    return this.store.list().map((directory) => new ManagedVm(this.store, directory));
  }

  /** @throws VexitError ERR_NOT_FOUND, ERR_CONFIG for what cannot be a name */
  get(name: string): ManagedVm {
    return new ManagedVm(this.store, this.store.find(name));
  }

  /**
   * Creates a VM; it is not started, and its options are looked at when it is.
   * @throws VexitError ERR_EXISTS, ERR_CONFIG, ERR_STORE; nothing is left behind
   */
  async create({ name, ...asked }: CreateVmOptions): Promise<ManagedVm> {
    const config = newConfig(asked);
    const directory = await this.store.create(name ?? randomName(), { config, record: NEW_RECORD });
    return new ManagedVm(this.store, directory);
  }

  /**
   * Creates a VM and starts it; resolves when its guest runs.
   * @throws VexitError why that is not possible; nothing is left behind
   */
  async run(options: CreateVmOptions): Promise<ManagedVm> {
    const vm = await this.create(options);
    try {
      await vm.start();
      return vm;
    } catch (error) {
      await vm.remove(true).catch((left: unknown) => {
        if (!(left instanceof VexitError)) throw left;
      });
      throw error;
    }
  }

  /**
   * Brings up the VMs that a file describes, in the order of their dependencies: makes those that are not
   * there, makes those again that have changed, and starts those that do not run.
   * @param file YAML or JSON, see docs/up.md
   * @throws ProjectError (ERR_PROJECT) with every mistake in the file; VexitError why a VM could not be
   *   started: what this call has made and started is gone then
   */
  async up(
    file: string,
    { name, env, ...options }: UpOptions & ReadOptions = {},
  ): Promise<UpResult> {
    // The parser is for those who need it.
    const { readProject } = await import('./project/project-file.js');
    const project = readProject(file, {
      ...(name === undefined ? {} : { name }),
      ...(env === undefined ? {} : { env }),
    });
    const { up } = await import('./project/up.js');
    return this.changingProject(project.name, () => up(this, project, options));
  }

  /**
   * Stops the VMs of a project, each after those that depend on it, and removes them and the LANs between
   * them. Resolves with their names in the file.
   * @param project its name
   */
  async down(project: string, options: DownOptions = {}): Promise<string[]> {
    const { down } = await import('./project/down.js');
    return this.changingProject(project, () => down(this, project, options));
  }

  /** Stops the VMs of a project in that order, and keeps them. */
  async stopProject(project: string, options: DownOptions = {}): Promise<void> {
    const { stopMembers } = await import('./project/down.js');
    const { membersOf } = await import('./project/members.js');
    await this.changingProject(project, () =>
      stopMembers(membersOf(this, project), { ...options, remove: false }),
    );
  }

  private async changingProject<T>(project: string, work: () => Promise<T>): Promise<T> {
    const unlock = await this.store.lockProject(checkProjectName(project));
    try {
      return await work();
    } finally {
      unlock();
    }
  }

  /** What happens to VMs. */
  events({ since, signal }: EventOptions = {}): AsyncGenerator<VmEvent> {
    return this.store.events.follow(signal ?? new AbortController().signal, since);
  }

  /** What has happened to VMs, as far as it is kept; oldest first. */
  pastEvents(since = 0): VmEvent[] {
    return this.store.events.read().filter(({ time }) => Date.parse(time) >= since);
  }

  /** Removes all VMs that have ended. Resolves with their names. */
  async prune(): Promise<string[]> {
    const removed: string[] = [];
    for (const vm of this.list()) {
      if ((await vm.state()).status !== 'exited') continue;
      const { name } = vm;
      await vm.remove();
      removed.push(name);
    }
    return removed;
  }
}
