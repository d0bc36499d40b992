/** `vexit update` */
import { VexitError } from '../../util/errors.js';
import { parseSize } from '../../util/size.js';
import { eachVm } from './each-vm.js';

function balloonBytes(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw new VexitError('ERR_CONFIG', `--balloon ${text} is not a size`, 'write it as 256M');
}

export async function updateVms(
  names: readonly string[],
  restart: string | undefined,
  balloon: string | undefined,
): Promise<void> {
  if (restart === undefined && balloon === undefined) {
    throw new VexitError('ERR_CONFIG', 'nothing to change', 'give --restart or --balloon');
  }
  const change = {
    ...(restart === undefined ? {} : { restart }),
    ...(balloon === undefined ? {} : { balloon: balloonBytes(balloon) }),
  };
  await eachVm(names, async (vm) => {
    await vm.update(change);
    return undefined;
  });
}
