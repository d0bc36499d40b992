/** Compiles the guest's own programs: PID 1, and the agent that serves vsock. */
import path from 'node:path';
import type { Asset } from './assets.js';
import { packageVersion, unpackPackage, type Tool } from './debian.js';
import { run, type RunOptions } from './run.js';

const MUSL = 'musl-dev';

/** What compiling them needs on the host. */
export const AGENT_TOOLS: readonly Tool[] = [
  { package: 'gcc', provides: 'gcc' },
  { package: 'linux-libc-dev', provides: '/usr/include/linux/input.h' },
];

const FLAGS = [
  ...['-static', '-no-pie', '-Os', '-Wall', '-Wextra', '-Werror', '-fno-stack-protector'],
  ...['-fno-asynchronous-unwind-tables', '-ffunction-sections', '-Wl,--gc-sections', '-Wl,-s'],
];

/** A program and what it is made of. */
export interface GuestProgram {
  readonly sources: readonly Asset[];
  readonly output: string;
}

/**
 * Compiles programs against musl, which makes a twelfth of what glibc makes of them: every page
 * is copied by guest kernel code at each boot. The C library is unpacked, not installed.
 */
export async function buildPrograms(
  directory: string,
  programs: readonly GuestProgram[],
  options: RunOptions,
): Promise<void> {
  const musl = path.join(directory, 'musl');
  await unpackPackage(MUSL, await packageVersion(MUSL, options), musl, options);
  const headers = path.join(musl, 'usr', 'include', 'x86_64-linux-musl');
  const library = (name: string): string =>
    path.join(musl, 'usr', 'lib', 'x86_64-linux-musl', name);
  const compiler = await run('gcc', ['-print-file-name=include'], options);
  for (const { sources, output } of programs) {
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
}
