/** Takes away the directory of a LAN that nobody is on. */
import { closeSync, constants as fs, openSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { native } from '../../kvm/native.js';
import { systemCode } from '../../util/errors.js';
import { lanPath } from './lan-place.js';
import { hosts, readLease } from './leases.js';

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
 * Removes what a LAN has on the host, unless a VM is on it or joins it. Who joins makes it again.
 * @returns whether nothing of it is there now
 */
export function removeEmptyLan(lan: string): boolean {
  const directory = lanPath(lan);
  let fd: number;
  try {
    fd = openSync(path.join(directory, 'lock'), fs.O_RDWR | fs.O_NOFOLLOW);
  } catch (error) {
    return systemCode(error) === 'ENOENT' && removeDirectory(directory);
  }
  try {
    if (!native().fileLock(fd, true)) return false;
    if (hosts(directory).some((host) => readLease(directory, host) !== undefined)) return false;
    // The lock goes last: until then nobody else is here.
    const files = readdirSync(directory).filter((file) => file !== 'lock');
    for (const file of [...files, 'lock']) rmSync(path.join(directory, file), { force: true });
    return removeDirectory(directory);
  } catch {
    return false; // not ours to remove
  } finally {
    closeSync(fd);
  }
}
