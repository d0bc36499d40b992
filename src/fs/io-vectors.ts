/** Memory for system calls: `struct iovec` with addresses of this process. */

const WORDS = 4;
const ADDRESS_LOW = 0;
const ADDRESS_HIGH = 1;
const LENGTH = 2;

/** Pieces of memory that can be given to system calls. */
export interface Addressable {
  /** Writes `struct iovec`s, as many as fit; returns how many. Lengths are below 2^32. */
  iovecs(target: Uint32Array, at?: number): number;
}

/**
 * An array of `struct iovec`. One object is used for one request after the other: a callee that
 * needs it after it has returned takes a copy.
 */
export class IoVectors {
  /** IOV_MAX of Linux. */
  static readonly CAPACITY = 1024;

  readonly words = new Uint32Array(WORDS * IoVectors.CAPACITY);
  readonly bytes = new Uint8Array(this.words.buffer);
  /** Entries in use. */
  count = 0;
  /** Bytes of memory they cover. */
  length = 0;

  /** Takes the bytes [skip, skip + limit) of the memory, or what there is of them. */
  load(memory: Addressable, skip: number, limit: number): this {
    const { words } = this;
    const filled = memory.iovecs(words);
    let first = 0;
    let left = skip;
    while (first < filled && left >= words[WORDS * first + LENGTH]!) {
      left -= words[WORDS * first + LENGTH]!;
      first++;
    }
    if (first < filled && left > 0) advance(words, WORDS * first, left);
    let end = first;
    let length = 0;
    for (; end < filled && length < limit; end++) {
      const size = Math.min(words[WORDS * end + LENGTH]!, limit - length);
      words[WORDS * end + LENGTH] = size;
      length += size;
    }
    if (first > 0) words.copyWithin(0, WORDS * first, WORDS * end);
    this.count = end - first;
    this.length = length;
    return this;
  }
}

function advance(words: Uint32Array, at: number, bytes: number): void {
  const low = words[at + ADDRESS_LOW]! + bytes;
  words[at + ADDRESS_LOW] = low % 2 ** 32;
  if (low >= 2 ** 32) words[at + ADDRESS_HIGH] = words[at + ADDRESS_HIGH]! + 1;
  words[at + LENGTH]! -= bytes;
}
