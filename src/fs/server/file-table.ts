/** Open files and directories, by the numbers the guest has for them. */
import { fsError } from '../errors.js';
import type { DirectoryEntry, OpenFile } from '../file-system.js';

/** An open file with what the server keeps of it. */
export interface ServedFile<Node, Handle> extends OpenFile<Node, Handle> {
  readonly directory: boolean;
  /** What `list` gave, while the guest reads the directory. */
  names?: readonly DirectoryEntry[];
}

/** Files by number. Numbers are never used again. */
export class FileTable<Node, Handle> {
  private readonly files = new Map<number, ServedFile<Node, Handle>>();
  private nextNumber = 1;

  constructor(private readonly limit: number) {}

  get size(): number {
    return this.files.size;
  }

  /** @throws FsError ENFILE when there is no room for one more: ask before opening */
  reserve(): void {
    if (this.files.size >= this.limit) throw fsError('ENFILE');
  }

  add(file: ServedFile<Node, Handle>): number {
    const number = this.nextNumber++;
    this.files.set(number, file);
    return number;
  }

  /** @throws FsError EBADF when there is no such file, or no such directory */
  get(number: number, directory: boolean): ServedFile<Node, Handle> {
    const file = this.files.get(number);
    if (file?.directory !== directory) throw fsError('EBADF');
    return file;
  }

  /** Takes a file out. */
  remove(number: number, directory: boolean): ServedFile<Node, Handle> {
    const file = this.get(number, directory);
    this.files.delete(number);
    return file;
  }

  /** Takes all files out. */
  clear(): ServedFile<Node, Handle>[] {
    const files = [...this.files.values()];
    this.files.clear();
    return files;
  }
}
