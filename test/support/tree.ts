/** Trees of files: made at random, and described so that two of them can be compared. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

const MODES = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2750, 0o666, 0o000];
const DIRECTORY_MODES = [0o755, 0o700, 0o1777, 0o2775];
const FILES_IN_A_DIRECTORY = 50;

/** Makes files of many sizes, modes and times, every tenth a link of one kind or the other. */
export function makeTree(root: string, files: number): void {
  let state = 1;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
  mkdirSync(root);
  let directory = root;
  let last = '';
  for (let i = 0; i < files; i++) {
    if (i % FILES_IN_A_DIRECTORY === 0) {
      directory = path.join(below(3) === 0 ? root : directory, `dir ${i}`);
      mkdirSync(directory);
      chmodSync(directory, DIRECTORY_MODES[below(DIRECTORY_MODES.length)]!);
    }
    const file = path.join(directory, i % 17 === 0 ? `${'long-'.repeat(40)}${i}` : `file ${i}`);
    if (i % 20 === 7) {
      symlinkSync(`../somewhere/${'x'.repeat(below(80))}`, file);
    } else if (i % 20 === 17) {
      linkSync(last, file);
    } else {
      const size = below(40) === 0 ? below(300_000) : below(6000);
      writeFileSync(file, Buffer.alloc(size, `${i} ${below(1000)} `));
      chmodSync(file, MODES[below(MODES.length)]!);
      last = file;
    }
    const time = 1_000_000_000 + below(500_000_000);
    lutimesSync(file, time, time);
  }
}

/**
 * A line for each file, sorted: path, mode, owner, links, and of files their time (seconds), content and
 * first name. busybox's tar does not set the times of symbolic links and directories.
 */
export function describeTree(root: string): string[] {
  const firstNames = new Map<number, string>();
  const names = (readdirSync(root, { recursive: true }) as string[]).sort();
  return names.map((name) => {
    const file = path.join(root, name);
    const kind = lstatSync(file);
    const { ino, mode, uid, gid, nlink, mtimeMs } = kind;
    const common = `${name} ${mode.toString(8)} ${uid}:${gid} ${nlink}`;
    if (kind.isDirectory()) return common;
    if (kind.isSymbolicLink()) return `${common} -> ${readlinkSync(file)}`;
    if (!kind.isFile()) return common;
    const time = Math.floor(mtimeMs / 1000);
    const first = firstNames.get(ino) ?? name;
    firstNames.set(ino, first);
    const content = createHash('sha256').update(readFileSync(file)).digest('hex');
    return `${common} ${time} ${content} ${first}`;
  });
}
