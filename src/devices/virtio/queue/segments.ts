/**
 * One direction of a descriptor chain: pieces of guest memory in order, consumed from the front.
 *
 * How a driver cuts a message into descriptors means nothing (virtio 1.2, 2.7.4.1), so devices ask
 * for bytes and never for "the second descriptor". Addresses and lengths are private copies that
 * the guest cannot change any more, all of them inside RAM.
 */
import type { GuestAddress } from '../../../memory/guest-memory.js';
import type { RamCursor } from './guest-ram.js';

/** Words of one `struct iovec`: base and length, 64 bits each. */
export const IOVEC_WORDS = 4;

/** Pieces of guest memory, each non-empty. */
export class Segments {
  private readonly addresses: Float64Array;
  private readonly lengths: Uint32Array;
  private first = 0;
  private end = 0;
  private bytes = 0;

  /** @param capacity the most pieces there can be */
  constructor(
    protected readonly cursor: RamCursor,
    capacity: number,
  ) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Uint32Array(capacity);
  }

  /** How many pieces are left. */
  get count(): number {
    return this.end - this.first;
  }

  /** How many bytes are left. */
  get length(): number {
    return this.bytes;
  }

  /** Guest address of the i-th piece that is left. */
  address(i: number): GuestAddress {
    if (!(i >= 0 && i < this.count)) throw new RangeError(`no segment ${i}`);
    return this.addresses[this.first + i]!;
  }

  /** Bytes of the i-th piece that is left. */
  size(i: number): number {
    if (!(i >= 0 && i < this.count)) throw new RangeError(`no segment ${i}`);
    return this.lengths[this.first + i]!;
  }

  /** Passes over `length` bytes, or what is left of them; returns how many. */
  skip(length: number): number {
    const count = Math.min(length, this.bytes);
    for (let left = count; left > 0;) left -= this.consume(left);
    return count;
  }

  /** Keeps the first `length` bytes only. */
  truncate(length: number): void {
    if (!(length < this.bytes)) return;
    let kept = 0;
    let i = this.first;
    while (kept < length) kept += this.lengths[i++]!;
    if (i > this.first) this.lengths[i - 1]! -= kept - length;
    this.end = i;
    this.bytes = length;
  }

  /**
   * Writes what is left as an array of `struct iovec` with addresses of this process, without
   * consuming it. Pieces that adjoin, for the guest and here, become one entry: pages of one buffer
   * often do, and the kernel is quicker with one. Returns how many entries were made: no more than fit.
   * @param at index of the first word
   */
  iovecs(target: Uint32Array, at = 0): number {
    const room = Math.floor((target.length - at) / IOVEC_WORDS);
    let entries = 0;
    let length = 0;
    let guestEnd = -1;
    let hostEnd = -1;
    for (let i = this.first; i < this.end; i++) {
      const address = this.addresses[i]!;
      const size = this.lengths[i]!;
      const host = this.cursor.ram.hostAddress(address, size);
      length += size;
      if (host === hostEnd && address === guestEnd && length < 2 ** 32) {
        target[at + (entries - 1) * IOVEC_WORDS + 2] = length;
      } else {
        if (entries === room) break;
        const word = at + entries++ * IOVEC_WORDS;
        // Not with %, which calls a function of the C library for numbers this large.
        const high = Math.floor(host / 2 ** 32);
        target[word] = host - high * 2 ** 32;
        target[word + 1] = high;
        target[word + 2] = size;
        target[word + 3] = 0;
        length = size;
      }
      guestEnd = address + size;
      hostEnd = host + size;
    }
    return entries;
  }

  /** Empties the list. For the queue that fills it. */
  clear(): void {
    this.first = 0;
    this.end = 0;
    this.bytes = 0;
  }

  /** Adds a piece that has been checked. For the queue that fills the list. */
  append(address: GuestAddress, length: number): void {
    this.addresses[this.end] = address;
    this.lengths[this.end] = length;
    this.end++;
    this.bytes += length;
  }

  /** Takes up to `limit` bytes off the first piece; returns how many. */
  protected consume(limit: number): number {
    const { first } = this;
    const size = this.lengths[first]!;
    const count = Math.min(limit, size);
    if (count === size) {
      this.first++;
    } else {
      this.addresses[first]! += count;
      this.lengths[first] = size - count;
    }
    this.bytes -= count;
    return count;
  }
}

/** Device-readable pieces: what the driver says to the device. */
export class ReadableSegments extends Segments {
  /**
   * Copies up to `length` bytes into `target` from `offset` on, and passes over them. Returns how
   * many: fewer than asked for when the chain has no more.
   * @param words the same memory as `target`, word by word: short pieces are quicker with it
   */
  read(
    target: Uint8Array,
    offset = 0,
    length = target.length - offset,
    words?: Uint32Array,
  ): number {
    const count = Math.min(length, this.length);
    for (let done = 0; done < count;) {
      const address = this.address(0);
      const step = this.consume(count - done);
      this.cursor.copyOut(address, target, offset + done, step, words);
      done += step;
    }
    return count;
  }

  /**
   * Copies `length` bytes from byte `from` of what is left, without passing over anything.
   * @throws RangeError when the range is not inside
   */
  peek(from: number, target: Uint8Array, offset: number, length: number): void {
    if (!(from >= 0 && length >= 0 && from + length <= this.length)) {
      throw new RangeError(`bytes ${from} to ${from + length} of ${this.length}`);
    }
    let skip = from;
    for (let i = 0, done = 0; done < length; i++) {
      const size = this.size(i);
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const step = Math.min(size - skip, length - done);
      this.cursor.copyOut(this.address(i) + skip, target, offset + done, step);
      done += step;
      skip = 0;
    }
  }
}

/** Fills a piece of guest memory; see {@link WritableSegments.fill}. */
export type Filler = (piece: Uint8Array<ArrayBuffer>) => void;

/** Device-writable pieces: where the device's answer goes. */
export class WritableSegments extends Segments {
  /**
   * Copies up to `length` bytes of `source` from `offset` on into the chain, and passes over them.
   * Returns how many: fewer than asked for when the chain has no more room.
   * @param words the same memory as `source`, word by word: short pieces are quicker with it
   */
  write(
    source: Uint8Array,
    offset = 0,
    length = source.length - offset,
    words?: Uint32Array,
  ): number {
    const count = Math.min(length, this.length);
    for (let done = 0; done < count;) {
      const address = this.address(0);
      const step = this.consume(count - done);
      this.cursor.copyIn(address, source, offset + done, step, words);
      done += step;
    }
    return count;
  }

  /**
   * Has up to `limit` bytes of guest memory filled in place, piece by piece, and passes over them.
   * Returns how many bytes were filled.
   */
  fill(limit: number, filler: Filler): number {
    const count = Math.min(limit, this.length);
    for (let done = 0; done < count;) {
      const view = this.cursor.view(this.address(0), Math.min(this.size(0), count - done));
      filler(view);
      done += this.consume(view.length);
    }
    return count;
  }
}
