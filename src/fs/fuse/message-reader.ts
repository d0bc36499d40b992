/**
 * The request that is being decoded, in private memory: whatever the guest does to its own, what
 * has been checked is what is used. All of a request is decoded before anything else happens, so
 * that one buffer is enough.
 */
import { fsError } from '../errors.js';
import { IN_HEADER_BYTES, NAME_LIMIT, PATH_LIMIT, XATTR_SIZE_LIMIT } from './protocol.js';
import type { FuseRequest } from './request.js';

/** The longest body besides the data of WRITE: an extended attribute with its name. */
export const BODY_LIMIT = XATTR_SIZE_LIMIT + PATH_LIMIT;

const NUL = 0;
const DOT = 0x2e;
const SLASH = 0x2f;

/** The memory of a buffer as words; it begins at one, and does not end within one. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** Decoder of headers and bodies. Accessors throw EINVAL when the guest has sent less. */
export class MessageReader {
  private readonly bytes = Buffer.alloc(IN_HEADER_BYTES + BODY_LIMIT);
  private readonly view = new DataView(this.bytes.buffer, this.bytes.byteOffset);
  private readonly words = wordsOf(this.bytes);
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  private end = 0;
  /** Where the last string ended. */
  private next = 0;

  /** @param rawNames strings have one byte a character, instead of being UTF-8 */
  constructor(private readonly rawNames: boolean) {}

  /**
   * Reads `fuse_in_header` into the request. False when there is none, or it is at odds with the
   * buffer it came in.
   */
  readHeader(request: FuseRequest): boolean {
    const { source } = request;
    const total = source.length;
    this.end = source.read(this.bytes, 0, IN_HEADER_BYTES, this.words);
    request.opcode = 0;
    request.uniqueLow = 0;
    request.uniqueHigh = 0;
    if (this.end < IN_HEADER_BYTES) return false;
    const { view } = this;
    request.opcode = view.getUint32(4, true);
    request.uniqueLow = view.getUint32(8, true);
    request.uniqueHigh = view.getUint32(12, true);
    request.nodeId = view.getUint32(16, true) + 2 ** 32 * view.getUint32(20, true);
    request.uid = view.getUint32(24, true);
    request.gid = view.getUint32(28, true);
    request.pid = view.getUint32(32, true);
    return view.getUint32(0, true) === total;
  }

  /** Reads the body, or its first bytes. */
  readBody(request: FuseRequest, limit = BODY_LIMIT): void {
    const { source } = request;
    if (limit === BODY_LIMIT && source.length > limit) throw fsError('ENAMETOOLONG');
    this.end = IN_HEADER_BYTES + source.read(this.bytes, IN_HEADER_BYTES, limit, this.words);
    this.next = IN_HEADER_BYTES;
  }

  /** Bytes of the body. */
  get length(): number {
    return this.end - IN_HEADER_BYTES;
  }

  private at(offset: number, size: number): number {
    const at = IN_HEADER_BYTES + offset;
    if (!(at + size <= this.end)) throw fsError('EINVAL');
    return at;
  }

  u32(offset: number): number {
    return this.view.getUint32(this.at(offset, 4), true);
  }

  /** A number of 64 bits; above 2^53 it is rounded. */
  u64(offset: number): number {
    const at = this.at(offset, 8);
    return this.view.getUint32(at, true) + 2 ** 32 * this.view.getUint32(at + 4, true);
  }

  /** A signed number of 64 bits; far from zero it is rounded. */
  i64(offset: number): number {
    const at = this.at(offset, 8);
    return this.view.getUint32(at, true) + 2 ** 32 * this.view.getInt32(at + 4, true);
  }

  big(offset: number): bigint {
    return this.view.getBigUint64(this.at(offset, 8), true);
  }

  /** Begins with the strings of the body at an offset. */
  strings(offset: number): this {
    this.next = this.at(offset, 0);
    return this;
  }

  /** The next string: at most `limit` bytes, ended by a NUL that has to be there. */
  text(limit = PATH_LIMIT - 1): string {
    const { bytes, next } = this;
    const end = bytes.indexOf(NUL, next);
    if (end < 0 || end >= this.end) throw fsError('EINVAL');
    if (end - next > limit) throw fsError('ENAMETOOLONG');
    this.next = end + 1;
    if (this.rawNames) return bytes.toString('latin1', next, end);
    try {
      return this.utf8.decode(bytes.subarray(next, end));
    } catch {
      throw fsError('EILSEQ');
    }
  }

  /** The next string, which has to be a name in a directory, and never `.` or `..`. */
  name(): string {
    const { bytes, next } = this;
    const name = this.text(NAME_LIMIT);
    const end = this.next - 1;
    if (end === next) throw fsError('ENOENT');
    const dots =
      bytes[next] === DOT && (end - next === 1 || (end - next === 2 && bytes[next + 1] === DOT));
    if (dots) throw fsError('EINVAL');
    for (let i = next; i < end; i++) if (bytes[i] === SLASH) throw fsError('EINVAL');
    return name;
  }

  /** A copy of the bytes after the last string. */
  rest(length: number): Uint8Array {
    if (!(this.next + length <= this.end)) throw fsError('EINVAL');
    return Uint8Array.prototype.slice.call(this.bytes, this.next, this.next + length);
  }
}
