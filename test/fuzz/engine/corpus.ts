/** Cases that are kept: one file each in test/fuzz/corpus/<target>, named by their content. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Cases that were failures once, and are named for what they found, begin with this. */
const FOUND = 'found-';

export interface KeptCase {
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** All cases of a target. */
export function readCorpus(folder: string): KeptCase[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((file) => ({ file, bytes: Uint8Array.from(readFileSync(path.join(folder, file))) }));
}

function nameOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 12);
}

/** Replaces what guidance has chosen; cases that found something stay. */
export function writeCorpus(folder: string, cases: readonly Uint8Array[]): void {
  mkdirSync(folder, { recursive: true });
  for (const { file } of readCorpus(folder)) {
    if (!file.startsWith(FOUND)) rmSync(path.join(folder, file));
  }
  for (const bytes of cases) writeFileSync(path.join(folder, nameOf(bytes)), bytes);
}

/** Keeps a failure, which is a regression test from then on. */
export function writeFailure(folder: string, bytes: Uint8Array): string {
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${FOUND}${nameOf(bytes)}`);
  writeFileSync(file, bytes);
  return file;
}
