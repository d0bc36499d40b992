/**
 * Locks on images, so that two VMs do not write one: shared by readers, exclusive for a writer. They
 * belong to the open file description, so they end with the last descriptor, however that ends.
 */
import { readFileSync, readdirSync, readlinkSync, statSync, type Stats } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../kvm/native.js';
import { VexitError, systemCode } from '../../util/errors.js';

/** Somebody else has the lock of an image. */
export class ImageInUseError extends VexitError {
  /** @param holderFound false: no process that this user may look into has the image open */
  constructor(
    message: string,
    hint: string,
    readonly holderFound: boolean,
  ) {
    super('ERR_DISK', message, hint);
  }
}

/**
 * Takes the lock of an open image.
 * @throws ImageInUseError when another VM or program has it
 */
export function lockImage(path: string, fd: number, stats: Stats, exclusive: boolean): void {
  let locked: boolean;
  try {
    locked = native().fileLock(fd, exclusive);
  } catch (error) {
    // File systems without locks (some FUSE and network ones) cannot protect anybody.
    const code = systemCode(error);
    if (code === 'EOPNOTSUPP' || code === 'ENOTSUP' || code === 'ENOLCK') return;
    throw error;
  }
  if (locked) return;
  const use = exclusive ? 'in use' : 'written';
  const holders = findHolders(stats);
  throw new ImageInUseError(
    `${path} is ${use} by ${holders.length > 0 ? holders.join(' and ') : 'another program'}`,
    exclusive ? 'stop that first, or give each VM an overlay of its own' : 'stop that first',
    holders.length > 0,
  );
}

/** How long the kernel may take to close what a process that has ended had open, and how to wait. */
const RELEASE_MS = 2000;
const RELEASE_POLL_MS = 10;

/**
 * Opens an image whose VM may have ended a moment ago: the kernel closes files that an io_uring has
 * registered some time after the process has gone, and their locks with them.
 * @param open throws {@link ImageInUseError} as long as the lock is somebody else's
 */
export async function whenReleased<T>(open: () => T): Promise<T> {
  for (const end = performance.now() + RELEASE_MS; ;) {
    try {
      return open();
    } catch (error) {
      const passing = error instanceof ImageInUseError && !error.holderFound;
      if (!passing || performance.now() > end) throw error;
    }
    await sleep(RELEASE_POLL_MS);
  }
}

/** "node (process 1234)": who has the file locked, as far as this user may see. */
function findHolders(stats: Stats): string[] {
  const holders: string[] = [];
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || !holdsLock(pid, stats)) continue;
    const self = Number(pid) === process.pid;
    holders.push(self ? 'another VM of this process' : `${commandOf(pid)} (process ${pid})`);
  }
  return holders;
}

function holdsLock(pid: string, stats: Stats): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        const link = `/proc/${pid}/fd/${fd}`;
        if (!readlinkSync(link).startsWith('/')) return false;
        const other = statSync(link);
        if (other.dev !== stats.dev || other.ino !== stats.ino) return false;
        return readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1').includes('lock:');
      } catch {
        return false; // closed in the meantime
      }
    });
  } catch {
    return false; // another user's, or gone
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'a program';
  }
}
