/**
 * Bytes on their way to the guest, from the first that is not acknowledged. Host sockets read straight
 * into it: {@link region} is where the next bytes go, {@link commit} says how many came.
 */
import { type Chunk, type ChunkPool, SMALL_CHUNK } from '../chunk-pool.js';

/** A region that is smaller is not worth a read. */
const WORTHWHILE = 1024;
/** Buffers that came from elsewhere are copied together up to this size. */
const COPIED = 16384;

/** Where a socket that is being closed may point to; nothing is read any more. */
const NOWHERE = new Uint8Array(1);

export class SendQueue {
  /** Bytes in the queue. */
  length = 0;

  /** Where {@link locate} found a byte. */
  chunk: Chunk | undefined;
  /** Its index in the chunk's bytes. */
  position = 0;

  private closed = false;
  private head: Chunk | undefined;
  private tail: Chunk | undefined;
  private large = false;

  constructor(private readonly pool: ChunkPool) {}

  /**
   * Memory for the next bytes, never empty. It stays reserved until bytes have been committed or the
   * queue is closed.
   */
  region(): Uint8Array {
    if (this.closed) return NOWHERE;
    const { bytes, end } = this.reserve(WORTHWHILE);
    return bytes.subarray(end);
  }

  /** Adds the first `count` bytes of the last {@link region}. */
  commit(count: number): void {
    const tail = this.tail!;
    tail.end += count;
    this.length += count;
    // A reader that fills what it gets is given more, one that does not is given less.
    if (tail.room === 0) this.large = true;
    else if (count < SMALL_CHUNK / 2) this.large = false;
  }

  /** Adds bytes that someone else has allocated and will not change. */
  append(bytes: Uint8Array): void {
    if (this.closed) return;
    if (bytes.length > COPIED) {
      this.push(this.pool.adopt(bytes));
      this.length += bytes.length;
      return;
    }
    for (let at = 0; at < bytes.length;) {
      const chunk = this.reserve(1);
      const count = Math.min(chunk.room, bytes.length - at);
      chunk.bytes.set(bytes.subarray(at, at + count), chunk.end);
      chunk.end += count;
      this.length += count;
      at += count;
    }
  }

  /** Finds the byte at `offset` < length: {@link chunk} and {@link position}. */
  locate(offset: number): void {
    let chunk = this.head!;
    while (offset >= chunk.length) {
      offset -= chunk.length;
      chunk = chunk.next!;
    }
    this.chunk = chunk;
    this.position = chunk.start + offset;
  }

  /** Drops bytes from the front. */
  consume(count: number): void {
    this.length -= count;
    this.chunk = undefined;
    while (this.head !== undefined) {
      const { head } = this;
      const taken = Math.min(count, head.length);
      head.start += taken;
      count -= taken;
      // The last chunk may have a read going on into its free part.
      if (head.length > 0 || head.next === undefined) return;
      this.head = head.next;
      this.pool.give(head);
    }
  }

  /** Gives everything back, for good. No read may be going on. */
  close(): void {
    this.closed = true;
    while (this.head !== undefined) {
      const { head } = this;
      this.head = head.next;
      this.pool.give(head);
    }
    this.tail = undefined;
    this.chunk = undefined;
    this.length = 0;
  }

  private reserve(room: number): Chunk {
    const { tail } = this;
    if (tail !== undefined && tail.room >= Math.min(room, tail.bytes.length)) return tail;
    const chunk = (this.large ? this.pool.takeLarge() : undefined) ?? this.pool.takeSmall();
    this.push(chunk);
    return chunk;
  }

  private push(chunk: Chunk): void {
    if (this.tail === undefined) {
      this.head = chunk;
    } else {
      this.tail.next = chunk;
      // An empty chunk in the middle would have no use.
      if (this.head === this.tail && this.tail.length === 0) {
        this.head = chunk;
        this.pool.give(this.tail);
      }
    }
    this.tail = chunk;
  }
}
