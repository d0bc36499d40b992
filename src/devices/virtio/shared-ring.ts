/**
 * A bounded byte queue in shared memory, from one thread to another, without a lock.
 *
 * ```
 *      head            tail
 *       v               v
 *   ....[b b b b b b b b].......      index = counter mod capacity, a power of two
 * ```
 *
 * The counters run freely and wrap at 2^32. Only the consumer writes `head` and only the producer
 * `tail`, each by an atomic store after the bytes have been copied; so whoever sees a counter with
 * an atomic load sees the bytes too, or that their room is free (ECMAScript memory model,
 * "synchronizes-with"). One thread at a time is the producer, and one the consumer.
 */

/** What a producer copies from: the readable part of a descriptor chain is one. */
export interface ByteSource {
  /** Moves up to `length` bytes to `target[offset]` and returns how many. */
  read(target: Uint8Array, offset: number, length: number): number;
}

/** What a consumer copies to: the writable part of a descriptor chain is one. */
export interface ByteSink {
  /** Moves up to `length` bytes from `source[offset]` and returns how many. */
  write(source: Uint8Array, offset: number, length: number): number;
}

/** Queue of bytes between two threads. */
export class SharedRing {
  readonly capacity: number;
  private readonly mask: number;

  /**
   * @param head index of the consumer's counter in `words`
   * @param tail index of the producer's counter
   * @param data the bytes, a power of two of them
   */
  constructor(
    private readonly words: Int32Array<SharedArrayBuffer>,
    private readonly head: number,
    private readonly tail: number,
    private readonly data: Uint8Array<SharedArrayBuffer>,
  ) {
    this.capacity = data.length;
    this.mask = data.length - 1;
  }

  /** Bytes queued. Restored state can hold any counters: never more than the capacity. */
  get length(): number {
    const queued =
      (Atomics.load(this.words, this.tail) - Atomics.load(this.words, this.head)) >>> 0;
    return queued > this.capacity ? this.capacity : queued;
  }

  get space(): number {
    return this.capacity - this.length;
  }

  /** Producer: queues as many bytes of `source` as fit and returns how many those are. */
  write(source: Uint8Array): number {
    const count = Math.min(source.length, this.space);
    if (count === 0) return 0;
    const tail = this.words[this.tail]!;
    const at = tail & this.mask;
    const first = Math.min(count, this.capacity - at);
    this.data.set(source.subarray(0, first), at);
    if (first < count) this.data.set(source.subarray(first, count));
    Atomics.store(this.words, this.tail, tail + count);
    return count;
  }

  /** Producer: queues what `source` gives, up to `limit` bytes and what fits. */
  fillFrom(source: ByteSource, limit: number): number {
    const room = Math.min(limit, this.space);
    if (room === 0) return 0;
    const tail = this.words[this.tail]!;
    const at = tail & this.mask;
    const first = Math.min(room, this.capacity - at);
    let count = source.read(this.data, at, first);
    if (count === first && first < room) count += source.read(this.data, 0, room - first);
    Atomics.store(this.words, this.tail, tail + count);
    return count;
  }

  /** Consumer: moves the oldest bytes into `target` and returns how many those are. */
  read(target: Uint8Array): number {
    const count = Math.min(target.length, this.length);
    if (count === 0) return 0;
    const head = this.words[this.head]!;
    const at = head & this.mask;
    const first = Math.min(count, this.capacity - at);
    target.set(this.data.subarray(at, at + first));
    if (first < count) target.set(this.data.subarray(0, count - first), first);
    Atomics.store(this.words, this.head, head + count);
    return count;
  }

  /** Consumer: gives the oldest bytes to `sink`, as many as it takes; returns how many. */
  drainTo(sink: ByteSink): number {
    const queued = this.length;
    if (queued === 0) return 0;
    const head = this.words[this.head]!;
    const at = head & this.mask;
    const first = Math.min(queued, this.capacity - at);
    let count = sink.write(this.data, at, first);
    if (count === first && first < queued) count += sink.write(this.data, 0, queued - first);
    Atomics.store(this.words, this.head, head + count);
    return count;
  }
}
