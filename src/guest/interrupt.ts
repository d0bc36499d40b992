/** Turns Ctrl-C during a build into an orderly end. */
import { VexitError } from '../util/errors.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs work that cleans up after itself when its signal is aborted. If the caller gave a signal,
 * that is the one; otherwise the process's own interrupts abort the work and then end the
 * process as they would have.
 */
export async function withInterrupt<T>(
  given: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (given !== undefined) return work(given);
  const controller = new AbortController();
  let received: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    received = name;
    controller.abort(new VexitError('ERR_ABORTED', `the build was interrupted (${name})`));
  };
  for (const name of SIGNALS) process.once(name, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of SIGNALS) process.removeListener(name, onSignal);
    if (received !== undefined) process.kill(process.pid, received);
  }
}
