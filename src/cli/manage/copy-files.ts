/** `vexit cp`: files and directories between the host and the guest of a VM. */
import path from 'node:path';
import { VM_NAME } from '../../manage/paths.js';
import { Vexit } from '../../manage/vexit.js';
import { VexitError } from '../../util/errors.js';

/** A path of a guest. */
interface GuestPath {
  readonly vm: string;
  readonly file: string;
}

/** `VM:PATH`; undefined for a path of the host, which has a slash before any colon. */
export function parseGuestPath(text: string): GuestPath | undefined {
  const at = text.indexOf(':');
  const vm = text.slice(0, Math.max(at, 0));
  if (!VM_NAME.test(vm)) return undefined;
  const file = text.slice(at + 1);
  if (file === '') {
    throw new VexitError('ERR_CONFIG', `${text} has no path`, `write ${text}/path`);
  }
  return { vm, file: path.posix.resolve('/', file) };
}

/** @throws VexitError ERR_CONFIG unless one of the two is a guest's; as the agent's copying */
export async function copyFiles(from: string, to: string): Promise<void> {
  const [source, target] = [parseGuestPath(from), parseGuestPath(to)];
  if (source === undefined && target !== undefined) {
    const agent = await new Vexit().get(target.vm).agent();
    await agent.copyIn(from, target.file);
  } else if (source !== undefined && target === undefined) {
    const agent = await new Vexit().get(source.vm).agent();
    await agent.copyOut(source.file, to);
  } else {
    throw new VexitError(
      'ERR_CONFIG',
      source === undefined ? 'neither path is that of a VM' : 'both paths are those of VMs',
      'write one as VM:PATH, and one of the host with a colon as ./PATH',
    );
  }
}
