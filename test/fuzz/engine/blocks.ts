/**
 * Coverage of one case. `scripts/fuzz.mjs` builds targets with a counter in each basic block of
 * `src/`; without it, under jest, there are none and nothing guides.
 */

declare global {
  /** Runs of each block since they were last looked at. */
  var vexitBlocks: { readonly counts: Uint32Array; readonly total: number } | undefined;
}

/** How often a block ran, in eight classes: one bit each. */
function classOf(count: number): number {
  if (count <= 3) return 1 << (count - 1);
  if (count < 8) return 8;
  if (count < 16) return 16;
  if (count < 32) return 32;
  return count < 128 ? 64 : 128;
}

/** What a case did. */
export interface Seen {
  /** Blocks run, counted each time. */
  work: number;
  /** Blocks that no case had run. */
  newBlocks: number;
  /** Blocks that no case had run so often. */
  newCounts: number;
}

export class Coverage {
  readonly total = globalThis.vexitBlocks?.total ?? 0;
  private readonly counts = globalThis.vexitBlocks?.counts ?? new Uint32Array(0);
  private readonly classes = new Uint8Array(this.total);
  private readonly last: Seen = { work: 0, newBlocks: 0, newCounts: 0 };
  covered = 0;

  /** Forgets what has been counted outside of a case. */
  skip(): void {
    this.counts.fill(0, 0, this.total);
  }

  /** What the case that has ended did; valid until the next call. */
  take(): Seen {
    const { counts, classes, total, last } = this;
    let work = 0;
    let newBlocks = 0;
    let newCounts = 0;
    for (let i = 0; i < total; i++) {
      const count = counts[i]!;
      if (count === 0) continue;
      counts[i] = 0;
      work += count;
      const bit = classOf(count);
      const before = classes[i]!;
      if ((before & bit) !== 0) continue;
      classes[i] = before | bit;
      if (before === 0) newBlocks++;
      else newCounts++;
    }
    this.covered += newBlocks;
    last.work = work;
    last.newBlocks = newBlocks;
    last.newCounts = newCounts;
    return last;
  }

  /** Blocks that ran since the last {@link take}, which does not get to know them. */
  takeBlocks(): number[] {
    const { counts, total } = this;
    const blocks: number[] = [];
    for (let i = 0; i < total; i++) {
      if (counts[i] === 0) continue;
      counts[i] = 0;
      blocks.push(i);
    }
    return blocks;
  }

  /** Numbers of the blocks that no case has run. */
  missing(): number[] {
    return Array.from(this.classes.keys()).filter((i) => this.classes[i] === 0);
  }
}
