/**
 * Buffers of TCP connections, in two sizes, with a budget for all connections together. A quiet
 * connection costs a small chunk; a busy one gets large ones while the budget lasts.
 */

export const SMALL_CHUNK = 4096;
/** Holds the payload of any frame. */
export const LARGE_CHUNK = 65536;

/** Free chunks kept for the next use, in each size. */
const SPARE_SMALL = 256;
const SPARE_LARGE = 64;

/** A buffer with bytes from `start` to `end`, in a list. */
export class Chunk {
  start = 0;
  end = 0;
  next: Chunk | undefined;

  constructor(
    public bytes: Uint8Array,
    /** False for memory that came from elsewhere and goes to the garbage collector. */
    readonly pooled: boolean,
  ) {}

  /** Bytes in it. */
  get length(): number {
    return this.end - this.start;
  }

  /** Bytes that can still be appended. */
  get room(): number {
    return this.bytes.length - this.end;
  }
}

export class ChunkPool {
  private readonly small: Chunk[] = [];
  private readonly large: Chunk[] = [];
  private used = 0;

  /** @param budget bytes after which there are no more large chunks */
  constructor(private readonly budget: number) {}

  /** Bytes of chunks that are in use. */
  get inUse(): number {
    return this.used;
  }

  /** A large chunk, or undefined when the budget is used up. */
  takeLarge(): Chunk | undefined {
    if (this.tight) return undefined;
    this.used += LARGE_CHUNK;
    return this.large.pop() ?? new Chunk(Buffer.allocUnsafeSlow(LARGE_CHUNK), true);
  }

  /** A small chunk: always, because each connection may hold a bounded number only. */
  takeSmall(): Chunk {
    this.used += SMALL_CHUNK;
    return this.small.pop() ?? new Chunk(Buffer.allocUnsafeSlow(SMALL_CHUNK), true);
  }

  /** Wraps memory that someone else allocated; counted until it is given back. */
  adopt(bytes: Uint8Array): Chunk {
    this.used += bytes.length;
    const chunk = new Chunk(bytes, false);
    chunk.end = bytes.length;
    return chunk;
  }

  /** True when connections should make do with little. */
  get tight(): boolean {
    return this.used + LARGE_CHUNK > this.budget;
  }

  /** Gives back a chunk that a system call may still use: it is not used again. */
  discard(chunk: Chunk): void {
    this.used -= chunk.bytes.length;
  }

  give(chunk: Chunk): void {
    const size = chunk.bytes.length;
    this.used -= size;
    chunk.start = 0;
    chunk.end = 0;
    chunk.next = undefined;
    if (!chunk.pooled) return;
    if (size === SMALL_CHUNK && this.small.length < SPARE_SMALL) this.small.push(chunk);
    if (size === LARGE_CHUNK && this.large.length < SPARE_LARGE) this.large.push(chunk);
  }
}
