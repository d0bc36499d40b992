/**
 * Locks between processes: an open file description holds one (F_OFD_SETLK), so it ends with its
 * holder however that ends. Nobody has to ask whether a process id still is the same process.
 */
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../kvm/native.js';
import { VexitError, systemCode } from '../util/errors.js';
import { storing } from './state-file.js';

const POLL_MS = 10;

function sameFile(fd: number, path: string): boolean {
  try {
    const held = fs.fstatSync(fd);
    const there = fs.statSync(path);
    return held.ino === there.ino && held.dev === there.dev;
  } catch {
    return false;
  }
}

/** A lock that this process holds. */
export class FileLock {
  private constructor(private fd: number) {}

  /**
   * Takes the lock if nobody has it.
   * @throws VexitError ERR_STORE when the file cannot be opened
   */
  static tryAcquire(path: string): FileLock | undefined {
    const fd = storing(path, () => fs.openSync(path, 'a', 0o600));
    try {
      // The file may have been removed with its directory between the two calls.
      if (native().fileLock(fd, true) && sameFile(fd, path)) return new FileLock(fd);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    fs.closeSync(fd);
    return undefined;
  }

  /**
   * Takes the lock, waiting for whoever has it.
   * @param busy what to say when it takes longer
   * @throws VexitError ERR_BUSY, ERR_STORE
   */
  static async acquire(path: string, timeoutMs: number, busy: string): Promise<FileLock> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const lock = FileLock.tryAcquire(path);
      if (lock !== undefined) return lock;
      if (Date.now() > end) throw new VexitError('ERR_BUSY', busy, 'try again when it is done');
      await sleep(POLL_MS);
    }
  }

  /** Whether somebody holds the lock; asking does not take it. */
  static held(path: string): boolean {
    let fd: number;
    try {
      fd = fs.openSync(path, 'r');
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false;
      return storing(path, () => {
        throw error;
      });
    }
    try {
      return native().fileLocked(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  release(): void {
    if (this.fd === -1) return;
    fs.closeSync(this.fd);
    this.fd = -1;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
