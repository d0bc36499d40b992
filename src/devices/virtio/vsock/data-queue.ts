/** Bytes of a program of the host that wait for room in the guest, of one connection. */
import type { WritableSegments } from '../queue/segments.js';

/** From so many bytes, or pieces, on the stream is to pause; and to resume below half of it. */
const HIGH_WATER = 131072;
const MAX_PIECES = 64;

/** A queue of what the stream has delivered, piece by piece. */
export class DataQueue {
  private readonly pieces: Uint8Array[] = [];
  /** Pieces from the front that have been used up, and bytes of the next one. */
  private first = 0;
  private offset = 0;
  private bytes = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.bytes;
  }

  get full(): boolean {
    return this.bytes >= HIGH_WATER || this.pieces.length - this.first >= MAX_PIECES;
  }

  get low(): boolean {
    return this.bytes < HIGH_WATER / 2 && this.pieces.length - this.first < MAX_PIECES / 2;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pieces.push(bytes);
    this.bytes += bytes.length;
  }

  /** Moves `length` bytes, which are there, into guest memory with room for them. */
  moveTo(target: WritableSegments, length: number): void {
    for (let left = length; left > 0;) {
      const piece = this.pieces[this.first]!;
      const count = target.write(piece, this.offset, Math.min(left, piece.length - this.offset));
      left -= count;
      this.offset += count;
      if (this.offset < piece.length) continue;
      this.first++;
      this.offset = 0;
    }
    this.bytes -= length;
    if (this.first === this.pieces.length || this.first >= MAX_PIECES) {
      this.pieces.splice(0, this.first);
      this.first = 0;
    }
  }

  clear(): void {
    this.pieces.length = 0;
    this.first = 0;
    this.offset = 0;
    this.bytes = 0;
  }
}
