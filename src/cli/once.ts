import { VexitError } from '../util/errors.js';

/**
 * Refuses options that were given several times: yargs makes an array of them.
 * @throws VexitError ERR_CONFIG
 */
export function once(options: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(options)) {
    if (!Array.isArray(value)) continue;
    throw new VexitError('ERR_CONFIG', `--${name} is given ${value.length} times`, 'give it once');
  }
}
