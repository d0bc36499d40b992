/**
 * All VMs of a user: a directory each under `vms/`. Making, renaming and removing them is one rename
 * under the store's lock, so a name is either all there or not there at all.
 */
import fs from 'node:fs';
import path from 'node:path';
import { VexitError, systemCode } from '../util/errors.js';
import { EventLog } from './event-log.js';
import { lock, tryLock } from './store-lock.js';
import { VM_NAME, checkName, randomId, stateRoot } from './paths.js';
import { reap } from './reap.js';
import type { VmConfig, VmRecord } from './records.js';
import { storing, syncDirectory } from './state-file.js';
import { VmDirectory, unknownVm } from './vm-directory.js';

/** Entries that a command which was killed has left half made or half removed. */
const UNFINISHED = /^\.(creating|removing)-/;
const STORE_LOCK_MS = 60_000;
/** Starting a project takes minutes: who waits is told so. */
const PROJECT_LOCK_MS = 2000;

/** What a VM begins with. */
export interface NewVm {
  readonly config: VmConfig;
  readonly record: VmRecord;
  /** False: the VM goes with its process, nothing of it has to survive a crash of the host. */
  readonly durable?: boolean;
}

/** Nobody else may write where commands and the options of VMs come from. */
function checkOwner(directory: string): void {
  const stats = storing(directory, () => fs.statSync(directory));
  if (!stats.isDirectory()) {
    throw new VexitError('ERR_STORE', `${directory} is not a directory`, 'move it out of the way');
  }
  if (stats.uid !== process.geteuid?.()) {
    throw new VexitError(
      'ERR_STORE',
      `${directory} belongs to another user (uid ${stats.uid})`,
      'give it back with chown, or set XDG_STATE_HOME to a directory of yours',
    );
  }
  if ((stats.mode & 0o022) !== 0) {
    throw new VexitError(
      'ERR_STORE',
      `other users can write to ${directory}`,
      `run: chmod go-w ${directory}`,
    );
  }
}

/** The VMs under one root. */
export class Store {
  readonly events: EventLog;
  private readonly vms: string;

  private constructor(readonly root: string) {
    this.vms = path.join(root, 'vms');
    this.events = new EventLog(path.join(root, 'events.jsonl'));
  }

  /**
   * @throws VexitError ERR_STORE when the directory is another user's, or others may write to it
   */
  static open(root = stateRoot()): Store {
    const store = new Store(root);
    for (const directory of [root, store.vms]) {
      if (storing(directory, () => fs.existsSync(directory))) checkOwner(directory);
    }
    return store;
  }

  /** The store that a VM's directory is in. */
  static around(directory: string): Store {
    return new Store(path.dirname(path.dirname(directory)));
  }

  /**
   * Keeps other commands from changing a project meanwhile. The lock's file goes with the lock.
   * @returns gives the lock back
   * @throws VexitError ERR_BUSY
   */
  async lockProject(project: string): Promise<() => void> {
    this.makeRoot();
    const file = path.join(this.vms, `.project-${project}`);
    const busy = `another command is changing project ${project}`;
    const held = await lock(file, PROJECT_LOCK_MS, busy);
    return () => {
      fs.rmSync(file, { force: true });
      held.release();
    };
  }

  private makeRoot(): void {
    storing(this.vms, () => fs.mkdirSync(this.vms, { recursive: true, mode: 0o700 }));
  }

  private at(name: string): string {
    return path.join(this.vms, name);
  }

  /** Names of all VMs, sorted. */
  names(): string[] {
    const entries = storing(this.vms, () => {
      try {
        return fs.readdirSync(this.vms, { withFileTypes: true });
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return [];
        throw error;
      }
    });
    return entries
      .filter((entry) => entry.isDirectory() && VM_NAME.test(entry.name))
      .map(({ name }) => name)
      .sort();
  }

  /**
   * The VM of this name, its state as it is now.
   * @throws VexitError ERR_CONFIG, ERR_NOT_FOUND
   */
  find(name: string): VmDirectory {
    checkName(name);
    const directory = new VmDirectory(this.at(name));
    if (fs.existsSync(directory.path)) reap(this, directory);
    // An ended VM that was to be removed is gone now.
    if (!fs.existsSync(directory.path)) throw unknownVm(name);
    return directory;
  }

