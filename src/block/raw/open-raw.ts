/** Opens images and block devices, with everything that can be wrong said in one line. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import { SECTOR } from '../backend.js';
import { allocateHostBytes } from '../host-memory.js';
import { lockImage } from './lock.js';
import type { RawFile } from './raw-file.js';

/** How a raw disk is opened. */
export interface OpenRawOptions {
  readonly readOnly?: boolean;
  /** Past the host's page cache (O_DIRECT). */
  readonly direct?: boolean;
}

/** An open raw disk; plain data, usable in every thread of the process. */
export interface OpenRaw extends RawFile {
  /** Sizes of blocks, as far as the host says: for the topology. */
  readonly logicalBlockSize: number;
  readonly physicalBlockSize: number;
}

function problem(message: string, hint: string, cause?: unknown): VexitError {
  return new VexitError('ERR_DISK', message, hint, cause === undefined ? {} : { cause });
}

/**
 * Opens and locks a raw disk. Its content is never looked at: it is raw whatever it begins with.
 * @throws VexitError ERR_DISK
 */
export function openRaw(path: string, options: OpenRawOptions = {}): OpenRaw {
  const readOnly = options.readOnly ?? false;
  const fds: number[] = [];
  try {
    // O_NONBLOCK: a FIFO must not hold us before it can be refused.
    const access = readOnly ? constants.O_RDONLY : constants.O_RDWR;
    const fd = open(path, access | constants.O_NONBLOCK);
    fds.push(fd);
    const stats = fstatSync(fd);
    const blockDevice = stats.isBlockDevice();
    const size = sizeOf(path, stats);
    if (blockDevice && !readOnly) {
      // Refused while it is mounted or part of another device.
      fds.push(open(path, access | constants.O_EXCL));
      closeSync(fds.shift()!);
    }
    lockImage(path, fds[0]!, stats, !readOnly);
    const blocks = blockSizes(stats);
    const common = { path, readOnly, blockDevice, size, ...blocks };
    if (options.direct !== true) return { ...common, fd: fds[0]!, alignment: 1 };
    const directFd = openDirect(path, fds[0]!, access);
    fds.push(directFd);
    const alignment = directAlignment(path, directFd, size);
    const logicalBlockSize = Math.max(alignment, blocks.logicalBlockSize);
    const physicalBlockSize = Math.max(logicalBlockSize, blocks.physicalBlockSize);
    return {
      ...common,
      fd: directFd,
      bufferedFd: fds[0]!,
      alignment,
      logicalBlockSize,
      physicalBlockSize,
    };
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    throw error;
  }
}

/** Closes its descriptors, and with them the lock. */
export function closeRaw(file: RawFile): void {
  closeSync(file.fd);
  if (file.bufferedFd !== undefined) closeSync(file.bufferedFd);
}

const OPEN_PROBLEMS: Readonly<Record<string, readonly [string, string]>> = {
  ENOENT: ['does not exist', 'check the path, or make the disk with: vexit disk create'],
  ENOTDIR: ['does not exist', 'check the path, or make the disk with: vexit disk create'],
  EISDIR: ['is a directory', 'give a disk image or a block device'],
  EACCES: ['cannot be opened: permission denied', 'give this user the right, or add ",ro"'],
  EPERM: ['cannot be opened: not permitted', 'give this user the right, or add ",ro"'],
  EROFS: ['is on a read-only file system', 'add ",ro"'],
  ETXTBSY: ['is being executed', 'give a disk image or a block device'],
  EBUSY: ['is in use by the host', 'unmount it, or add ",ro"'],
  ENXIO: ['is not a disk', 'give a disk image or a block device'],
  ELOOP: ['has too many symbolic links', 'check the path'],
};

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    const [what, hint] = OPEN_PROBLEMS[systemCode(error) ?? ''] ?? [
      `cannot be opened: ${errorMessage(error)}`,
      'give a disk image or a block device',
    ];
    throw problem(`disk ${path} ${what}`, hint, error);
  }
}

function sizeOf(path: string, stats: Stats): number {
  if (stats.isDirectory()) {
    throw problem(`disk ${path} is a directory`, 'give a disk image or a block device');
  }
  if (!stats.isFile() && !stats.isBlockDevice()) {
    throw problem(
      `disk ${path} is neither a file nor a block device`,
      'give a disk image or a block device',
    );
  }
  const size = stats.isFile() ? stats.size : Number(sysfs(stats, 'size')) * SECTOR;
  if (!(size > 0)) {
    throw problem(`disk ${path} is empty`, 'give it a size, such as: truncate -s 1G FILE');
  }
  if (size % SECTOR !== 0) {
    throw problem(
      `disk ${path} has ${size} bytes, which is not a multiple of 512`,
      'is it a disk image? To fill it up: truncate -s %512 FILE',
    );
  }
  return size;
}

/** An attribute of a block device, such as "size" in sectors of 512 bytes. */
function sysfs(stats: Stats, attribute: string): string | undefined {
  // Encoding of dev_t in user space: makedev(3).
  const major = Math.floor(stats.rdev / 256) % 4096;
  const minor = (stats.rdev % 256) + Math.floor(stats.rdev / 2 ** 20) * 256;
  for (const place of ['', '../']) {
    try {
      const file = `/sys/dev/block/${major}:${minor}/${place}${attribute}`;
      return readFileSync(file, 'latin1').trim();
    } catch {
      // A partition has the attributes of its queue one level up.
    }
  }
  return undefined;
}

function blockSizes(stats: Stats): Pick<OpenRaw, 'logicalBlockSize' | 'physicalBlockSize'> {
  if (!stats.isBlockDevice()) {
    const physical = Math.max(SECTOR, Math.min(stats.blksize, 65536));
    return {
      logicalBlockSize: SECTOR,
      physicalBlockSize: Number.isInteger(Math.log2(physical)) ? physical : 4096,
    };
  }
  const logical = Number(sysfs(stats, 'queue/logical_block_size') ?? SECTOR);
  const physical = Number(sysfs(stats, 'queue/physical_block_size') ?? logical);
  return { logicalBlockSize: logical, physicalBlockSize: Math.max(logical, physical) };
}

/** The same inode again, by descriptor: the path may lead elsewhere by now. */
function openDirect(path: string, fd: number, access: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, access | constants.O_DIRECT);
  } catch (error) {
    throw problem(
      `disk ${path} cannot be opened with cache=direct: ${errorMessage(error)}`,
      'its file system has no O_DIRECT: use cache=writeback',
      error,
    );
  }
}

/** The smallest alignment that O_DIRECT takes, found by reading. */
function directAlignment(path: string, fd: number, size: number): number {
  const memory = allocateHostBytes(8192);
  try {
    for (const alignment of [512, 1024, 2048, 4096]) {
      // An offset and an address that are aligned to this and to nothing larger.
      const at = size >= 2 * alignment ? alignment : 0;
      try {
        readSync(fd, memory.bytes.subarray(alignment), 0, alignment, at);
        return alignment;
      } catch (error) {
        if (systemCode(error) !== 'EINVAL') {
          throw problem(`disk ${path} cannot be read: ${errorMessage(error)}`, 'check it', error);
        }
      }
    }
  } finally {
    memory.release();
  }
  throw problem(
    `disk ${path} cannot be read with cache=direct`,
    'its file system asks for an unusual alignment: use cache=writeback',
  );
}
