/** What there is to know of a disk image without looking into it. */
import { readFile, stat } from 'node:fs/promises';
import { VexitError } from '../util/errors.js';
import { diskError } from './disk-error.js';

/** A disk as its user sees it and as it lies on the host. Sizes are bytes. */
export interface DiskInfo {
  readonly path: string;
  /** As told, not found out: a guest writes what it likes to its disk's first bytes. */
  readonly format: 'raw';
  readonly kind: 'file' | 'block device';
  /** What a guest sees. */
  readonly virtualSize: number;
  /** What it takes on the host. */
  readonly allocatedSize: number;
  /** What has never been written, or was discarded: reads as zeros and takes no space. */
  readonly holes: number;
}

/** Bytes of a block device, which its inode does not tell. */
async function deviceSize(device: number): Promise<number> {
  // glibc's gnu_dev_major and gnu_dev_minor, for numbers that fit 32 bits.
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512;
}

/**
 * Describes a raw disk image or block device.
 * @throws VexitError ERR_DISK
 */
export async function diskInfo(file: string): Promise<DiskInfo> {
  try {
    const info = await stat(file);
    if (info.isBlockDevice()) {
      const size = await deviceSize(info.rdev);
      const sizes = { virtualSize: size, allocatedSize: size, holes: 0 };
      return { path: file, format: 'raw', kind: 'block device', ...sizes };
    }
    if (info.isDirectory()) {
      throw new VexitError('ERR_DISK', `${file} is a directory`, 'name an image file');
    }
    if (!info.isFile()) {
      throw new VexitError('ERR_DISK', `${file} is not a disk image`, 'name a regular file');
    }
    const allocatedSize = info.blocks * 512;
    return {
      path: file,
      format: 'raw',
      kind: 'file',
      virtualSize: info.size,
      allocatedSize,
      // Blocks are whole, and count what the host's file system keeps about them.
      holes: Math.max(0, info.size - allocatedSize),
    };
  } catch (error) {
    throw diskError(file, error);
  }
}
