/** One builder at a time, across processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { VexitError } from '../util/errors.js';

/**
 * Runs `work` with the lock file held. The lock is the kernel's (flock), kept by a helper that
 * lives as long as its standard input is open: it cannot outlast this process.
 * @throws VexitError ERR_GUEST_BUILD if the lock cannot be taken, ERR_ABORTED when aborted
 */
export async function withLock<T>(
  file: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  // In a group of its own: a terminal's Ctrl-C must not release the lock before the work ends.
  const helper = spawn('flock', ['--exclusive', file, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  helper.stdin.on('error', () => undefined);
  const ended = new Promise<string>((resolve) => {
    helper.once('error', (error) => resolve(error.message));
    helper.once('exit', (code) => resolve(`flock ended with status ${code ?? 'unknown'}`));
  });
  const aborted = once(signal, 'abort').then(() => 'aborted');
  try {
    const locked = once(helper.stdout, 'data').then(() => undefined);
    const failure = await Promise.race([locked, ended, aborted]);
    signal.throwIfAborted();
    if (failure !== undefined) {
      throw new VexitError('ERR_GUEST_BUILD', `cannot lock ${file}: ${failure}`);
    }
    return await work();
  } finally {
    helper.stdin.end();
    helper.kill();
  }
}
