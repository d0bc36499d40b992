/**
 * Bytes from the guest on their way into a socket of the host. They are copied once, from the frame
 * into a chunk; the socket writes from there, one write at a time, so that what comes meanwhile is
 * collected.
 */
import type { Duplex } from 'node:stream';
import { SMALL_CHUNK, type Chunk, type ChunkPool } from '../chunk-pool.js';

/** What a connection may hold when the pool's budget is used up. */
const LEAST = 2 * SMALL_CHUNK;

export class SocketWriter {
  /** Bytes that the host's kernel has not taken yet. */
  pending = 0;

  private head: Chunk | undefined;
  private tail: Chunk | undefined;
  /** Bytes of the write that is going on. */
  private writing = 0;
  private ending = false;
  private closed = false;
  private readonly onWritten = (error?: Error | null): void => {
    if (!this.closed && (error === undefined || error === null)) this.written();
  };

  /** @param onRoom is called when bytes have gone */
  constructor(
    private readonly socket: Duplex,
    private readonly pool: ChunkPool,
    private readonly onRoom: () => void,
  ) {}

  /** A chunk with room for `length` bytes, or undefined when memory is short. */
  reserve(length: number): Chunk | undefined {
    const { tail } = this;
    if (tail !== undefined && tail.room >= length) return tail;
    const chunk = this.take(length);
    if (chunk === undefined) return undefined;
    if (tail === undefined) this.head = chunk;
    else tail.next = chunk;
    this.tail = chunk;
    return chunk;
  }

  commit(chunk: Chunk, length: number): void {
    chunk.end += length;
    this.pending += length;
  }

  /** Writes what is there, unless a write is going on. */
  flush(): void {
    if (this.closed || this.writing > 0) return;
    if (this.pending === 0) {
      if (this.ending) this.socket.end();
      return;
    }
    this.writing = this.pending;
    const several = this.head !== this.tail;
    if (several) this.socket.cork();
    for (let chunk = this.head; chunk !== undefined; chunk = chunk.next) {
      if (chunk.length === 0) continue;
      const bytes = chunk.bytes.subarray(chunk.start, chunk.end);
      if (chunk === this.tail) this.socket.write(bytes, this.onWritten);
      else this.socket.write(bytes);
    }
    if (several) this.socket.uncork();
  }

  /** Nothing comes any more: the socket is ended after what is there. */
  end(): void {
    this.ending = true;
    this.flush();
  }

  /** The socket is gone. */
  close(): void {
    this.closed = true;
    for (let chunk = this.head; chunk !== undefined; chunk = chunk.next) this.pool.discard(chunk);
    this.head = undefined;
    this.tail = undefined;
    this.pending = 0;
  }

  private take(length: number): Chunk | undefined {
    // The second chunk of a batch is a sign that there is much.
    const large = length > SMALL_CHUNK || this.pending > 0;
    const chunk = large ? this.pool.takeLarge() : undefined;
    if (chunk !== undefined) return chunk;
    if (length > SMALL_CHUNK || (this.pool.tight && this.pending > LEAST)) return undefined;
    return this.pool.takeSmall();
  }

  private written(): void {
    let count = this.writing;
    this.pending -= count;
    this.writing = 0;
    while (this.head !== undefined) {
      const { head } = this;
      const taken = Math.min(count, head.length);
      head.start += taken;
      count -= taken;
      if (head.length > 0) break;
      this.head = head.next;
      this.pool.give(head);
    }
    if (this.head === undefined) this.tail = undefined;
    this.flush();
    this.onRoom();
  }
}
