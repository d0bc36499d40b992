/** Files that appear whole or not at all, and never over another. */
import { link, lstat, mkdtemp, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { VexitError, systemCode } from '../util/errors.js';
import { withInterrupt } from '../guest/interrupt.js';
import { diskError } from './disk-error.js';

async function refuseExisting(target: string): Promise<void> {
  try {
    await lstat(target);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  throw Object.assign(new Error('exists'), { code: 'EEXIST' });
}

async function sync(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A link fails where a rename would replace; some file systems have no links. */
async function publish(temporary: string, target: string): Promise<void> {
  try {
    await link(temporary, target);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'EPERM' && code !== 'EOPNOTSUPP' && code !== 'EMLINK') throw error;
    await refuseExisting(target);
    await rename(temporary, target);
  }
}

/**
 * Lets `fill` make a file at a temporary path, in an empty directory beside the target that it may
 * use for more, then gives the file its name. Whatever fails, and on SIGINT, SIGTERM and SIGHUP,
 * nothing is left behind.
 * @throws VexitError ERR_DISK, ERR_ABORTED
 */
export async function createWhole(
  target: string,
  fill: (temporary: string, signal: AbortSignal) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const parent = path.dirname(path.resolve(target));
  try {
    await refuseExisting(target);
    await withInterrupt(signal, async (interruptible) => {
      interruptible.throwIfAborted();
      const work = await mkdtemp(path.join(parent, '.vexit-disk-')).catch((error: unknown) => {
        if (systemCode(error) !== 'ENOENT') throw error;
        throw new VexitError('ERR_DISK', `there is no directory ${parent}`, 'make it first');
      });
      try {
        const temporary = path.join(work, 'image');
        await fill(temporary, interruptible);
        interruptible.throwIfAborted();
        await sync(temporary);
        await publish(temporary, target);
        await sync(parent);
      } finally {
        await rm(work, { recursive: true, force: true });
      }
    });
  } catch (error) {
    throw diskError(target, error);
  }
}
