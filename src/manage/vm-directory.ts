/** The directory of one VM: its files by name, its two locks. */
import fs from 'node:fs';
import path from 'node:path';
import type { ProcessLock } from '../io/process-lock.js';
import { checkVmConfig, checkVmRecord, type VmConfig, type VmRecord } from './records.js';
import { readJson, storing, writeJson } from './state-file.js';
import { isLocked, lock, tryLock } from './store-lock.js';
import { VexitError } from '../util/errors.js';

/** A command that changes a VM waits so long for another one that does. */
const COMMAND_LOCK_MS = 60_000;

/**
 * Two locks with different meanings:
 * - `alive`: held by the VM's process from its begin to its end. Held means alive, free means dead;
 * - `lock`: held by a command while it changes the VM from outside.
 */
export class VmDirectory {
  /** @param path where the directory is; `/proc/self/fd/N` for one that may be renamed meanwhile */
  constructor(readonly path: string) {}

  /**
   * The directory itself whatever its name becomes: for the VM's own process, which is in one
   * directory for its whole life.
   */
  static pin(at: string): VmDirectory {
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;
    const fd = storing(at, () => fs.openSync(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return new VmDirectory(`/proc/self/fd/${fd}`);
  }

  /** Where the directory is now; undefined when it has been removed. */
  get realPath(): string | undefined {
    if (!this.path.startsWith('/proc/self/fd/')) return this.path;
    const target = fs.readlinkSync(this.path);
    return target.endsWith(' (deleted)') ? undefined : target;
  }

  /** The VM's name is that of its directory. */
  get name(): string {
    return path.basename(this.realPath ?? fs.readlinkSync(this.path));
  }

  file(name: string): string {
    return path.join(this.path, name);
  }

  get socket(): string {
    return this.file('control.sock');
  }

  /** Of virtio-vsock: how commands reach the agent in the guest. */
  get vsockSocket(): string {
    return this.file('vsock.sock');
  }

  /** What the VM's process itself wrote to standard error; see also the console log. */
  get processLog(): string {
    return this.file('process.log');
  }

  /** @throws VexitError ERR_STORE, ERR_NOT_FOUND */
  readConfig(): VmConfig {
    return this.read('config.json', checkVmConfig);
  }

  writeConfig(config: VmConfig, durable = true): void {
    writeJson(this.file('config.json'), config, durable);
  }

  /** @throws VexitError ERR_STORE, ERR_NOT_FOUND */
  readRecord(): VmRecord {
    return this.read('state.json', checkVmRecord);
  }

  writeRecord(record: VmRecord, durable = true): void {
    writeJson(this.file('state.json'), record, durable);
  }

  private read<T>(name: string, check: (file: string, fields: Record<string, unknown>) => T): T {
    const file = this.file(name);
    const fields = readJson(file);
    if (fields === undefined) throw this.missing(file);
    return check(file, fields);
  }

  private missing(file: string): VexitError {
    if (!fs.existsSync(this.path)) return unknownVm(this.name);
    return new VexitError('ERR_STORE', `${file} is missing`, 'remove the VM with "vexit rm -f"');
  }

  /** Whether the VM has a process. */
  isAlive(): boolean {
    return isLocked(this.file('alive'));
  }

  /** @throws VexitError ERR_BUSY when another process has it and does not end */
  async becomeAlive(timeoutMs: number): Promise<ProcessLock> {
    const busy = `VM ${this.name} has a process already`;
    return lock(this.file('alive'), timeoutMs, busy);
  }

  /**
   * Makes sure that no other command changes the VM meanwhile.
   * @throws VexitError ERR_BUSY, ERR_NOT_FOUND when it has been removed
   */
  async lock(): Promise<ProcessLock> {
    if (!fs.existsSync(this.path)) throw unknownVm(this.name);
    try {
      const busy = `another command is changing VM ${this.name}`;
      return await lock(this.file('lock'), COMMAND_LOCK_MS, busy);
    } catch (error) {
      throw fs.existsSync(this.path) ? error : unknownVm(this.name);
    }
  }

  /** The same, if no other command does. */
  tryLock(): ProcessLock | undefined {
    try {
      return tryLock(this.file('lock'));
    } catch {
      return undefined; // removed, or not ours to write
    }
  }
}

export function unknownVm(name: string): VexitError {
  return new VexitError('ERR_NOT_FOUND', `no VM is called ${name}`, 'vexit ps -a lists them');
}
