import { VexitError } from '../util/errors.js';
import { parseSize } from '../util/size.js';

/** The bytes of a disk's size. @throws VexitError ERR_CONFIG */
export function diskSize(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(text)} is not a size`,
    'write a whole number with a unit, such as 512M or 10G',
  );
}
