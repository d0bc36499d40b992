/** Builds the default guest's kernel from Debian's kernel source. */
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { VexitError } from '../util/errors.js';
import { assetsOf, contentOf, kernelFragment } from './assets.js';
import { cacheDirectory, ensureArtifact, hashOf } from './cache.js';
import { ensureTools, packageVersion, unpackPackage, type Tool } from './debian.js';
import { withLog, type BuildLog } from './log.js';
import type { Progress } from './progress.js';
import { run } from './run.js';
import { UNPACK_EXCLUDES } from './source-tree.js';

const SOURCE = 'linux-source-6.1';

/**
 * The compiler is kept from expanding memset and memcpy in place: in code it takes for cold that
 * is `rep stosb`, a step a byte where guest kernel code is interpreted.
 */
const KCFLAGS = '-mstringop-strategy=libcall';

/** Lines make prints for the whole build; only the progress bar hangs on it. */
const MAKE_LINES = 1740;

const TOOLS: readonly Tool[] = [
  { package: 'gcc', provides: 'gcc' },
  { package: 'libc6-dev', provides: '/usr/include/stdio.h' },
  { package: 'make', provides: 'make' },
  { package: 'flex', provides: 'flex' },
  { package: 'bison', provides: 'bison' },
  { package: 'bc', provides: 'bc' },
  { package: 'patch', provides: 'patch' },
  { package: 'perl', provides: 'perl' },
  { package: 'xz-utils', provides: 'xz' },
];

/** A built kernel. */
export interface GuestKernel {
  /** Stripped ELF: entered in 64-bit mode or by its PVH note. */
  readonly kernel: string;
  readonly bzImage: string;
  /** Symbols, for profiles of the guest. */
  readonly systemMap: string;
}

interface BuildContext {
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly log: BuildLog;
  readonly progress: Progress;
}

async function unpackSource(context: BuildContext): Promise<string> {
  const { directory, signal, log, progress } = context;
  const version = await packageVersion(SOURCE, { signal, log });
  const unpacked = path.join(directory, 'package');
  progress({ step: 'Downloading the kernel source', detail: `${SOURCE} ${version}` });
  await unpackPackage(SOURCE, version, unpacked, { signal, log });
  progress({ step: 'Unpacking the kernel source' });
  const archive = path.join(unpacked, 'usr', 'src', `${SOURCE}.tar.xz`);
  const excludes = UNPACK_EXCLUDES.map((pattern) => `--exclude=${SOURCE}/${pattern}`);
  await run('tar', ['-xJf', archive, ...excludes], { signal, log, cwd: directory });
  await rm(unpacked, { recursive: true, force: true });
  return path.join(directory, SOURCE);
}

async function applyPatches(source: string, context: BuildContext): Promise<void> {
  for (const patch of await assetsOf('patches', /\.patch$/)) {
    const args = ['-p1', '--forward', '--batch', `--input=${patch.file}`];
    await run('patch', args, { ...context, cwd: source });
  }
}

async function make(
  source: string,
  targets: readonly string[],
  context: BuildContext,
): Promise<void> {
  const started = { step: 'Compiling the guest kernel (once, some minutes)' };
  let lines = 0;
  await run('make', [`-j${os.availableParallelism()}`, `KCFLAGS=${KCFLAGS}`, ...targets], {
    signal: context.signal,
    log: context.log,
    cwd: source,
    // The build does not depend on who made it and when.
    env: {
      KBUILD_BUILD_USER: 'vexit',
      KBUILD_BUILD_HOST: 'vexit',
      KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 1970',
    },
    onLine: (line) => {
      if (targets.length === 1 || !/^ {2}[A-Z]/.test(line)) return;
      lines += 1;
      if (lines % 8 === 0) {
        context.progress({ ...started, fraction: Math.min(lines / MAKE_LINES, 0.99) });
      }
    },
  });
}

async function compile(source: string, context: BuildContext): Promise<void> {
  const { directory, signal, log } = context;
  await mkdir(path.join(source, 'kernel', 'configs'), { recursive: true });
  const fragment = await kernelFragment();
  await writeFile(path.join(source, 'kernel', 'configs', 'vexit.config'), fragment.bytes);
  await make(source, ['tinyconfig'], context);
  await make(source, ['vexit.config'], context);
  await make(source, ['vmlinux', 'bzImage'], context);
  const vmlinux = path.join(directory, 'vmlinux');
  await run('strip', ['-o', vmlinux, path.join(source, 'vmlinux')], { signal, log });
  const image = path.join(source, 'arch', 'x86', 'boot', 'bzImage');
  await copyFile(image, path.join(directory, 'bzImage'));
  for (const name of ['System.map', '.config']) {
    await copyFile(path.join(source, name), path.join(directory, name.replace(/^\./, '')));
  }
}

async function build(directory: string, signal: AbortSignal, progress: Progress): Promise<void> {
  await withLog(path.join(cacheDirectory(), 'kernel-build.log'), async (log) => {
    const context = { directory, signal, log, progress };
    progress({ step: 'Looking for the tools of a kernel build' });
    await ensureTools(TOOLS, { signal, log });
    const source = await unpackSource(context);
    await applyPatches(source, context);
    await compile(source, context);
    await rm(source, { recursive: true, force: true });
  });
}

/**
 * The default guest's kernel, built first if the cache does not hold it.
 * @throws VexitError ERR_GUEST_BUILD, ERR_ABORTED
 */
export async function ensureGuestKernel(
  progress: Progress,
  signal?: AbortSignal,
): Promise<GuestKernel> {
  if (process.arch !== 'x64') {
    throw new VexitError('ERR_GUEST_BUILD', `there is no default guest for ${process.arch}`);
  }
  const patches = await assetsOf('patches', /\.patch$/);
  const fragment = await kernelFragment();
  const directory = await ensureArtifact(
    {
      name: 'kernel',
      recipe: hashOf([fragment.bytes, ...contentOf(patches), KCFLAGS, 'vexit.config']),
      host: async (abort) => {
        await ensureTools(TOOLS, { signal: abort });
        const compiler = await run('gcc', ['-dumpfullversion'], { signal: abort });
        return `${await packageVersion(SOURCE, { signal: abort })} gcc ${compiler}`;
      },
      build: (into, abort) => build(into, abort, progress),
    },
    signal,
  );
  return {
    kernel: path.join(directory, 'vmlinux'),
    bzImage: path.join(directory, 'bzImage'),
    systemMap: path.join(directory, 'System.map'),
  };
}
