/** Which disk is the root file system, and how the kernel or the agent is told. */
import { VexitError } from '../util/errors.js';

/** What matters about a disk here. They are in the order in which the guest finds them. */
export interface RootCandidate {
  readonly root?: boolean;
  readonly readOnly?: boolean;
}

/**
 * Who mounts the root disk:
 * - `agent`: the default guest's agent, which then runs a command there or becomes its init
 * - `kernel`: a kernel without an initial RAM disk
 * - `initrd`: an initial RAM disk of somebody else's, which looks for root= as most do
 */
export type RootMounter = 'agent' | 'kernel' | 'initrd';

/** "vda" ... "vdz", "vdaa" ...: Linux's virtblk_name_format. */
export function virtioDiskName(index: number): string {
  let suffix = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) {
    suffix = String.fromCharCode(97 + (rest % 26)) + suffix;
  }
  return `vd${suffix}`;
}

/** True when a command line already says where the root is. */
function saysRoot(text: string): boolean {
  return /(^|\s)(vexit\.)?root=/.test(text);
}

/**
 * The number of the disk that is the root: the one that says so; if none does, the first that does
 * not say that it is not. Undefined when all of them hold data.
 * @throws VexitError ERR_CONFIG for several roots
 */
export function rootDisk(disks: readonly RootCandidate[]): number | undefined {
  const roots = disks.flatMap(({ root }, index) => (root === true ? [index] : []));
  if (roots.length > 1) {
    throw new VexitError('ERR_CONFIG', `${roots.length} disks are the root`, 'choose one');
  }
  const index = roots[0] ?? disks.findIndex(({ root }) => root === undefined);
  return index === -1 ? undefined : index;
}

/**
 * Kernel parameters that make one of the disks the root, see {@link rootDisk}; none if none is, or
 * if the user's own parameters say where the root is.
 * @param given parameters the user gave (--cmdline and --append)
 * @throws VexitError ERR_CONFIG for several roots
 */
export function rootParameters(
  disks: readonly RootCandidate[],
  mounter: RootMounter,
  given = '',
): string[] {
  const index = rootDisk(disks);
  if (index === undefined || saysRoot(given)) return [];
  const name = mounter === 'agent' ? 'vexit.root' : 'root';
  const mode = disks[index]?.readOnly === true ? 'ro' : 'rw';
  return [`${name}=/dev/${virtioDiskName(index)}`, mode];
}
