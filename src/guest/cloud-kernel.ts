/** Debian's ready cloud kernel, for hosts where a stock kernel boots at full speed. */
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { VexitError } from '../util/errors.js';
import { cacheDirectory, ensureArtifact, hashOf } from './cache.js';
import { S_IFDIR, S_IFREG, writeCpio, type CpioEntry } from './cpio.js';
import { ensureTools, packageVersion, unpackPackage } from './debian.js';
import { withLog } from './log.js';
import { loadOrder } from './modules.js';
import type { Progress } from './progress.js';
import { run, type RunOptions } from './run.js';

const META_PACKAGE = 'linux-image-cloud-amd64';

/** What the guest's devices and file systems need; the order among them does not matter. */
const MODULES = [
  ...['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_net', 'virtio_console', 'virtio_rng'],
  ...['virtio_balloon', 'virtio_pmem', 'virtio_mem', 'virtiofs', 'overlay', 'ext4'],
  ...['vmw_vsock_virtio_transport', '9pnet_virtio', '9p', 'pvpanic-mmio', 'button', 'evdev'],
];

/** Paths of the unpacked kernel. */
export interface CloudKernel {
  readonly bzImage: string;
  /** An initramfs to load after the guest's own: modules, and the list its init goes by. */
  readonly modules: string;
}

async function realPackage(options: RunOptions): Promise<string> {
  await packageVersion(META_PACKAGE, options);
  const show = await run('apt-cache', ['depends', META_PACKAGE], { signal: options.signal });
  const name = /Depends: (linux-image-\S+)/.exec(show)?.[1];
  if (name !== undefined) return name;
  throw new VexitError('ERR_GUEST_BUILD', `${META_PACKAGE} depends on no kernel`);
}

/** Entries for files below .vexit/modules.d, and the list that init reads. */
function moduleEntries(files: readonly { path: string; data: Uint8Array }[]): CpioEntry[] {
  const entries: CpioEntry[] = [
    { path: '.vexit', mode: S_IFDIR | 0o755 },
    { path: '.vexit/modules.d', mode: S_IFDIR | 0o755 },
  ];
  const list: string[] = [];
  for (const file of files) {
    const target = `.vexit/modules.d/${path.basename(file.path)}`;
    entries.push({ path: target, mode: S_IFREG | 0o644, data: file.data });
    list.push(`/${target}\n`);
  }
  entries.push({ path: '.vexit/modules', mode: S_IFREG | 0o644, data: list.join('') });
  return entries;
}

async function build(directory: string, signal: AbortSignal, progress: Progress): Promise<void> {
  await withLog(path.join(cacheDirectory(), 'cloud-kernel.log'), async (log) => {
    const options = { signal, log };
    const name = await realPackage(options);
    progress({ step: 'Downloading the guest kernel', detail: name });
    const work = path.join(directory, 'work');
    await mkdir(work);
    const root = path.join(work, 'package');
    await unpackPackage(name, await packageVersion(name, options), root, options);
    const boot = path.join(root, 'boot');
    const image = (await readdir(boot)).find((file) => file.startsWith('vmlinuz-'));
    if (image === undefined) throw new VexitError('ERR_GUEST_BUILD', `${name} holds no kernel`);
    const release = image.slice('vmlinuz-'.length);
    await ensureTools([{ package: 'kmod', provides: '/sbin/depmod' }], options);
    await run('/sbin/depmod', ['--basedir', root, release], options);
    const tree = path.join(root, 'lib', 'modules', release);
    const index = await readFile(path.join(tree, 'modules.dep'), 'utf8');
    const builtin = await readFile(path.join(tree, 'modules.builtin'), 'utf8');
    const files = await Promise.all(
      loadOrder(MODULES, index, builtin).map(async (file) => ({
        path: file,
        data: await readFile(path.join(tree, file)),
      })),
    );
    await writeFile(path.join(directory, 'modules.cpio'), writeCpio(moduleEntries(files)));
    await rename(path.join(boot, image), path.join(directory, 'vmlinuz'));
    await rm(work, { recursive: true, force: true });
  });
}

/**
 * Debian's cloud kernel and its modules for the default guest, fetched first if the cache does
 * not hold them.
 * @throws VexitError ERR_GUEST_BUILD, ERR_ABORTED
 */
export async function ensureCloudKernel(
  progress: Progress,
  signal?: AbortSignal,
): Promise<CloudKernel> {
  const directory = await ensureArtifact(
    {
      name: 'cloud',
      recipe: hashOf([META_PACKAGE, ...MODULES]),
      host: (abort) => packageVersion(META_PACKAGE, { signal: abort }),
      build: (into, abort) => build(into, abort, progress),
    },
    signal,
  );
  return {
    bzImage: path.join(directory, 'vmlinuz'),
    modules: path.join(directory, 'modules.cpio'),
  };
}
