/** The file system load (load.c), and what is left of it in the image of a VM that was killed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const RECORD_BYTES = 64;
const RECORDS_PER_FILE = 256;
const RECORDS_PER_RENAME = 8;

/** Puts the load into a root file system, as /load. */
export function installLoad(image: string): void {
  const directory = mkdtempSync(path.join(path.dirname(image), 'load-'));
  const program = path.join(directory, 'load');
  const source = path.join(__dirname, 'load.c');
  execFileSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', source, '-o', program]);
  const script = path.join(directory, 'script');
  writeFileSync(script, `write ${program} /load\nsif /load mode 0100755\n`);
  execFileSync('debugfs', ['-w', '-f', script, image], { stdio: 'pipe' });
  rmSync(directory, { recursive: true });
}

/** The highest number that the load has said is safe; -1 for none. A line without its end does not count. */
export function lastAcknowledged(output: string): number {
  const lines = output.match(/^a=\d+$(?=\r?\n)/gm) ?? [];
  return lines.length === 0 ? -1 : Number(lines.at(-1)!.slice(2));
}

/**
 * What e2fsck says of a file system that is only to be recovered, and of files that were open. The
 * superblock's sums of the groups' counts are not kept in the journal: a mount adds them up anew.
 */
const HARMLESS = [
  /^e2fsck \d/,
  /: recovering journal$/,
  /^Clearing orphaned inode \d+ \(/,
  /^Pass \d: /,
  /^Free (blocks|inodes) count wrong \(\d+, counted=\d+\)\.$/,
  /^Fix\? yes$/,
  /^$/,
  /\*{5} FILE SYSTEM WAS MODIFIED \*{5}$/,
  /: \d+\/\d+ files \(.*\), \d+\/\d+ blocks$/,
];

/**
 * Recovers the file system in an image, as its next mount would.
 * @returns every line of e2fsck that speaks of more than the journal and open files
 */
export function recover(image: string): string[] {
  const repair = spawnSync('e2fsck', ['-fy', image], { encoding: 'utf8' });
  const lines = `${repair.stdout}${repair.stderr}`.split('\n').map((line) => line.trimEnd());
  const damage = lines.filter((line) => !HARMLESS.some((harmless) => harmless.test(line)));
  if (!lines.some((line) => line.endsWith(': recovering journal'))) damage.push('no journal');
  if (repair.status !== 0 && repair.status !== 1) damage.push(`status ${repair.status}`);
  return damage;
}

function isRecord(bytes: Buffer, at: number, number: bigint): boolean {
  const record = bytes.subarray(at, at + RECORD_BYTES);
  if (record.length < RECORD_BYTES) return false;
  for (let i = 0; i < RECORD_BYTES - 8; i += 8) {
    if (record.readBigUInt64LE(i) !== number) return false;
  }
  return record.readBigUInt64LE(RECORD_BYTES - 8) === BigInt.asUintN(64, ~number);
}

/** What an image that has been recovered lacks of the records up to `last`. */
export function missingRecords(image: string, last: number): string[] {
  const directory = mkdtempSync(path.join(path.dirname(image), 'records-'));
  execFileSync('debugfs', ['-R', `rdump /records ${directory}`, image], { stdio: 'pipe' });
  const content = (name: string): Buffer => {
    const file = path.join(directory, 'records', name);
    return existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  };
  const wrong: string[] = [];
  for (let number = 0; number <= last; number += RECORDS_PER_FILE) {
    const file = content(String(number / RECORDS_PER_FILE));
    for (let n = number; n <= last && n < number + RECORDS_PER_FILE; n++) {
      if (!isRecord(file, (n - number) * RECORD_BYTES, BigInt(n))) wrong.push(`record ${n}`);
    }
  }
  const replaced = content('last');
  const number = replaced.length === RECORD_BYTES ? replaced.readBigUInt64LE(0) : -1n;
  const oldest = BigInt(last - (last % RECORDS_PER_RENAME));
  if (last >= 0 && !(number >= oldest && isRecord(replaced, 0, number))) {
    wrong.push(`last, which is ${number}`);
  }
  rmSync(directory, { recursive: true });
  return wrong;
}
