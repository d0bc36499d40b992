/** Takes away what LANs have left on the host: of members that were killed, and of a LAN without any. */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { ProcessLock } from '../../io/process-lock.js';
import { isLanPrivate, lanPath, lockPath, LOCK_NAME } from './lan-place.js';
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

/**
 * Returns false when somebody is on the LAN, and true when its lock has gone, or somebody else has it.
 * @throws what the system says, where there is no lock, or files are not ours to remove
 */
function clearUnlessUsed(directory: string): boolean {
  const lock = ProcessLock.tryAcquire(lockPath(directory), { create: false });
  if (lock === undefined) return true;
  try {
    sweep(directory);
    if (hosts(directory).length > 0) return false;
    // The lock goes last: until then nobody else is here.
    rmSync(lockPath(directory), { force: true });
    return true;
  } finally {
    lock.release();
  }
}

/**
 * Removes what a LAN has on the host but its members; all of it when there are none. Who joins later makes
 * it again. Nothing is done while somebody else has the lock, because they do it: who joins clears the LAN
 * when it fails or leaves, and who clears it does so again when the last member has left meanwhile.
 */
export function clearLan(lan: string): void {
  // Others may have made what leads to files that are not the LAN's.
  if (!isLanPrivate(lan)) return;
  const directory = lanPath(lan);
  try {
    while (!clearUnlessUsed(directory)) if (hosts(directory).length > 0) return;
  } catch {
    // What can be removed still is the directory, if it is empty.
  }
  try {
    rmdirSync(directory);
  } catch {
    // Somebody has just joined, or it has gone.
  }
}
