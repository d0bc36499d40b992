/** The memory of one block request: pieces of guest memory in order, and now and then of our own. */
import type { IoSegments } from '../io/io-engine.js';

/** Memory that segments lie in, by addresses of its own: guest addresses, or offsets. */
export interface SegmentMemory {
  /** Copies memory into `target[offset, offset + length)`. */
  copyOut(address: number, target: Uint8Array, offset: number, length: number): void;
  /** Copies `source[offset, offset + length)` into memory. */
  copyIn(address: number, source: Uint8Array, offset: number, length: number): void;
  /** Address in this process. */
  hostAddress(address: number, length: number): number;
}

const ZEROES = new Uint8Array(65536);
/** Neighbours become one piece up to this size. */
const MERGE_LIMIT = 2 ** 31;
const FIRST_CAPACITY = 16;

/**
 * Pieces of memory. Host addresses for system calls are in {@link addresses}; JavaScript copies with
 * {@link copyOut} and {@link copyIn}. The guest can change the memory at any time. Lists are used
 * again and again, so that a request allocates nothing.
 */
export class BlockSegments implements IoSegments {
  /** Pieces. */
  count = 0;
  /** Bytes in all pieces. */
  length = 0;
  addresses = new Float64Array(FIRST_CAPACITY);
  lengths = new Uint32Array(FIRST_CAPACITY);
  private local = new Float64Array(FIRST_CAPACITY);
  private readonly memories: SegmentMemory[] = [];

  clear(): void {
    this.count = 0;
    this.length = 0;
  }

  /** Adds a piece; one that continues the last piece makes that longer. */
  append(memory: SegmentMemory, address: number, length: number): void {
    if (length === 0) return;
    const { count } = this;
    const host = memory.hostAddress(address, length);
    if (count > 0) {
      const last = count - 1;
      const size = this.lengths[last]!;
      const follows = this.addresses[last]! + size === host && this.local[last]! + size === address;
      if (follows && this.memories[last] === memory && size + length <= MERGE_LIMIT) {
        this.lengths[last] = size + length;
        this.length += length;
        return;
      }
    }
    if (count === this.addresses.length) this.grow();
    this.addresses[count] = host;
    this.lengths[count] = length;
    this.local[count] = address;
    this.memories[count] = memory;
    this.count++;
    this.length += length;
  }

  /** Where a piece lies in its memory. */
  address(index: number): number {
    return this.local[index]!;
  }

  private grow(): void {
    const capacity = this.addresses.length * 2;
    const addresses = new Float64Array(capacity);
    const lengths = new Uint32Array(capacity);
    const local = new Float64Array(capacity);
    addresses.set(this.addresses);
    lengths.set(this.lengths);
    local.set(this.local);
    this.addresses = addresses;
    this.lengths = lengths;
    this.local = local;
  }

  /** Adds all pieces of another list. */
  appendAll(source: BlockSegments): void {
    for (let i = 0; i < source.count; i++) {
      this.append(source.memories[i]!, source.local[i]!, source.lengths[i]!);
    }
  }

  /** Adds bytes [from, from + length) of another list. */
  appendSlice(source: BlockSegments, from: number, length: number): void {
    source.each(from, length, (memory, address, size) => this.append(memory, address, size));
  }

  /** Copies bytes [from, from + length) into `target` from `at` on. */
  copyOut(from: number, target: Uint8Array, at: number, length: number): void {
    let done = at;
    this.each(from, length, (memory, address, size) => {
      memory.copyOut(address, target, done, size);
      done += size;
    });
  }

  /** Copies `length` bytes of `source` from `at` on to byte `from` of the pieces. */
  copyIn(from: number, source: Uint8Array, at: number, length: number): void {
    let done = at;
    this.each(from, length, (memory, address, size) => {
      memory.copyIn(address, source, done, size);
      done += size;
    });
  }

  /** Zeroes bytes [from, from + length). */
  zero(from: number, length: number): void {
    this.each(from, length, (memory, address, size) => {
      for (let done = 0; done < size; done += ZEROES.length) {
        memory.copyIn(address + done, ZEROES, 0, Math.min(ZEROES.length, size - done));
      }
    });
  }

  private each(
    from: number,
    length: number,
    visit: (memory: SegmentMemory, address: number, length: number) => void,
  ): void {
    if (!(from >= 0 && length >= 0 && from + length <= this.length)) {
      throw new RangeError(`bytes ${from} (+${length}) of ${this.length}`);
    }
    let skip = from;
    let left = length;
    for (let i = 0; left > 0; i++) {
      const size = this.lengths[i]!;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      const step = Math.min(left, size - skip);
      visit(this.memories[i]!, this.local[i]! + skip, step);
      skip = 0;
      left -= step;
    }
  }
}
