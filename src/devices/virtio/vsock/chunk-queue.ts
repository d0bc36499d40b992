/**
 * Bytes of the guest on their way to a program of the host, of one connection.
 *
 * They are copied out of guest memory once, into chunks of a pool, and written from there. While a
 * write is going on, what follows gathers in the last chunk, so that a guest that sends single bytes
 * to a program that does not read takes no more memory than one that sends much at once.
 */
import type { ReadableSegments } from '../queue/segments.js';
import type { HostStream } from './host-backend.js';

/** Bytes of a chunk. */
export const CHUNK_BYTES = 65536;
/** Chunks kept for later use. */
const POOL_LIMIT = 64;

class Chunk {
  readonly bytes = new Uint8Array(CHUNK_BYTES);
  used = 0;
}

/** Chunks that nobody uses. */
export class ChunkPool {
  private readonly free: Chunk[] = [];

  take(): Chunk {
    return this.free.pop() ?? new Chunk();
  }

  give(chunk: Chunk): void {
    chunk.used = 0;
    if (this.free.length < POOL_LIMIT) this.free.push(chunk);
  }
}

/** A queue of chunks. How much it may hold is the caller's business. */
export class ChunkQueue {
  private readonly chunks: Chunk[] = [];
  /** Chunks from the front that a stream is writing. */
  private writing = 0;

  constructor(private readonly pool: ChunkPool) {}

  /** True when everything has been written. */
  get empty(): boolean {
    return this.chunks.length === 0;
  }

  /** Copies `length` bytes out of guest memory. */
  append(from: ReadableSegments, length: number): void {
    for (let left = length; left > 0;) {
      let last = this.chunks.at(-1);
      if (last === undefined || this.chunks.length === this.writing || last.used === CHUNK_BYTES) {
        last = this.pool.take();
        this.chunks.push(last);
      }
      const count = from.read(last.bytes, last.used, Math.min(left, CHUNK_BYTES - last.used));
      last.used += count;
      left -= count;
    }
  }

  /** Gives the stream everything, unless it is still writing. True when it has everything. */
  flush(stream: HostStream): boolean {
    if (this.writing > 0) return this.writing === this.chunks.length;
    const { chunks } = this;
    this.writing = chunks.length;
    if (chunks.length > 1) stream.cork();
    for (const { bytes, used } of chunks) {
      stream.write(used === CHUNK_BYTES ? bytes : bytes.subarray(0, used));
    }
    if (chunks.length > 1) stream.uncork();
    return true;
  }

  /** The first write is done; returns its bytes. */
  written(): number {
    const chunk = this.chunks.shift();
    if (chunk === undefined) return 0;
    const { used } = chunk;
    this.writing--;
    this.pool.give(chunk);
    return used;
  }

  /** Forgets everything. Chunks that a stream may still be reading do not go back to the pool. */
  clear(): void {
    for (const chunk of this.chunks.splice(this.writing)) this.pool.give(chunk);
    this.chunks.length = 0;
    this.writing = 0;
  }
}
