/** Changes the size of disk images. */
import { truncate } from 'node:fs/promises';
import { withInterrupt } from '../guest/interrupt.js';
import { VexitError } from '../util/errors.js';
import { formatSize } from '../util/size.js';
import { checkDiskSize, diskError } from './disk-error.js';
import { checkExt4, ext4Size, resizeExt4 } from './ext4.js';
import { diskInfo } from './info.js';

/** What {@link resizeDisk} does. */
export interface ResizeDiskOptions {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  /** Allows a smaller size, which cuts off what is behind it. */
  readonly shrink?: boolean;
  /** Resizes the ext4 file system that fills the disk, too. */
  readonly fileSystem?: boolean;
}

async function grow(file: string, from: number, options: ResizeDiskOptions): Promise<void> {
  if (options.fileSystem !== true) return truncate(file, options.size);
  await checkExt4(file);
  await truncate(file, options.size);
  try {
    await resizeExt4(file, options.size);
  } catch (error) {
    // Safe as long as the file system has not begun to use the new part.
    const used = await ext4Size(file);
    if (used !== undefined && used <= from) await truncate(file, from);
    throw error;
  }
}

async function shrink(file: string, options: ResizeDiskOptions): Promise<void> {
  const used = await ext4Size(file);
  if (options.fileSystem === true) {
    await checkExt4(file);
    await resizeExt4(file, options.size);
  } else if (used !== undefined && used > options.size) {
    throw new VexitError(
      'ERR_DISK',
      `${file} holds a file system of ${formatSize(used)}, which this would cut`,
      'shrink the file system first: --fs does',
    );
  }
  await truncate(file, options.size);
}

/**
 * Makes an image larger, or smaller if that is allowed. No VM may be using it. An interrupt takes
 * effect when the file system is whole again.
 * @throws VexitError ERR_DISK, ERR_GUEST_BUILD for missing programs
 */
export async function resizeDisk(file: string, options: ResizeDiskOptions): Promise<void> {
  const { size } = options;
  checkDiskSize(size);
  const { kind, virtualSize } = await diskInfo(file);
  if (kind !== 'file') {
    throw new VexitError('ERR_DISK', `${file} is a block device`, 'resize it where it is made');
  }
  if (size < virtualSize && options.shrink !== true) {
    throw new VexitError(
      'ERR_DISK',
      `${file} is larger already: ${formatSize(virtualSize)}`,
      '--shrink cuts it to the smaller size',
    );
  }
  if (options.fileSystem === true && (await ext4Size(file)) === undefined) {
    throw new VexitError('ERR_DISK', `${file} holds no ext4 file system`, 'leave --fs out');
  }
  try {
    await withInterrupt(undefined, () =>
      size < virtualSize ? shrink(file, options) : grow(file, virtualSize, options),
    );
  } catch (error) {
    throw diskError(file, error);
  }
}
