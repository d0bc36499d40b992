/**
 * A bounded byte queue inside a register block.
 *
 * The two counters run freely and wrap at 2^32, so `tail - head` is the number of bytes queued:
 *
 *      head            tail
 *       v               v
 *   ....[b b b b b b b b].......      index = counter mod capacity, a power of two
 *
 * The owner of the ring holds the block's lock around every call.
 */
import type { RegisterBlock } from '../../bus/register-block.js';

/** Where a ring lives in its block. */
export interface ByteRingLayout {
  /** Index of the first of {@link ByteRing.HEADER_WORDS} words. */
  readonly headerWord: number;
  /** Byte offset of the data. */
  readonly dataByte: number;
  /** Bytes of data, a power of two. */
  readonly capacity: number;
}

const HEAD = 0;
const TAIL = 1;
const LOST = 2;

/** Queue of bytes from one thread to another. */
export class ByteRing {
  static readonly HEADER_WORDS = 3;

  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly bytes: Uint8Array<SharedArrayBuffer>;
  private readonly header: number;
  private readonly data: number;
  private readonly mask: number;
  readonly capacity: number;

  constructor(block: RegisterBlock, layout: ByteRingLayout) {
    this.words = block.words;
    this.bytes = block.bytes;
    this.header = layout.headerWord;
    this.data = layout.dataByte;
    this.capacity = layout.capacity;
    this.mask = layout.capacity - 1;
  }

  /** Bytes queued. A restored block can hold any counters: never more than the capacity. */
  get length(): number {
    const queued = (this.words[this.header + TAIL]! - this.words[this.header + HEAD]!) >>> 0;
    return queued > this.capacity ? this.capacity : queued;
  }

  get space(): number {
    return this.capacity - this.length;
  }

  /** Bytes that found the ring full since the block was made; wraps at 2^32. */
  get lost(): number {
    return this.words[this.header + LOST]! >>> 0;
  }

  /** Counts a byte that its writer had to give up. */
  countLost(): void {
    this.words[this.header + LOST]!++;
  }

  /** Queues a byte. The caller has looked at {@link space}. */
  push(byte: number): void {
    const tail = this.words[this.header + TAIL]!;
    this.bytes[this.data + (tail & this.mask)] = byte;
    this.words[this.header + TAIL] = tail + 1;
  }

  /** Takes the oldest byte. The caller has looked at {@link length}. */
  shift(): number {
    const head = this.words[this.header + HEAD]!;
    this.words[this.header + HEAD] = head + 1;
    return this.bytes[this.data + (head & this.mask)]!;
  }

  /** Queues as many of the bytes as fit and returns how many those are. */
  append(source: Uint8Array): number {
    const count = Math.min(source.length, this.space);
    const tail = this.words[this.header + TAIL]!;
    const at = tail & this.mask;
    const first = Math.min(count, this.capacity - at);
    this.bytes.set(source.subarray(0, first), this.data + at);
    this.bytes.set(source.subarray(first, count), this.data);
    this.words[this.header + TAIL] = tail + count;
    return count;
  }

  /** Moves the oldest bytes into `target` and returns how many those are. */
  drain(target: Uint8Array): number {
    const count = Math.min(target.length, this.length);
    const head = this.words[this.header + HEAD]!;
    const at = this.data + (head & this.mask);
    const first = Math.min(count, this.capacity - (head & this.mask));
    target.set(this.bytes.subarray(at, at + first));
    target.set(this.bytes.subarray(this.data, this.data + count - first), first);
    this.words[this.header + HEAD] = head + count;
    return count;
  }
}
