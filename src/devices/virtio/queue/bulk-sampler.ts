/** Tells which guest memory bulk I/O goes to, at the price of one piece a transfer; see `HugePages`. */
import type { GuestAddress } from '../../../memory/guest-memory.js';
import type { GuestRam } from './guest-ram.js';
import type { Segments } from './segments.js';

/** Numbers of turns stay small integers. */
const TURN_MASK = 0xffff;

/** Reports one piece of each transfer for all of them: the next one in its turn. */
export class BulkSampler {
  private turn = 0;

  constructor(private readonly ram: GuestRam) {}

  /** The piece to report of so many, at least one: its index. */
  pick(count: number): number {
    const { turn } = this;
    this.turn = (turn + 1) & TURN_MASK;
    return turn % count;
  }

  /** Reports a piece that stands for `count` like it. */
  report(address: GuestAddress, bytes: number, count: number): void {
    this.ram.transferred(address, bytes, count);
  }

  /** Takes note of a transfer to or from these pieces. */
  note(pieces: Segments): void {
    const { count } = pieces;
    if (count === 0) return;
    const piece = this.pick(count);
    this.report(pieces.address(piece), pieces.size(piece), count);
  }
}
