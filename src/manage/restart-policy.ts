/** Whether a VM that has ended is started again, and when. */
import { VexitError } from '../util/errors.js';

/** `max`: how many times in a row; without it, for ever. */
export interface RestartPolicy {
  readonly name: 'no' | 'on-failure' | 'always';
  readonly max?: number;
}

export const NO_RESTART: RestartPolicy = { name: 'no' };

const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 60_000;
/** A VM that has run so long is no longer one that keeps failing. */
const SETTLED_MS = 10_000;

/**
 * Parses `no`, `on-failure`, `on-failure:N` or `always`.
 * @throws VexitError ERR_CONFIG
 */
export function parseRestartPolicy(text: string): RestartPolicy {
  if (text === 'no' || text === 'always' || text === 'on-failure') return { name: text };
  const match = /^on-failure:([1-9]\d{0,5})$/.exec(text);
  if (match !== null) return { name: 'on-failure', max: Number(match[1]) };
  throw new VexitError(
    'ERR_CONFIG',
    `--restart ${text} is not known`,
    'write no, on-failure, on-failure:N or always',
  );
}

export function formatRestartPolicy({ name, max }: RestartPolicy): string {
  return max === undefined ? name : `${name}:${max}`;
}

/** Counts the restarts of a VM and says how long to wait before the next one. */
export class RestartCounter {
  private inRow = 0;

  /**
   * @param status exit status of the run that has ended
   * @param ranMs how long it was
   * @returns milliseconds to wait, or undefined when the VM stays as it is
   */
  next(policy: RestartPolicy, status: number, ranMs: number): number | undefined {
    if (policy.name === 'no' || (policy.name === 'on-failure' && status === 0)) return undefined;
    if (ranMs >= SETTLED_MS) this.inRow = 0;
    if (policy.max !== undefined && this.inRow >= policy.max) return undefined;
    return Math.min(FIRST_DELAY_MS * 2 ** this.inRow++, LAST_DELAY_MS);
  }
}
