/** `vexit update` */
import { VexitError } from '../../util/errors.js';
import { parseSize } from '../../util/size.js';
import type { VmUpdate } from '../../manage/managed-vm.js';
import { limitChanges, type ResourceUpdates } from '../resource-options.js';
import { parseDiskLimit, parseDiskSize, parseNetLimit } from './device-changes.js';
import { eachVm } from './each-vm.js';

function balloonBytes(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw new VexitError('ERR_CONFIG', `--balloon ${text} is not a size`, 'write it as 256M');
}

export interface UpdateArguments extends ResourceUpdates {
  readonly restart: string | undefined;
  readonly balloon: string | undefined;
  readonly diskLimit: string[] | undefined;
  readonly diskSize: string[] | undefined;
  readonly netLimit: string[] | undefined;
}

function changes(args: UpdateArguments): VmUpdate {
  const { restart, balloon } = args;
  const resources = limitChanges(args);
  const disks = [
    ...(args.diskLimit ?? []).map(parseDiskLimit),
    ...(args.diskSize ?? []).map(parseDiskSize),
  ];
  const networks = (args.netLimit ?? []).map(parseNetLimit);
  return {
    ...(restart === undefined ? {} : { restart }),
    ...(balloon === undefined ? {} : { balloon: balloonBytes(balloon) }),
    ...(resources === undefined ? {} : { resources }),
    ...(disks.length === 0 ? {} : { disks }),
    ...(networks.length === 0 ? {} : { networks }),
  };
}

export async function updateVms(names: readonly string[], args: UpdateArguments): Promise<void> {
  const change = changes(args);
  if (Object.keys(change).length === 0) {
    throw new VexitError('ERR_CONFIG', 'nothing to change', 'vexit update --help says what can be');
  }
  await eachVm(names, async (vm) => {
    await vm.update(change);
    return undefined;
  });
}
