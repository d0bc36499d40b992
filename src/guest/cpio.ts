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
}

const HEADER_BYTES = 110;
const TRAILER = 'TRAILER!!!';
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

function record(entry: CpioEntry, inode: number): Buffer {
  const name = Buffer.from(`${entry.path}\0`);
  const data = bytesOf(entry.data);
  if (data.length > 0xffffffff) {
    throw new VexitError('ERR_INITRD', `${entry.path} is too large for an initramfs`);
  }
  const dataOffset = align(HEADER_BYTES + name.length, 4);
  const bytes = Buffer.alloc(align(dataOffset + data.length, 4));
  bytes.write(header(entry, inode, name.length, data.length), 'latin1');
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
  const records = entries.map((entry, index) => {
    checkPath(entry.path);
    return record(entry, index + 1);
  });
  records.push(record({ path: TRAILER, mode: 0 }, 0));
  const length = records.reduce((sum, bytes) => sum + bytes.length, 0);
  return Buffer.concat(records, align(length, ARCHIVE_ALIGNMENT));
}
