/** Opens the files that are mapped into guests as persistent memory. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { lockImage, whenReleased } from '../block/raw/lock.js';
import { VexitError, errorMessage, systemCode } from '../util/errors.js';
import type { PmemOptions } from './device-options.js';

/** An open and locked file. */
export interface OpenPmem {
  readonly fd: number;
  /** Bytes, more than 0. */
  readonly size: number;
}

const PROBLEMS: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  ENOENT: ['does not exist', 'check the path, or make it with: vexit disk create'],
  ENOTDIR: ['does not exist', 'check the path'],
  EISDIR: ['is a directory', 'give an image'],
  EACCES: ['cannot be opened: permission denied', 'give this user the right, or add ",ro"'],
  EPERM: ['cannot be opened: not permitted', 'give this user the right, or add ",ro"'],
  EROFS: ['is on a read-only file system', 'add ",ro"'],
  ELOOP: ['has too many symbolic links', 'check the path'],
  ENXIO: ['is not a file', 'give an image'],
};

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    const [what, hint] = PROBLEMS[systemCode(error) ?? ''] ?? [
      `cannot be opened: ${errorMessage(error)}`,
      'check the path',
    ];
    throw new VexitError('ERR_DISK', `pmem ${path} ${what}`, hint, { cause: error });
  }
}

function openLocked({ path, readOnly = false }: PmemOptions): OpenPmem {
  // O_NONBLOCK: a FIFO must not hold us before it can be refused.
  const fd = open(path, (readOnly ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    if (stats.isDirectory()) {
      throw new VexitError('ERR_DISK', `pmem ${path} is a directory`, 'give an image');
    }
    if (!stats.isFile()) {
      throw new VexitError('ERR_DISK', `pmem ${path} is not a file`, 'give an image');
    }
    if (stats.size === 0) {
      throw new VexitError('ERR_DISK', `pmem ${path} is empty`, 'give an image');
    }
    lockImage(path, fd, stats, !readOnly);
    return { fd, size: stats.size };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Opens a file and locks it as disks are locked: shared by those who read, for one alone who writes.
 * @throws VexitError ERR_DISK
 */
export function openPmem(options: PmemOptions): Promise<OpenPmem> {
  return whenReleased(() => openLocked(options));
}
