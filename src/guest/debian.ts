/** Debian packages: where source, busybox, C library and ready kernels come from. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { VexitError } from '../util/errors.js';
import { run, succeeds, type RunOptions } from './run.js';

/** A file that shows that a package is installed, or a program to be found in PATH. */
export interface Tool {
  readonly package: string;
  readonly provides: string;
}

function isThere({ provides }: Tool): boolean {
  if (provides.startsWith('/')) return existsSync(provides);
  const directories = (process.env.PATH ?? '').split(':');
  return directories.some((directory) => existsSync(path.join(directory, provides)));
}

async function privilege(signal: AbortSignal): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  return (await succeeds('sudo', ['-n', 'true'], signal)) ? ['sudo', '-n'] : undefined;
}

/** Runs apt-get as root; says which command to run by hand when it may not. */
async function aptGet(args: readonly string[], options: RunOptions): Promise<void> {
  const prefix = await privilege(options.signal);
  const [program = 'apt-get', ...rest] = [...(prefix ?? []), 'apt-get', ...args];
  if (prefix === undefined) {
    throw new VexitError(
      'ERR_GUEST_BUILD',
      'Debian packages or their lists are missing, and apt-get needs root',
      `run: sudo apt-get ${args.join(' ')}`,
    );
  }
  await run(program, rest, options);
}

/** Installs what is missing of the tools. */
export async function ensureTools(tools: readonly Tool[], options: RunOptions): Promise<void> {
  const missing = tools.filter((tool) => !isThere(tool)).map((tool) => tool.package);
  if (missing.length === 0) return;
  const install = ['install', '--yes', '--no-install-recommends', ...new Set(missing)];
  if (!(await succeeds('apt-cache', ['show', missing[0] ?? ''], options.signal))) {
    await aptGet(['update'], options);
  }
  await aptGet(install, options);
}

async function candidate(name: string, options: RunOptions): Promise<string | undefined> {
  const policy = await run('apt-cache', ['policy', name], { signal: options.signal });
  const version = /^ {2}Candidate: (\S+)$/m.exec(policy)?.[1];
  return version === '(none)' ? undefined : version;
}

/**
 * The version of a package that apt would install, after an update of its lists if they do not
 * know the package.
 */
export async function packageVersion(name: string, options: RunOptions): Promise<string> {
  const known = await candidate(name, options);
  if (known !== undefined) return known;
  await aptGet(['update'], options);
  const updated = await candidate(name, options);
  if (updated !== undefined) return updated;
  throw new VexitError(
    'ERR_GUEST_BUILD',
    `the Debian package ${name} is not in this host's package lists`,
    'the default guest is built from Debian 12 (bookworm) packages; give --kernel and --initrd',
  );
}

/**
 * Downloads a package and unpacks it into `into` without installing it; needs no root.
 */
export async function unpackPackage(
  name: string,
  version: string,
  into: string,
  options: RunOptions,
): Promise<void> {
  const downloads = `${into}.deb`;
  await mkdir(downloads, { recursive: true });
  try {
    const download = ['download', `${name}=${version}`];
    await run('apt-get', download, { ...options, cwd: downloads });
    const deb = (await readdir(downloads)).find((file) => file.endsWith('.deb'));
    if (deb === undefined) {
      throw new VexitError('ERR_GUEST_BUILD', `apt-get left no file of ${name}`);
    }
    await mkdir(into, { recursive: true });
    await run('dpkg-deb', ['--extract', path.join(downloads, deb), into], options);
  } finally {
    await rm(downloads, { recursive: true, force: true });
  }
}
