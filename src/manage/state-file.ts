/** Small JSON files that are whole or not there, whatever happens while they are written. */
import fs from 'node:fs';
import path from 'node:path';
import { VexitError, errorMessage, systemCode } from '../util/errors.js';

/** No file of the store is larger; a larger one is not the store's. */
const MAX_BYTES = 4 * 2 ** 20;
/** The size files are padded to, so that a small one can be written again in place. */
const BLOCK = 4096;

function storeError(file: string, error: unknown): VexitError {
  return new VexitError('ERR_STORE', `${file}: ${errorMessage(error)}`, hintFor(error), {
    cause: error,
  });
}

function hintFor(error: unknown): string {
  switch (systemCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'make room on that file system';
    case 'EROFS':
      return 'the file system is read-only: set XDG_STATE_HOME to one that is not';
    case 'EACCES':
    case 'EPERM':
      return 'check who owns it, or set XDG_STATE_HOME to a directory of yours';
    default:
      return 'check that directory, or set XDG_STATE_HOME to another one';
  }
}

/** Runs a file operation; what fails becomes ERR_STORE with the file's name. */
export function storing<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof VexitError ? error : storeError(file, error);
  }
}

function pad(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK, '\n')]);
}

/** Lets what is in a directory survive a crash of the host. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function replace(file: string, bytes: Buffer, durable: boolean): void {
  const temporary = `${file}.new`;
  try {
    const fd = fs.openSync(temporary, 'w', 0o600);
    try {
      fs.writeFileSync(fd, bytes);
      if (durable) fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  if (durable) syncDirectory(path.dirname(file));
}

/** Overwrites a file that has room for the bytes already: needs no free block. */
function overwrite(file: string, bytes: Buffer): boolean {
  try {
    const fd = fs.openSync(file, 'r+');
    try {
      if (fs.fstatSync(fd).size !== bytes.length) return false;
      fs.writeSync(fd, bytes, 0, bytes.length, 0);
      fs.fsyncSync(fd);
      return true;
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return false;
  }
}

/**
 * Writes JSON so that readers see the old or the new content. One writer at a time. When the disk is
 * full, a file of the same size is written in place.
 * @param durable false: need not survive a crash of the host
 * @throws VexitError ERR_STORE; the old content is still there
 */
export function writeJson(file: string, value: unknown, durable = true): void {
  const bytes = pad(`${JSON.stringify(value, undefined, 2)}\n`);
  storing(file, () => {
    try {
      replace(file, bytes, durable);
    } catch (error) {
      const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
      if (!full || !overwrite(file, bytes)) throw error;
    }
  });
}

/**
 * Reads what {@link writeJson} wrote.
 * @returns undefined when there is no such file
 * @throws VexitError ERR_STORE for a file that cannot be read, is too large or is no JSON object
 */
export function readJson(file: string): Record<string, unknown> | undefined {
  return storing(file, () => {
    let text: string;
    try {
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
      const fd = fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      try {
        const stats = fs.fstatSync(fd);
        if (!stats.isFile() || stats.size > MAX_BYTES) throw new Error('not a file of a VM');
        text = fs.readFileSync(fd, 'utf8');
      } finally {
        fs.closeSync(fd);
      }
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new VexitError('ERR_STORE', `${file} is damaged: it is not JSON`, DAMAGED_HINT);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new VexitError('ERR_STORE', `${file} is damaged: it is not an object`, DAMAGED_HINT);
    }
    return value as Record<string, unknown>;
  });
}

/** What can be done about a VM whose files make no sense. */
export const DAMAGED_HINT = 'mend the file, or remove the VM with "vexit rm -f"';
