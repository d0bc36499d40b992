/** Takes away what LANs have left on the host: of members that were killed, and of a LAN without any. */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { ProcessLock } from '../../io/process-lock.js';
import { systemCode } from '../../util/errors.js';
import { lanPath, lockPath, LOCK_NAME } from './lan-place.js';
import { hosts, leaseHost, readLease } from './leases.js';

/** Removes what processes have left that ended without doing so. Who calls it holds the LAN's lock. */
export function sweep(directory: string): void {
  const alive = new Set(hosts(directory).filter((host) => readLease(directory, host)));
  for (const file of readdirSync(directory)) {
    if (file === LOCK_NAME) continue;
    const host = leaseHost(file.replace(/\.sock$/, '.lease'));
    if (host === undefined || !alive.has(host)) rmSync(path.join(directory, file), { force: true });
  }
}

/** Returns whether there is no such directory now. */
function removeDirectory(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return systemCode(error) === 'ENOENT'; // else somebody has just joined
  }
}

/**
 * Removes what a LAN has on the host but its members. Nothing is done while somebody joins it: who
 * joins does the same. Who joins later makes the LAN again.
 * @returns whether nothing of it is there now
 */
export function clearLan(lan: string): boolean {
  const directory = lanPath(lan);
  let lock: ProcessLock | undefined;
  try {
    lock = ProcessLock.tryAcquire(lockPath(directory), { create: false });
    if (lock === undefined) return false;
    sweep(directory);
    if (hosts(directory).length > 0) return false;
    // The lock goes last: until then nobody else is here.
    rmSync(lockPath(directory), { force: true });
    return removeDirectory(directory);
  } catch (error) {
    if (lock !== undefined || systemCode(error) !== 'ENOENT') return false; // not ours to remove
    return removeDirectory(directory);
  } finally {
    lock?.release();
  }
}
