/** Pauses between attempts to reach an agent that is not there yet: each costs the guest an answer. */
import { setTimeout as sleep } from 'node:timers/promises';

const FIRST_PAUSE_MS = 20;
const LAST_PAUSE_MS = 500;

/**
 * Tries until there is a result, with pauses that grow.
 * @param attempt returns undefined to be called again; has to throw once the signal is aborted
 * @param signal ends the pause that has begun
 */
export async function untilReached<T>(
  attempt: () => Promise<T | undefined>,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LAST_PAUSE_MS)) {
    const result = await attempt();
    if (result !== undefined) return result;
    // Aborted: the next attempt says so.
    await sleep(pause, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  }
}
