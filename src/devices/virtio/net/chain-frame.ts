/** A frame in the chain that is being sent: what a backend reads of guest memory. */
import type { FrameSource } from '../../../net/net-backend.js';
import { IOVEC_WORDS, type ReadableSegments } from '../queue/segments.js';

/** Can be pointed at one chain after the other. */
export class ChainFrame implements FrameSource {
  length = 0;
  private readable!: ReadableSegments;

  /** The frame is what is left of the chain. */
  set(readable: ReadableSegments): void {
    this.readable = readable;
    this.length = readable.length;
  }

  copy(from: number, target: Uint8Array, at: number, length: number): void {
    this.readable.peek(from, target, at, length);
  }

  iovecs(target: Uint32Array, at: number, end: number): number {
    const { readable } = this;
    if (readable.count * IOVEC_WORDS > end - at) return 0;
    return readable.iovecs(target, at);
  }
}
