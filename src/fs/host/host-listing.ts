/**
 * Reads directories of the host: `struct linux_dirent64` into what the guest has asked for.
 *
 * The guest asks for less at a time than the kernel gives, and to go to a place in a directory costs
 * the kernel more than to go on (ext4 sorts a whole block again). So what was read and not yet given
 * is kept, of the few directories that were read last.
 */
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
const BUFFER_BYTES = 32768;
/** Who begins with a directory may have seen enough soon. */
const FIRST_BYTES = 4096;
/** Directories that are read at a time and never have to be gone to a place of. */
const STREAMS = 4;
/** No descriptor. */
const NONE = -1;

/** What a name leads to, or undefined when there is no getting at it. */
export type EntryLookup = (name: string) => Entry<HostNode> | undefined;

/** A place in a directory, with the records that follow. */
class DirectoryStream {
  fd = NONE;
  /** Of the next record, as the kernel counts. */
  position: number | bigint = 0;
  private readonly buffer = Buffer.alloc(BUFFER_BYTES);
  private readonly beginning = this.buffer.subarray(0, FIRST_BYTES);
  private readonly view = new DataView(this.buffer.buffer, this.buffer.byteOffset, BUFFER_BYTES);
  private next = 0;
  private end = 0;
  /** Where the kernel is to go on, or -1: where it is. */
  private seek: number | bigint = -1;

  /** Goes to a place of a directory: nothing that was read before counts. */
  start(fd: number, offset: bigint): void {
    this.fd = fd;
    this.position = offset;
    this.seek = offset;
    this.next = 0;
    this.end = 0;
  }

  /**
   * Adds entries until one does not fit.
   * @param rootIno the inode number to show for `..`, in the topmost directory
   */
  list(
    writer: DirectoryWriter<HostNode>,
    lookup: EntryLookup,
    rootIno: () => number | bigint | undefined,
  ): void {
    while (this.next < this.end || this.fill()) {
      const { next } = this;
      const position = this.u64(next + OFFSET);
      if (!this.addRecord(next, position, writer, lookup, rootIno)) return;
      this.next += this.view.getUint16(next + RECORD_LENGTH, true);
      this.position = position;
    }
  }

  /** False at the end of the directory. */
  private fill(): boolean {
    // A place to go to is the first that is read from.
    const buffer = this.seek === -1 ? this.buffer : this.beginning;
    const length = native().fsReadDirectory(this.fd, buffer, this.seek);
    if (length < 0) throw errnoError(-length);
    this.seek = -1;
    this.next = 0;
    this.end = length;
    return length > 0;
  }

  private u64(at: number): number | bigint {
    const high = this.view.getUint32(at + 4, true);
    if (high < 2 ** 21) return high * 2 ** 32 + this.view.getUint32(at, true);
    return this.view.getBigUint64(at, true);
  }

  private addRecord(
    at: number,
    position: number | bigint,
    writer: DirectoryWriter<HostNode>,
    lookup: EntryLookup,
    rootIno: () => number | bigint | undefined,
  ): boolean {
    const { buffer } = this;
    const end = buffer.indexOf(0, at + NAME);
    if (writer.plus && !writer.fits(end - at - NAME)) return false;
    const name = buffer.toString('latin1', at + NAME, end);
    const type = buffer[at + TYPE]! * TYPE_SHIFT;
    const ino = this.u64(at);
    if (name === '.') return writer.add(name, FileType.Directory, ino, position);
    if (name === '..') return writer.add(name, FileType.Directory, rootIno() ?? ino, position);
    if (!writer.plus) return writer.add(name, type, ino, position);
    const entry = lookup(name);
    if (entry === undefined) return writer.add(name, type, ino, position);
    return writer.addEntry(name, entry, position);
  }
}

/** The directories that were read last. */
export class DirectoryStreams {
  /** The one that was used last comes last. */
  private readonly streams = Array.from({ length: STREAMS }, () => new DirectoryStream());

  /**
   * A stream at a place of a directory.
   * @throws FsError EINVAL when no directory has such a place
   */
  at(fd: number, offset: bigint): DirectoryStream {
    if (offset > LARGEST_SEEK) throw fsError('EINVAL');
    const { streams } = this;
    const known = streams.findIndex((stream) => stream.fd === fd);
    const stream = streams.splice(Math.max(known, 0), 1)[0]!;
    streams.push(stream);
    // From the beginning, names that have come since are to be seen.
    const there = known >= 0 && offset > 0n && BigInt(stream.position) === offset;
    if (!there) stream.start(fd, offset);
    return stream;
  }

  /** The descriptor is going to be closed. */
  forget(fd: number): void {
    for (const stream of this.streams) if (stream.fd === fd) stream.fd = NONE;
  }
}
