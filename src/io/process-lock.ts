/**
 * Locks between processes: an open file description holds one (F_OFD_SETLK), so it ends with its
 * holder however that ends. Nobody has to ask whether a process id still is the same process.
 */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../kvm/native.js';
import { systemCode } from '../util/errors.js';

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const POLL_MS = 10;

function isStill(fd: number, path: string): boolean {
  const held = fstatSync(fd);
  const there = statSync(path, { throwIfNoEntry: false });
  return held.ino === there?.ino && held.dev === there.dev;
}

/** A lock that this process holds on a file. Errors of the system are thrown as they are. */
export class ProcessLock {
  private constructor(private fd: number) {}

  /**
   * Takes the lock if nobody has it.
   * @param create whether a file that is missing is made
   */
  static tryAcquire(path: string, { create = true } = {}): ProcessLock | undefined {
    const fd = openSync(path, O_RDWR | O_NOFOLLOW | (create ? O_CREAT : 0), 0o600);
    try {
      // The file may have been removed with its directory between the two calls.
      if (native().fileLock(fd, true) && isStill(fd, path)) return new ProcessLock(fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return undefined;
  }

  /**
   * Takes the lock, waiting for whoever has it; makes the file if it is missing.
   * @param signal ends waiting: its reason is thrown
   * @returns undefined when it takes longer
   */
  static async acquire(
    path: string,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<ProcessLock | undefined> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const lock = ProcessLock.tryAcquire(path);
      if (lock !== undefined || Date.now() > end) return lock;
      await sleep(POLL_MS);
    }
  }

  /** Whether somebody holds the lock; asking does not take it. */
  static isHeld(path: string): boolean {
    let fd: number;
    try {
      fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false;
      throw error;
    }
    try {
      return native().fileLocked(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Safe to call twice. */
  release(): void {
    if (this.fd === -1) return;
    closeSync(this.fd);
    this.fd = -1;
  }
}
