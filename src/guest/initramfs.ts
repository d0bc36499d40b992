/** The default guest's root file system: busybox and the agent in an uncompressed archive. */
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AGENT_TOOLS, buildPrograms } from './agent-build.js';
import { assetsOf, contentOf, type Asset } from './assets.js';
import { cacheDirectory, ensureArtifact, hashOf } from './cache.js';
import { S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, writeCpio, type CpioEntry } from './cpio.js';
import { ensureTools, packageVersion, unpackPackage } from './debian.js';
import { withLog } from './log.js';
import type { Progress } from './progress.js';
import { run } from './run.js';

const BUSYBOX = 'busybox-static';

/** Directories of the root file system, in an order a kernel can make them in. */
const DIRECTORIES: readonly (readonly [path: string, mode: number])[] = [
  ...['bin', 'dev', 'etc', 'mnt', 'proc', 'run', 'sbin', 'sys', 'var', '.vexit'],
  ...['usr', 'usr/bin', 'usr/sbin'],
]
  .map((directory): [string, number] => [directory, 0o755])
  .concat([
    ['root', 0o700],
    ['tmp', 0o1777],
  ]);

const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n',
  'etc/group': 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
  'etc/profile': "PS1='\\h:\\w\\$ '\nexport PS1\n",
};

/** Applets that make no sense in the guest, or that the shell has of its own. */
const UNLINKED = new Set([
  'busybox',
  'linuxrc',
  'init',
  'sh',
  '[[',
  'nuke',
  'dpkg',
  'dpkg-deb',
  'rpm',
]);

/** Paths of built files. */
export interface GuestInitramfs {
  readonly initramfs: string;
  /** The agent alone, for other initramfs and for disks. */
  readonly agent: string;
  /** The agent that serves vsock. */
  readonly vsockAgent: string;
  /** Busybox alone. */
  readonly busybox: string;
  /** What busybox says its applets are: one path a line. */
  readonly applets: string;
}

/** The applets that get a link. */
export function linkedApplets(applets: readonly string[]): string[] {
  return applets.filter((applet) => !UNLINKED.has(path.posix.basename(applet)));
}

/**
 * The entries of the archive. `applets` are paths like "usr/bin/env"; the agent makes their links.
 */
export function initramfsEntries(
  agent: Uint8Array,
  busybox: Uint8Array,
  applets: readonly string[],
): CpioEntry[] {
  return [
    ...DIRECTORIES.map(([directory, mode]) => ({ path: directory, mode: S_IFDIR | mode })),
    { path: 'dev/console', mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } },
    { path: 'init', mode: S_IFLNK | 0o777, data: '.vexit/init' },
    { path: '.vexit/init', mode: S_IFREG | 0o755, data: agent, pageAligned: true },
    { path: 'bin/busybox', mode: S_IFREG | 0o755, data: busybox, pageAligned: true },
    { path: 'bin/sh', mode: S_IFLNK | 0o777, data: 'busybox' },
    ...Object.entries(FILES).map(([file, data]) => ({ path: file, mode: S_IFREG | 0o644, data })),
    {
      path: '.vexit/applets',
      mode: S_IFREG | 0o644,
      // Sorted, so that the agent opens each directory about once.
      data: linkedApplets(applets)
        .sort()
        .map((link) => `${link}\n`)
        .join(''),
    },
  ];
}

/** Its own files, and of init's those about terminals and standard input. */
async function vsockAgentSources(): Promise<Asset[]> {
  return [...(await assetsOf('agent', /\.c$/)), ...(await assetsOf('init', /^(pty|input)\.c$/))];
}

async function build(directory: string, signal: AbortSignal, progress: Progress): Promise<void> {
  progress({ step: 'Making the guest initramfs' });
  await withLog(path.join(cacheDirectory(), 'initramfs-build.log'), async (log) => {
    const options = { signal, log };
    await ensureTools(AGENT_TOOLS, options);
    const work = path.join(directory, 'work');
    const unpacked = path.join(work, 'busybox');
    await unpackPackage(BUSYBOX, await packageVersion(BUSYBOX, options), unpacked, options);
    const agent = path.join(directory, 'init');
    const init = await assetsOf('init', /\.c$/);
    const vsockAgent = await vsockAgentSources();
    await buildPrograms(
      work,
      [
        { sources: init, output: agent },
        { sources: vsockAgent, output: path.join(directory, 'vsock-agent') },
      ],
      options,
    );
    const busybox = path.join(unpacked, 'bin', 'busybox');
    const applets = await run(busybox, ['--list-full'], { signal });
    const entries = initramfsEntries(
      await readFile(agent),
      await readFile(busybox),
      applets.split('\n'),
    );
    await writeFile(path.join(directory, 'initramfs.cpio'), writeCpio(entries));
    await copyFile(busybox, path.join(directory, 'busybox'));
    await writeFile(path.join(directory, 'applets'), applets);
    await rm(work, { recursive: true, force: true });
  });
}

/**
 * The default guest's initramfs and its agent, made first if the cache does not hold them.
 * @throws VexitError ERR_GUEST_BUILD, ERR_ABORTED
 */
export async function ensureGuestInitramfs(
  progress: Progress,
  signal?: AbortSignal,
): Promise<GuestInitramfs> {
  const folders = ['init', 'agent'].map((folder) => assetsOf(folder, /\.[ch]$/));
  const sources = (await Promise.all(folders)).flat();
  const parts = ['busybox', 'applets', 'page aligned'];
  const layout = JSON.stringify([DIRECTORIES, FILES, [...UNLINKED], parts]);
  const directory = await ensureArtifact(
    {
      name: 'initramfs',
      recipe: hashOf([...contentOf(sources), layout]),
      host: (abort) => packageVersion(BUSYBOX, { signal: abort }),
      build: (into, abort) => build(into, abort, progress),
    },
    signal,
  );
  return {
    initramfs: path.join(directory, 'initramfs.cpio'),
    agent: path.join(directory, 'init'),
    vsockAgent: path.join(directory, 'vsock-agent'),
    busybox: path.join(directory, 'busybox'),
    applets: path.join(directory, 'applets'),
  };
}
