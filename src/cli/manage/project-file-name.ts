/** Which file `up` and `down` are about. */
import { existsSync } from 'node:fs';
import { VexitError } from '../../util/errors.js';

const NAMES = ['vms.yaml', 'vms.yml', 'vms.json'] as const;

/** @throws VexitError ERR_CONFIG when none is given and none is here */
export function projectFileName(given: string | string[] | undefined): string {
  if (Array.isArray(given)) {
    throw new VexitError('ERR_CONFIG', `--file is given ${given.length} times`, 'give it once');
  }
  const file = given ?? NAMES.find((name) => existsSync(name));
  if (file !== undefined) return file;
  throw new VexitError('ERR_CONFIG', `there is no ${NAMES.join(', ')} here`, 'give --file');
}
