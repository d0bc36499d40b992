/** Compiles PID 1 of the guest. */
import path from 'node:path';
import { assetsOf } from './assets.js';
import { packageVersion, unpackPackage, type Tool } from './debian.js';
import { run, type RunOptions } from './run.js';

const MUSL = 'musl-dev';

/** What compiling the agent needs on the host. */
export const AGENT_TOOLS: readonly Tool[] = [
  { package: 'gcc', provides: 'gcc' },
  { package: 'linux-libc-dev', provides: '/usr/include/linux/input.h' },
];

const FLAGS = [
  ...['-static', '-no-pie', '-Os', '-Wall', '-Wextra', '-Werror', '-fno-stack-protector'],
  ...['-fno-asynchronous-unwind-tables', '-ffunction-sections', '-Wl,--gc-sections', '-Wl,-s'],
];

/**
 * Compiles the agent against musl, which makes a twelfth of what glibc makes of it: every page
 * of it is copied by guest kernel code at each boot. The C library is unpacked, not installed.
 */
export async function buildAgent(
  directory: string,
  output: string,
  options: RunOptions,
): Promise<void> {
  const musl = path.join(directory, 'musl');
  await unpackPackage(MUSL, await packageVersion(MUSL, options), musl, options);
  const headers = path.join(musl, 'usr', 'include', 'x86_64-linux-musl');
  const library = (name: string): string =>
    path.join(musl, 'usr', 'lib', 'x86_64-linux-musl', name);
  const compiler = await run('gcc', ['-print-file-name=include'], options);
  const sources = await assetsOf('init', /\.c$/);
  await run(
    'gcc',
    [
      ...FLAGS,
      ...['-nostdinc', '-isystem', headers, '-isystem', compiler.trim()],
      ...['-idirafter', '/usr/include', '-idirafter', '/usr/include/x86_64-linux-gnu'],
      ...['-nostdlib', library('crt1.o'), library('crti.o')],
      ...sources.map(({ file }) => file),
      ...[library('libc.a'), '-lgcc', library('libc.a'), library('crtn.o'), '-o', output],
    ],
    options,
  );
}
