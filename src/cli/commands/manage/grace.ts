/** How long a guest has to power off. */
import { VexitError } from '../../../util/errors.js';

export interface TimeArguments {
  readonly time: number;
}

export const timeOption = {
  type: 'number',
  alias: 't',
  default: 10,
  describe: 'Seconds that the guest has to power off by itself; 0 does not ask it',
} as const;

/** @throws VexitError ERR_CONFIG */
export function graceMs(seconds: number): number {
  if (seconds >= 0 && seconds <= 1e6) return seconds * 1000;
  throw new VexitError('ERR_CONFIG', '--time is not a number of seconds', 'give 0 or more');
}
