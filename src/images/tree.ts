/** Writes the entries of an archive as files. */
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { S_IFDIR, S_IFLNK, S_IFREG, type CpioEntry } from '../guest/cpio.js';

const S_IFMT = 0o170000;

/**
 * Makes files, directories and symbolic links below a directory, with their modes whatever the
 * umask is. Directories have to come before what they hold.
 */
export async function writeTree(directory: string, entries: readonly CpioEntry[]): Promise<void> {
  for (const entry of entries) {
    const file = path.join(directory, entry.path);
    const data = entry.data ?? '';
    switch (entry.mode & S_IFMT) {
      case S_IFDIR:
        await mkdir(file);
        break;
      case S_IFLNK:
        await symlink(Buffer.from(data).toString(), file);
        continue;
      case S_IFREG:
        await writeFile(file, data);
        break;
      default:
        throw new TypeError(`${entry.path} has no place in a directory`);
    }
    await chmod(file, entry.mode & 0o7777);
  }
}
