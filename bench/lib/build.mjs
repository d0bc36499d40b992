// Builds the C baseline and the guests on demand, outside the repository.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const benchDir = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const root = path.dirname(benchDir);
/** The built VMM; another build is compared by naming its dist directory in VEXIT_DIST. */
export const dist = path.resolve(process.env.VEXIT_DIST ?? path.join(root, 'dist'));
export const cli = path.join(dist, 'cli.js');

const out = mkdtempSync(path.join(tmpdir(), 'vexit-bench-'));
process.on('exit', () => rmSync(out, { recursive: true, force: true }));

if (!existsSync(cli)) throw new Error(`${cli} is not built: npm run build`);

/** A temporary file's path. */
export function scratch(name) {
  return path.join(out, name);
}

/** A file that is all there, so that no write has to find space; `size` is whole MiB. */
export function filledFile(name, size) {
  const file = scratch(name);
  const fd = openSync(file, 'w');
  const block = Buffer.alloc(2 ** 20, 'vexit');
  ftruncateSync(fd, size);
  for (let at = 0; at < size; at += block.length) writeSync(fd, block, 0, block.length, at);
  closeSync(fd);
  return file;
}

/** Compiles bench/baseline/NAME.c; returns the program. */
export function baseline(name) {
  const program = scratch(name);
  const source = path.join(benchDir, 'baseline', `${name}.c`);
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
  return program;
}

let guests = 0;

/** Compiles bench/guests/NAME.S, or .c, with the given macros; returns the ELF file. */
export function guest(name, macros = {}) {
  const elf = scratch(`${name}-${guests++}.elf`);
  const defines = Object.entries(macros).map(([key, value]) => `-D${key}=${value}`);
  const link = [
    '-Wl,--build-id=none,--no-warn-rwx-segments',
    `-Wl,-T,${path.join(benchDir, 'guests', 'guest.ld')}`,
  ];
  const sources = ['S', 'c'].map((ending) => path.join(benchDir, 'guests', `${name}.${ending}`));
  const source = sources.find((file) => existsSync(file));
  const c = ['-O2', '-ffreestanding', '-fno-pie', '-mgeneral-regs-only', '-fcf-protection=none'];
  const flags = ['-m32', '-nostdlib', '-static', '-no-pie', ...c, ...link, ...defines];
  execFileSync('gcc', [...flags, '-o', elf, source]);
  return elf;
}
