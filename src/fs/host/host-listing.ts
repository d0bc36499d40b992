/** Reads directories of the host: `struct linux_dirent64` into what the guest has asked for. */
import { native } from '../../kvm/native.js';
import { errnoError, fsError } from '../errors.js';
import type { DirectoryWriter, Entry } from '../file-system.js';
import { FileType } from '../file-system.js';
import type { HostNode } from './host-nodes.js';

const OFFSET = 8;
const RECORD_LENGTH = 16;
const TYPE = 18;
const NAME = 19;
const TYPE_SHIFT = 2 ** 12;
const LARGEST_SEEK = 2n ** 63n - 1n;
/** A request is small: what does not fit is read once more. */
const BUFFER_BYTES = 4096;

const buffer = Buffer.alloc(BUFFER_BYTES);
const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);

/** What a name leads to, or undefined when there is no getting at it. */
export type EntryLookup = (name: string) => Entry<HostNode> | undefined;

function u64(at: number): number | bigint {
  const high = view.getUint32(at + 4, true);
  if (high < 2 ** 21) return high * 2 ** 32 + view.getUint32(at, true);
  return view.getBigUint64(at, true);
}

/**
 * Adds entries from `offset` on until one does not fit.
 * @param rootIno the inode number to show for `..`, in the topmost directory
 */
export function listDirectory(
  fd: number,
  offset: bigint,
  writer: DirectoryWriter<HostNode>,
  lookup: EntryLookup,
  rootIno: number | bigint | undefined,
): void {
  if (offset > LARGEST_SEEK) throw fsError('EINVAL');
  let seek: number | bigint = offset;
  for (;;) {
    const length = native().fsReadDirectory(fd, buffer, seek);
    if (length < 0) throw errnoError(-length);
    if (length === 0) return;
    seek = -1;
    for (let at = 0; at < length; at += view.getUint16(at + RECORD_LENGTH, true)) {
      if (!addRecord(at, writer, lookup, rootIno)) return;
    }
  }
}

function addRecord(
  at: number,
  writer: DirectoryWriter<HostNode>,
  lookup: EntryLookup,
  rootIno: number | bigint | undefined,
): boolean {
  const end = buffer.indexOf(0, at + NAME);
  const name = buffer.toString('latin1', at + NAME, end);
  const type = buffer[at + TYPE]! * TYPE_SHIFT;
  const next = u64(at + OFFSET);
  const ino = u64(at);
  if (name === '.') return writer.add(name, FileType.Directory, ino, next);
  if (name === '..') return writer.add(name, FileType.Directory, rootIno ?? ino, next);
  if (!writer.plus) return writer.add(name, type, ino, next);
  if (!writer.fits(name.length)) return false;
  const entry = lookup(name);
  if (entry === undefined) return writer.add(name, type, ino, next);
  return writer.addEntry(name, entry, next);
}
