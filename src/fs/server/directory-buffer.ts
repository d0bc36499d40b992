/** Encodes names of a directory: `fuse_dirent` and `fuse_direntplus`. */
import type { DirectoryWriter, Entry } from '../file-system.js';
import { FileType } from '../file-system.js';
import { DIRENT_BYTES, ENTRY_OUT_BYTES, NAME_LIMIT, OUT_HEADER_BYTES } from '../fuse/protocol.js';
import { REPLY_LIMIT } from '../fuse/reply-writer.js';
import type { FuseRequest } from '../fuse/request.js';
import type { Session } from './session.js';

/** `d_type` is the kind of a file in its upper bits. */
const TYPE_SHIFT = 2 ** 12;

function aligned(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** The part of an answer that holds names. */
export class DirectoryBuffer<Node extends object> implements DirectoryWriter<Node> {
  /** Bytes encoded. */
  length = 0;
  private readonly limit: number;
  private readonly fixed: number;

  /** @param size bytes the guest has room for */
  constructor(
    private readonly session: Session<Node>,
    request: FuseRequest,
    size: number,
    readonly plus: boolean,
  ) {
    this.limit = Math.min(size, request.sink.length - OUT_HEADER_BYTES, REPLY_LIMIT);
    this.fixed = plus ? ENTRY_OUT_BYTES + DIRENT_BYTES : DIRENT_BYTES;
  }

  fits(nameBytes: number): boolean {
    return this.length + aligned(this.fixed + nameBytes) <= this.limit;
  }

  add(name: string, type: number, ino: number | bigint, next: number | bigint): boolean {
    const { reply } = this.session;
    const bytes = reply.textLength(name);
    // A name the guest could not use is not shown.
    if (bytes === 0 || bytes > NAME_LIMIT) return true;
    if (!this.fits(bytes)) return false;
    // Number 0: the guest gets a name without a node.
    if (this.plus) reply.clear(this.length, ENTRY_OUT_BYTES);
    this.dirent(name, bytes, type, ino, next);
    return true;
  }

  addEntry(name: string, entry: Entry<Node>, next: number | bigint): boolean {
    const { session } = this;
    const { reply, validity } = session;
    const bytes = reply.textLength(name);
    if (!this.fits(bytes)) return false;
    const { attributes } = entry;
    if (session.nodes.full) {
      // The names before this one have been given with their nodes: no error can take them back.
      return this.add(name, attributes.mode & FileType.Mask, attributes.ino ?? 1, next);
    }
    const id = session.remember(entry.node);
    reply.entry(this.length, id, attributes, validity);
    this.dirent(name, bytes, attributes.mode & FileType.Mask, attributes.ino ?? id, next);
    return true;
  }

  private dirent(
    name: string,
    bytes: number,
    type: number,
    ino: number | bigint,
    next: number | bigint,
  ): void {
    const { reply } = this.session;
    const at = this.length + this.fixed - DIRENT_BYTES;
    reply.u64(at, ino);
    reply.u64(at + 8, next);
    reply.u32(at + 16, bytes);
    reply.u32(at + 20, type / TYPE_SHIFT);
    reply.text(at + DIRENT_BYTES, name);
    const length = aligned(this.fixed + bytes);
    const end = at + DIRENT_BYTES + bytes;
    reply.clear(end, this.length + length - end);
    this.length += length;
  }
}
