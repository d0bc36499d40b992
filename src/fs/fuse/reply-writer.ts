/** The answer that is being encoded, header first. It is sent before another one is begun. */
import type { Attributes } from '../file-system.js';
import { ATTR_OUT_BYTES, ENTRY_OUT_BYTES, OUT_HEADER_BYTES } from './protocol.js';
import { wordsOf } from './message-reader.js';
import type { FuseRequest } from './request.js';

/** The longest body besides the data of READ: an extended attribute, or names of a directory. */
export const REPLY_LIMIT = 65536;

const BLOCK = 512;

/** How long a guest may keep a name and attributes; seconds. */
export interface Validity {
  readonly entry: number;
  readonly attributes: number;
}

/** Encoder of headers and bodies. Offsets count from the body's start. */
export class ReplyWriter {
  readonly bytes = Buffer.alloc(OUT_HEADER_BYTES + REPLY_LIMIT);
  private readonly view = new DataView(this.bytes.buffer, this.bytes.byteOffset);
  private readonly words = wordsOf(this.bytes);

  constructor(private readonly rawNames: boolean) {}

  /** Puts the header and a body of so many bytes into the answer of a request. */
  send({ sink }: FuseRequest, length: number): number {
    return sink.write(this.bytes, 0, OUT_HEADER_BYTES + length, this.words);
  }

  /** `fuse_out_header` for a body of so many bytes. */
  header(request: FuseRequest, length: number, error: number): void {
    const { view } = this;
    view.setUint32(0, OUT_HEADER_BYTES + length, true);
    view.setInt32(4, -error, true);
    view.setUint32(8, request.uniqueLow, true);
    view.setUint32(12, request.uniqueHigh, true);
  }

  clear(offset: number, length: number): void {
    this.bytes.fill(0, OUT_HEADER_BYTES + offset, OUT_HEADER_BYTES + offset + length);
  }

  u16(offset: number, value: number): void {
    this.view.setUint16(OUT_HEADER_BYTES + offset, value, true);
  }

  u32(offset: number, value: number): void {
    this.view.setUint32(OUT_HEADER_BYTES + offset, value, true);
  }

  /** 64 bits, signed or unsigned. */
  u64(offset: number, value: number | bigint): void {
    const { view } = this;
    if (typeof value === 'bigint') {
      view.setBigUint64(OUT_HEADER_BYTES + offset, value, true);
      return;
    }
    // Not with %, which calls a function of the C library for numbers this large.
    const high = Math.floor(value / 2 ** 32);
    view.setUint32(OUT_HEADER_BYTES + offset, value - high * 2 ** 32, true);
    view.setUint32(OUT_HEADER_BYTES + offset + 4, high, true);
  }

  /** Bytes that a string takes. */
  textLength(text: string): number {
    return this.rawNames ? text.length : Buffer.byteLength(text, 'utf8');
  }

  /** Writes a string without a NUL; returns its bytes. The caller has seen to it that they fit. */
  text(offset: number, text: string): number {
    const at = OUT_HEADER_BYTES + offset;
    return this.bytes.write(text, at, this.rawNames ? 'latin1' : 'utf8');
  }

  data(offset: number, data: Uint8Array): void {
    this.bytes.set(data, OUT_HEADER_BYTES + offset);
  }

  /** `fuse_attr`. */
  attr(offset: number, attributes: Attributes, nodeId: number): void {
    const { size = 0, ino = nodeId, mtime = 0, mtimeNs = 0 } = attributes;
    this.u64(offset, ino);
    this.u64(offset + 8, size);
    this.u64(offset + 16, attributes.blocks ?? Math.ceil(size / BLOCK));
    this.u64(offset + 24, attributes.atime ?? mtime);
    this.u64(offset + 32, mtime);
    this.u64(offset + 40, attributes.ctime ?? mtime);
    this.u32(offset + 48, attributes.atimeNs ?? mtimeNs);
    this.u32(offset + 52, mtimeNs);
    this.u32(offset + 56, attributes.ctimeNs ?? mtimeNs);
    this.u32(offset + 60, attributes.mode);
    this.u32(offset + 64, attributes.links ?? 1);
    this.u32(offset + 68, attributes.uid ?? 0);
    this.u32(offset + 72, attributes.gid ?? 0);
    this.u32(offset + 76, attributes.device ?? 0);
    this.u32(offset + 80, attributes.blockSize ?? 4096);
    this.u32(offset + 84, 0);
  }

  /** `fuse_entry_out`. */
  entry(offset: number, nodeId: number, attributes: Attributes, validity: Validity): number {
    this.u64(offset, nodeId);
    this.u64(offset + 8, 0);
    this.u64(offset + 16, validity.entry);
    this.u64(offset + 24, validity.attributes);
    this.u64(offset + 32, 0);
    this.attr(offset + 40, attributes, nodeId);
    return ENTRY_OUT_BYTES;
  }

  /** A `fuse_entry_out` for a name that is not there, to be remembered. */
  negativeEntry(validity: Validity): number {
    this.clear(0, ENTRY_OUT_BYTES);
    this.u64(16, validity.entry);
    return ENTRY_OUT_BYTES;
  }

  /** `fuse_attr_out`. */
  attrOut(attributes: Attributes, nodeId: number, validity: Validity): number {
    this.u64(0, validity.attributes);
    this.u64(8, 0);
    this.attr(16, attributes, nodeId);
    return ATTR_OUT_BYTES;
  }

  /** `fuse_open_out`. */
  openOut(offset: number, handle: number, flags: number): void {
    this.u64(offset, handle);
    this.u32(offset + 8, flags);
    this.u32(offset + 12, 0);
  }
}
