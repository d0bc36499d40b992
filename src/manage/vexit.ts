/** The VMs of this user on this host, as a library. */
import { VexitError } from '../util/errors.js';
import type { VmEvent } from './event-log.js';
import { ManagedVm } from './managed-vm.js';
import { newConfig, type NewConfig } from './new-config.js';
import { randomName } from './paths.js';
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
