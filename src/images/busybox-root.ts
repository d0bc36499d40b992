/** The parts of the default guest's initramfs as a root file system on a disk. */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { S_IFCHR, S_IFLNK, type CpioEntry } from '../guest/cpio.js';
import { initramfsEntries, linkedApplets, type GuestInitramfs } from '../guest/initramfs.js';
import type { Progress } from '../guest/progress.js';
import { makeSparse } from './create.js';
import { makeExt4 } from './ext4.js';
import { writeTree } from './tree.js';

export const BUSYBOX_BYTES = 32 * 2 ** 20;
/** Parts of the initramfs with no place on a disk: the kernel brings devices, links are there. */
const LEFT_OUT = new Set(['init', '.vexit/applets']);
const S_IFMT = 0o170000;

/**
 * What is in the file system: the initramfs with the agent as /sbin/init and all links made.
 */
export function busyboxRootEntries(
  agent: Uint8Array,
  busybox: Uint8Array,
  applets: readonly string[],
): CpioEntry[] {
  const link = (file: string, to: string): CpioEntry => ({
    path: file,
    mode: S_IFLNK | 0o777,
    data: to,
  });
  return [
    ...initramfsEntries(agent, busybox, applets).filter(
      (entry) => !LEFT_OUT.has(entry.path) && (entry.mode & S_IFMT) !== S_IFCHR,
    ),
    link('sbin/init', '/.vexit/init'),
    ...linkedApplets(applets)
      .filter((applet) => applet !== '')
      .map((applet) => link(applet, '/bin/busybox')),
  ];
}

/** Makes `root.ext4` in a directory. */
export async function buildBusyboxRoot(
  directory: string,
  parts: GuestInitramfs,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  progress({ step: 'Making a root disk of busybox' });
  const [agent, busybox] = [await readFile(parts.agent), await readFile(parts.busybox)];
  const applets = (await readFile(parts.applets, 'utf8')).split('\n');
  const tree = path.join(directory, 'tree');
  await mkdir(tree);
  await writeTree(tree, busyboxRootEntries(agent, busybox, applets));
  const image = path.join(directory, 'root.ext4');
  await makeSparse(image, BUSYBOX_BYTES);
  await makeExt4(image, tree, { signal });
}
