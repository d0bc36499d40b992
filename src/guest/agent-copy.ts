/** The agent that serves vsock, for images of one's own. */
import { chmod, copyFile, rename, rm } from 'node:fs/promises';
import { VexitError, errorMessage, systemCode } from '../util/errors.js';
import { ensureGuestInitramfs } from './initramfs.js';
import type { Progress } from './progress.js';

/**
 * Writes the agent to a file, which is made or replaced; compiles it first if the cache does not hold it.
 * @throws VexitError ERR_CONFIG when the file cannot be written; ERR_GUEST_BUILD, ERR_ABORTED
 */
export async function copyAgent(file: string, progress: Progress): Promise<void> {
  const { vsockAgent } = await ensureGuestInitramfs(progress);
  const made = `${file}.${process.pid}`;
  try {
    await copyFile(vsockAgent, made);
    await chmod(made, 0o755);
    await rename(made, file);
  } catch (error) {
    await rm(made, { force: true });
    // The message of the system names files of the cache.
    const reason = systemCode(error) ?? errorMessage(error);
    throw new VexitError('ERR_CONFIG', `cannot write ${file}: ${reason}`, 'give another path');
  }
}