  /** All VMs, after cleaning up what commands and processes that were killed have left. */
  list(): VmDirectory[] {
    if (this.unfinished().length > 0) this.tryExclusive(() => undefined);
    return this.names()
      .map((name) => new VmDirectory(this.at(name)))
      .filter((directory) => {
        reap(this, directory);
        return fs.existsSync(directory.path);
      });
  }

  /** Runs a change of names; one at a time on this host. */
  private async exclusive<T>(change: () => T): Promise<T> {
    this.makeRoot();
    const busy = 'another command is making or removing VMs';
    const held = await lock(path.join(this.vms, '.lock'), STORE_LOCK_MS, busy);
    try {
      this.removeUnfinished();
      return change();
    } finally {
      held.release();
    }
  }

  /**
   * Makes a VM, or nothing.
   * @param prepare called in the directory before others see it, to take locks
   * @throws VexitError ERR_CONFIG, ERR_EXISTS, ERR_STORE
   */
  async create(
    name: string,
    { config, record, durable = true }: NewVm,
    prepare?: (directory: VmDirectory) => void,
  ): Promise<VmDirectory> {
    checkName(name);
    return this.exclusive(() => {
      const target = this.at(name);
      if (fs.existsSync(target)) {
        reap(this, new VmDirectory(target), true);
        if (fs.existsSync(target)) throw taken(name);
      }
      const temporary = this.at(`.creating-${randomId()}`);
      try {
        storing(target, () => fs.mkdirSync(temporary, { mode: 0o700 }));
        const directory = new VmDirectory(temporary);
        directory.writeConfig(config, durable);
        directory.writeRecord(record, durable);
        prepare?.(directory);
        storing(target, () => fs.renameSync(temporary, target));
        if (durable) syncDirectory(this.vms);
      } catch (error) {
        fs.rmSync(temporary, { recursive: true, force: true });
        throw error;
      }
      this.events.add({ type: 'create', name, id: config.id });
      return new VmDirectory(target);
    });
  }

  /** Removes a VM that has no process. */
  async remove(directory: VmDirectory): Promise<void> {
    await this.exclusive(() => this.removeNow(directory));
  }

  /** The same, by whoever has the store's lock. */
  removeNow(directory: VmDirectory): void {
    const { realPath, name } = directory;
    if (realPath === undefined || !fs.existsSync(realPath)) return;
    const doomed = this.at(`.removing-${randomId()}`);
    storing(realPath, () => {
      fs.renameSync(realPath, doomed);
      fs.rmSync(doomed, { recursive: true, force: true });
    });
    this.events.add({ type: 'remove', name });
  }

  /** @throws VexitError ERR_CONFIG, ERR_EXISTS */
  async rename(directory: VmDirectory, name: string): Promise<VmDirectory> {
    checkName(name);
    return this.exclusive(() => {
      const before = directory.name;
      const target = this.at(name);
      if (fs.existsSync(target)) throw taken(name);
      if (!fs.existsSync(directory.path)) throw unknownVm(before);
      storing(target, () => fs.renameSync(directory.path, target));
      syncDirectory(this.vms);
      this.events.add({ type: 'rename', name, before });
      return new VmDirectory(target);
    });
  }

  /** Removes a VM unless another command is making or removing VMs; the next one does it then. */
  tryRemove(directory: VmDirectory): void {
    this.tryExclusive(() => this.removeNow(directory));
  }

  /** Does nothing while another command is at work, or where this user may only read. */
  private tryExclusive(change: () => void): void {
    try {
      const held = tryLock(path.join(this.vms, '.lock'));
      if (held === undefined) return;
      try {
        this.removeUnfinished();
        change();
      } finally {
        held.release();
      }
    } catch (error) {
      if (!(error instanceof VexitError)) throw error;
    }
  }

  private unfinished(): string[] {
    try {
      return fs.readdirSync(this.vms).filter((entry) => UNFINISHED.test(entry));
    } catch {
      return []; // not there yet; who cannot read it is told so by names()
    }
  }

  private removeUnfinished(): void {
    for (const entry of this.unfinished()) {
      storing(this.at(entry), () => fs.rmSync(this.at(entry), { recursive: true, force: true }));
    }
  }
}

function taken(name: string): VexitError {
  return new VexitError(
    'ERR_EXISTS',
    `a VM called ${name} is there already`,
    `choose another name, or remove it with: vexit rm ${name}`,
  );
}
