/** Locks on files of the state directory: what fails is ERR_STORE, with the file's name. */
import { ProcessLock } from '../io/process-lock.js';
import { VexitError } from '../util/errors.js';
import { storing } from './state-file.js';

/**
 * Takes the lock if nobody has it.
 * @throws VexitError ERR_STORE
 */
export function tryLock(file: string): ProcessLock | undefined {
  return storing(file, () => ProcessLock.tryAcquire(file));
}

/**
 * Takes the lock, waiting for whoever has it.
 * @param busy what to say when it takes longer
 * @throws VexitError ERR_BUSY, ERR_STORE
 */
export async function lock(file: string, timeoutMs: number, busy: string): Promise<ProcessLock> {
  const taken = await ProcessLock.acquire(file, timeoutMs).catch((error: unknown) =>
    storing(file, () => {
      throw error;
    }),
  );
  if (taken === undefined) throw new VexitError('ERR_BUSY', busy, 'try again when it is done');
  return taken;
}

/**
 * Whether somebody holds the lock; asking does not take it.
 * @throws VexitError ERR_STORE
 */
export function isLocked(file: string): boolean {
  return storing(file, () => ProcessLock.isHeld(file));
}
