/** Segments that came before those in front of them; bounded in bytes and in number. */
import { seqAdd, seqDiff } from './sequence.js';

const MOST_BYTES = 256 * 1024;
const MOST_PIECES = 128;

interface Piece {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

export class OutOfOrderQueue {
  private pieces: Piece[] = [];
  private total = 0;

  get bytes(): number {
    return this.total;
  }

  get isEmpty(): boolean {
    return this.pieces.length === 0;
  }

  /** True when a piece of this size would be kept. */
  hasRoom(length: number): boolean {
    return this.pieces.length < MOST_PIECES && this.total + length <= MOST_BYTES;
  }

  /** Keeps a piece, in order. Pieces may overlap: the first to reach a byte has it. */
  add(seq: number, bytes: Uint8Array): void {
    const { pieces } = this;
    let i = pieces.length;
    while (i > 0 && seqDiff(pieces[i - 1]!.seq, seq) > 0) i--;
    const before = pieces[i - 1];
    if (before !== undefined) {
      const end = seqAdd(before.seq, before.bytes.length);
      if (seqDiff(end, seqAdd(seq, bytes.length)) >= 0) return;
    }
    pieces.splice(i, 0, { seq, bytes });
    this.total += bytes.length;
  }

  /** Takes the piece that continues at `next`, without what is before it. */
  take(next: number): Uint8Array | undefined {
    for (;;) {
      const first = this.pieces[0];
      if (first === undefined || seqDiff(first.seq, next) > 0) return undefined;
      this.pieces.shift();
      this.total -= first.bytes.length;
      const skip = seqDiff(next, first.seq);
      if (skip < first.bytes.length) return first.bytes.subarray(skip);
    }
  }

  /** Puts back what {@link take} gave. */
  putBack(seq: number, bytes: Uint8Array): void {
    this.pieces.unshift({ seq, bytes });
    this.total += bytes.length;
  }

  clear(): void {
    this.pieces = [];
    this.total = 0;
  }
}
