/** Debian on a disk, by debootstrap. */
import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  readdir,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { cacheDirectory } from '../guest/cache.js';
import { ensureTools, type Tool } from '../guest/debian.js';
import type { GuestInitramfs } from '../guest/initramfs.js';
import { withLog } from '../guest/log.js';
import type { Progress } from '../guest/progress.js';
import { run, type RunOptions } from '../guest/run.js';
import { VexitError } from '../util/errors.js';
import { makeSparse } from './create.js';
import { makeExt4 } from './ext4.js';

/** Sparse: takes what the content needs, some 250 MiB. */
const DEBIAN_BYTES = 4 * 2 ** 30;
const SUITE = 'bookworm';
const MIRROR = 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** What people miss first in a minimal Debian. */
const PACKAGES = ['ca-certificates', 'iproute2', 'less', 'procps'];
/** Debian Policy, 5.6.1. */
const PACKAGE_NAME = /^[a-z0-9][a-z0-9+.-]+$/;
/** What debootstrap says of packages that are not in the release. */
const NOT_FOUND = /^E: Couldn't find these debs: (.{1,200})$/;

const TOOLS: readonly Tool[] = [
  { package: 'debootstrap', provides: '/usr/sbin/debootstrap' },
  { package: 'debian-archive-keyring', provides: KEYRING },
];

const FILES: Readonly<Record<string, string>> = {
  'etc/fstab': '/dev/vda / ext4 defaults 0 1\n',
  'etc/hostname': 'vexit\n',
  'etc/hosts': '127.0.0.1 localhost vexit\n::1 localhost\n',
  // The host's own, which debootstrap copies, mean nothing in a guest.
  'etc/resolv.conf': '',
  // A guest gets its own at its first start by systemd, if it has systemd.
  'etc/machine-id': '',
};

/**
 * The packages asked for beside {@link PACKAGES}: sorted, each once.
 * @throws VexitError ERR_DISK for what is no name of a package
 */
export function furtherPackages(names: readonly string[]): string[] {
  for (const name of names) {
    if (PACKAGE_NAME.test(name)) continue;
    throw new VexitError(
      'ERR_DISK',
      `${JSON.stringify(name.slice(0, 80))} is not the name of a Debian package`,
      'give one like fio',
    );
  }
  return [...new Set(names)].filter((name) => !PACKAGES.includes(name)).sort();
}

/** What decides about the content, for the name in the cache. */
export function debianRecipe(packages: readonly string[]): string[] {
  const fixed = [SUITE, MIRROR, String(DEBIAN_BYTES), ...PACKAGES, JSON.stringify(FILES)];
  return [...fixed, ...packages];
}

/** @throws VexitError ERR_DISK if we are not root */
export function checkDebianPrivilege(): void {
  if (process.getuid?.() === 0) return;
  throw new VexitError(
    'ERR_DISK',
    'a root disk of Debian is made by debootstrap, which needs root',
    'run: sudo vexit guest disk --kind debian PATH',
  );
}

/** "I: Retrieving libc6 2.36" and its like: what debootstrap is at. */
function tellProgress(progress: Progress): (line: string) => void {
  return (line) => {
    const detail = /^I: (.{1,60})/.exec(line)?.[1];
    if (detail !== undefined) progress({ step: 'Installing Debian with debootstrap', detail });
  };
}

/**
 * In name spaces of its own: what debootstrap mounts and starts is gone when it ends, however it
 * does. `unshare` itself takes notice of SIGKILL only.
 */
async function debootstrap(
  tree: string,
  packages: readonly string[],
  progress: Progress,
  options: RunOptions,
): Promise<void> {
  const cache = path.join(cacheDirectory(), 'debootstrap');
  await mkdir(cache, { recursive: true });
  const isolated = ['--mount', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc'];
  const choices = [`--include=${[...PACKAGES, ...packages].join(',')}`, `--keyring=${KEYRING}`];
  const tell = tellProgress(progress);
  let missing: string | undefined;
  const onLine = (line: string): void => {
    missing ??= NOT_FOUND.exec(line)?.[1];
    tell(line);
  };
  const made = run(
    'unshare',
    [
      ...[...isolated, '--', '/usr/sbin/debootstrap', '--variant=minbase', `--cache-dir=${cache}`],
      ...[...choices, SUITE, tree, MIRROR],
    ],
    { ...options, stopWith: 'SIGKILL', onLine },
  );
  await made.catch((error: unknown) => {
    if (missing === undefined) throw error;
    throw new VexitError(
      'ERR_DISK',
      `Debian ${SUITE} has no package ${missing}`,
      'look the name up on packages.debian.org',
      { cause: error },
    );
  });
}

/** Leaves what a guest needs, with the agent as init: a root shell on the console at once. */
async function finish(tree: string, agent: string): Promise<void> {
  for (const list of ['var/cache/apt/archives', 'var/lib/apt/lists', 'var/log']) {
    const directory = path.join(tree, list);
    for (const name of await readdir(directory)) {
      if (/\.deb$|^.*_dists_.*|\.log$/.test(name)) await rm(path.join(directory, name));
    }
  }
  for (const [file, text] of Object.entries(FILES)) {
    await rm(path.join(tree, file), { force: true });
    await writeFile(path.join(tree, file), text, { mode: 0o644 });
  }
  await appendFile(path.join(tree, 'root/.profile'), "PS1='\\h:\\w# '\n");
  await mkdir(path.join(tree, '.vexit'), { mode: 0o755 });
  await copyFile(agent, path.join(tree, '.vexit/init'));
  await chmod(path.join(tree, '.vexit/init'), 0o755);
  await symlink('/.vexit/init', path.join(tree, 'usr/sbin/init'));
}

/** Makes `root.ext4` in a directory, with the {@link furtherPackages}. */
export async function buildDebianRoot(
  directory: string,
  parts: GuestInitramfs,
  packages: readonly string[],
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  progress({ step: 'Installing Debian with debootstrap' });
  await withLog(path.join(cacheDirectory(), 'root-debian.log'), async (log) => {
    const options = { signal, log };
    await ensureTools(TOOLS, options);
    const tree = path.join(directory, 'tree');
    await mkdir(tree, { mode: 0o755 });
    await debootstrap(tree, packages, progress, options);
    await finish(tree, parts.agent);
    progress({ step: 'Making the file system' });
    const image = path.join(directory, 'root.ext4');
    await makeSparse(image, DEBIAN_BYTES);
    await makeExt4(image, tree, options);
  });
}
