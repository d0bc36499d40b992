/** What goes wrong with image files, for people. */
import { VexitError, errorMessage, systemCode } from '../util/errors.js';

const REASONS: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  EEXIST: ['exists already', 'remove it, or choose another name'],
  ENOENT: ['does not exist', 'check the path'],
  ENOTDIR: ['is not below a directory', 'check the path'],
  EISDIR: ['is a directory', 'name a file'],
  EACCES: ['permission denied', 'check the modes of the file and its directory'],
  EPERM: ['permission denied', 'check the modes of the file and its directory'],
  EROFS: ['is on a read-only file system', 'choose another place'],
  ENOSPC: ['there is no space left', 'free some space, or choose another place'],
  EDQUOT: ['the quota is used up', 'free some space, or choose another place'],
  EFBIG: ['is too large for the file system it is on', 'give a smaller size'],
  ENAMETOOLONG: ['the name is too long', 'choose a shorter one'],
  ELOOP: ['has too many symbolic links', 'check the path'],
  ETXTBSY: ['is in use', 'stop what uses it'],
};

/** A {@link VexitError} for what the system said about a file; other errors pass as they are. */
export function diskError(file: string, error: unknown): unknown {
  const code = systemCode(error);
  if (error instanceof VexitError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const [what, hint] = REASONS[code] ?? [errorMessage(error), undefined];
  return new VexitError('ERR_DISK', `${file}: ${what}`, hint, { cause: error });
}

/**
 * Refuses sizes no disk can have: a sector is 512 bytes (virtio 1.2, 5.2.4).
 * @throws VexitError ERR_DISK
 */
export function checkDiskSize(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % 512 !== 0) {
    throw new VexitError(
      'ERR_DISK',
      `a disk of ${bytes} bytes is not possible`,
      'give a multiple of 512 bytes above 0',
    );
  }
}
