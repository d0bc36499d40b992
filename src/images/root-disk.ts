/** Root disks for the default guest's kernel, kept in the cache. */
import { rm, truncate } from 'node:fs/promises';
import path from 'node:path';
import { ensureArtifact, hashOf } from '../guest/cache.js';
import { ensureGuestInitramfs, type GuestInitramfs } from '../guest/initramfs.js';
import type { Progress } from '../guest/progress.js';
import { run } from '../guest/run.js';
import { VexitError } from '../util/errors.js';
import { BUSYBOX_BYTES, buildBusyboxRoot } from './busybox-root.js';
import {
  buildDebianRoot,
  checkDebianPrivilege,
  debianRecipe,
  furtherPackages,
} from './debian-root.js';
import { checkDiskSize } from './disk-error.js';
import { resizeExt4 } from './ext4.js';
import { createWhole } from './whole-file.js';

/** What a root disk holds. */
export type RootDiskKind = 'busybox' | 'debian';

interface Kind {
  readonly recipe: readonly string[];
  readonly build: (
    directory: string,
    parts: GuestInitramfs,
    progress: Progress,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** @throws VexitError ERR_DISK for packages of busybox, and for what is no package */
function kindOf(kind: RootDiskKind, names: readonly string[]): Kind {
  if (kind === 'debian') {
    const packages = furtherPackages(names);
    const build: Kind['build'] = (directory, parts, progress, signal) =>
      buildDebianRoot(directory, parts, packages, progress, signal);
    return { recipe: debianRecipe(packages), build };
  }
  if (names.length > 0) {
    throw new VexitError(
      'ERR_DISK',
      'a root disk of busybox has no packages',
      'make one of Debian: --kind debian',
    );
  }
  return { recipe: [String(BUSYBOX_BYTES), 'blocks of a page'], build: buildBusyboxRoot };
}

/** Changes when what the builders do changes in a way their inputs do not show. */
const LAYOUT = '1';

/**
 * The path of a raw ext4 image, made first if the cache does not hold it. It is shared and not to be
 * written to: copy it, or put an overlay over it.
 * @param packages further packages of Debian
 * @throws VexitError ERR_GUEST_BUILD, ERR_DISK if Debian is to be made without root or has no such
 *   package, ERR_ABORTED
 */
export async function ensureRootDisk(
  kind: RootDiskKind,
  progress: Progress,
  signal?: AbortSignal,
  packages: readonly string[] = [],
): Promise<string> {
  const { recipe, build } = kindOf(kind, packages);
  const parts = await ensureGuestInitramfs(progress, signal);
  const directory = await ensureArtifact(
    {
      name: `root-${kind}`,
      recipe: hashOf([LAYOUT, path.basename(path.dirname(parts.agent)), ...recipe]),
      host: () => {
        if (kind === 'debian') checkDebianPrivilege();
        return Promise.resolve('');
      },
      build: async (into, abort) => {
        await build(into, parts, progress, abort);
        await rm(path.join(into, 'tree'), { recursive: true, force: true });
      },
    },
    signal,
  );
  return path.join(directory, 'root.ext4');
}

/** What {@link createRootDisk} makes. */
export interface CreateRootDiskOptions {
  readonly kind: RootDiskKind;
  /** Bytes, a multiple of 512; default: the kind's own size. */
  readonly size?: number;
  /** Packages of Debian to be installed on it, besides the few that are always there. */
  readonly packages?: readonly string[];
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Makes a root disk of one's own, by copying the one in the cache; sparse, and sharing its blocks
 * where the file system can.
 * @throws VexitError ERR_DISK, ERR_GUEST_BUILD, ERR_ABORTED
 */
export async function createRootDisk(file: string, options: CreateRootDiskOptions): Promise<void> {
  const { kind, size, packages, progress = () => undefined, signal } = options;
  kindOf(kind, packages ?? []);
  if (size !== undefined) checkDiskSize(size);
  const fill = async (image: string, interruptible: AbortSignal): Promise<void> => {
    const source = await ensureRootDisk(kind, progress, interruptible, packages);
    progress({ step: `Copying the root disk to ${file}` });
    await run('cp', ['--reflink=auto', '--sparse=always', source, image], {
      signal: interruptible,
    });
    if (size === undefined) return;
    await resizeExt4(image, size);
    await truncate(image, size);
  };
  await createWhole(file, fill, signal);
}
