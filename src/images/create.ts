/** Makes disk images. */
import { open, stat } from 'node:fs/promises';
import { VexitError, systemCode } from '../util/errors.js';
import { checkDiskSize, diskError } from './disk-error.js';
import { makeExt4 } from './ext4.js';
import { createWhole } from './whole-file.js';

/** What {@link createDisk} makes. */
export interface CreateDiskOptions {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  /** Makes a file system that fills the disk. */
  readonly fileSystem?: 'ext4';
  /** A directory or tar archive whose content the file system gets. */
  readonly from?: string;
  /** Aborts the work. Without one, SIGINT, SIGTERM and SIGHUP do, and then end the process. */
  readonly signal?: AbortSignal;
}

/** A sparse file. @throws a system error */
export async function makeSparse(file: string, bytes: number): Promise<void> {
  const handle = await open(file, 'wx');
  try {
    await handle.truncate(bytes);
  } finally {
    await handle.close();
  }
}

async function checkSource(from: string): Promise<void> {
  try {
    const info = await stat(from);
    if (info.isDirectory()) return;
    if (!info.isFile()) {
      throw new VexitError('ERR_DISK', `${from} is neither a directory nor an archive`);
    }
    await (await open(from, 'r')).close();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    throw diskError(from, error);
  }
}

/**
 * Makes a raw disk image: a sparse file, empty or with an ext4 file system. Nothing is overwritten,
 * and nothing half-made left behind.
 * @throws VexitError ERR_DISK, ERR_ABORTED, ERR_GUEST_BUILD for missing programs
 */
export async function createDisk(file: string, options: CreateDiskOptions): Promise<void> {
  const { size, fileSystem, from, signal } = options;
  checkDiskSize(size);
  if (from !== undefined) {
    if (fileSystem === undefined) {
      throw new VexitError('ERR_DISK', 'content needs a file system', 'add ext4');
    }
    await checkSource(from);
  }
  const fill = async (image: string, interruptible: AbortSignal): Promise<void> => {
    await makeSparse(image, size);
    if (fileSystem !== undefined) await makeExt4(image, from, { signal: interruptible });
  };
  await createWhole(file, fill, signal);
}
