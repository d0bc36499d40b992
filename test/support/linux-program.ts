/** Programs for Linux guests, of test/guests/NAME-linux.c: static, with the host's gcc. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';

const GUESTS = path.resolve(__dirname, '../guests');
const FLAGS = ['-static', '-s', '-O1', '-Wall', '-Wextra', '-Werror'];

/** Compiles the program to a file. @throws Error with what the compiler said */
export function buildLinuxProgram(name: string, output: string, libraries: string[] = []): void {
  const source = path.join(GUESTS, `${name}-linux.c`);
  execFileSync('gcc', [...FLAGS, source, '-o', output, ...libraries], { stdio: 'pipe' });
}
