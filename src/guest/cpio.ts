/** Writes archives in cpio's "newc" format, the one Linux unpacks into its initramfs. */
import { VexitError } from '../util/errors.js';

/** File type bits of a mode. */
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFCHR = 0o020000;
const S_IFMT = 0o170000;

/** A file, directory, symbolic link or device node of an archive. */
export interface CpioEntry {
  /** Without a leading slash: "etc/passwd". */
  readonly path: string;
  /** Type and permission bits; see {@link S_IFREG} and its like. */
  readonly mode: number;
  /** A file's content, or a symbolic link's target. */
  readonly data?: Uint8Array | string;
  readonly uid?: number;
  readonly gid?: number;
  /** Of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
  /**
   * Whether the data begins at a multiple of 4 KiB: a kernel with our patches then makes pages of
   * the archive pages of the file instead of copying them.
   */
  readonly pageAligned?: boolean;
}

const HEADER_BYTES = 110;
const TRAILER = 'TRAILER!!!';
const PAGE = 4096;
/** Linux's PATH_MAX: it takes no longer name, with all the null characters behind it. */
const MAX_NAME = 4096;
/** Linux finds the next archive of several only if this one ends on a multiple of four bytes. */
const ARCHIVE_ALIGNMENT = 512;

function align(offset: number, to: number): number {
  return Math.ceil(offset / to) * to;
}

function bytesOf(data: Uint8Array | string | undefined): Uint8Array {
  if (data === undefined) return new Uint8Array();
  return typeof data === 'string' ? Buffer.from(data) : data;
}

function checkPath(path: string): void {
  const parts = path.split('/');
  if (path.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new VexitError('ERR_INITRD', `${JSON.stringify(path)} cannot be a path in an initramfs`);
  }
}

function header(entry: CpioEntry, inode: number, nameBytes: number, dataBytes: number): string {
  const links = (entry.mode & S_IFMT) === S_IFDIR ? 2 : 1;
  const fields = [
    inode,
    entry.mode,
    entry.uid ?? 0,
    entry.gid ?? 0,
    links,
    0, // modification time: archives of equal content are equal
    dataBytes,
    0,
    0,
    entry.device?.major ?? 0,
    entry.device?.minor ?? 0,
    nameBytes,
    0,
  ];
  return '070701' + fields.map((value) => value.toString(16).padStart(8, '0')).join('');
}

/**
 * How many bytes the name takes with the null characters behind it. They are what pads an entry:
 * readers take a name up to the first of them.
 */
function nameSize(entry: CpioEntry, offset: number, name: Buffer): number {
  if (entry.pageAligned !== true) return name.length;
  const size = align(offset + HEADER_BYTES + name.length, PAGE) - offset - HEADER_BYTES;
  return size <= MAX_NAME ? size : name.length;
}

/** The entry as it is at this offset of the archive. */
function record(entry: CpioEntry, inode: number, offset: number): Buffer {
  const name = Buffer.from(`${entry.path}\0`);
  const nameBytes = nameSize(entry, offset, name);
  const data = bytesOf(entry.data);
  if (data.length > 0xffffffff) {
    throw new VexitError('ERR_INITRD', `${entry.path} is too large for an initramfs`);
  }
  const dataOffset = align(HEADER_BYTES + nameBytes, 4);
  const bytes = Buffer.alloc(align(dataOffset + data.length, 4));
  bytes.write(header(entry, inode, nameBytes, data.length), 'latin1');
  bytes.set(name, HEADER_BYTES);
  bytes.set(data, dataOffset);
  return bytes;
}

/**
 * An archive of the entries in their order; directories have to come before what they hold.
 * The same entries always give the same bytes.
 * @throws VexitError ERR_INITRD for a path that is not relative and plain
 */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const records: Buffer[] = [];
  let length = 0;
  const add = (entry: CpioEntry, inode: number): void => {
    const bytes = record(entry, inode, length);
    records.push(bytes);
    length += bytes.length;
  };
  entries.forEach((entry, index) => {
    checkPath(entry.path);
    add(entry, index + 1);
  });
  add({ path: TRAILER, mode: 0 }, 0);
  return Buffer.concat(records, align(length, ARCHIVE_ALIGNMENT));
}
