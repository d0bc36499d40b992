/**
 * Which blocks are in the overlay: the truth in memory, and what of it is still to be written.
 *
 * A bit may reach storage only after the data it vouches for. So a flush stages the changed pages
 * first, then puts data on storage, and then writes what was staged: bits that are set meanwhile
 * belong to data the flush knows nothing of, and wait for the next one.
 */
import { HostMemory, type HostAllocator } from '../host-memory.js';

/** Bytes that are written at once. */
export const PAGE = 4096;

/** The bitmap of an overlay. */
export class OverlayBitmap {
  /** What is being written to the file. */
  readonly staging: HostMemory;
  private bits: Uint8Array;
  private changed: Uint8Array;
  private changedCount = 0;

  /** @param bytes room for the disk as large as it may become */
  constructor(blocks: number, bytes: number, allocate?: HostAllocator) {
    this.bits = new Uint8Array(roundUp(Math.ceil(blocks / 8), PAGE));
    this.changed = new Uint8Array(this.bits.length / PAGE);
    this.staging = new HostMemory(bytes, allocate);
  }

  /** The bits, to be filled when the overlay is opened. */
  get bytes(): Uint8Array {
    return this.bits;
  }

  /** Makes room for more blocks; none of them is here. */
  grow(blocks: number): void {
    const bits = new Uint8Array(roundUp(Math.ceil(blocks / 8), PAGE));
    bits.set(this.bits.subarray(0, bits.length));
    const changed = new Uint8Array(bits.length / PAGE);
    changed.set(this.changed.subarray(0, changed.length));
    this.bits = bits;
    this.changed = changed;
  }

  has(block: number): boolean {
    return (this.bits[Math.floor(block / 8)]! & (1 << (block % 8))) !== 0;
  }

  /** True when all blocks from `first` to `last` are here. */
  hasAll(first: number, last: number): boolean {
    for (let block = first; block <= last; block++) if (!this.has(block)) return false;
    return true;
  }

  /** Notes that blocks are here. */
  set(first: number, last: number): void {
    for (let block = first; block <= last; block++) {
      const at = Math.floor(block / 8);
      const before = this.bits[at]!;
      const after = before | (1 << (block % 8));
      if (after === before) continue;
      this.bits[at] = after;
      this.touch(Math.floor(at / PAGE));
    }
  }

  private touch(page: number): void {
    if (this.changed[page] !== 0) return;
    this.changed[page] = 1;
    this.changedCount++;
  }

  /** True when the file knows all bits, or will when a flush that is going on has ended. */
  get clean(): boolean {
    return this.changedCount === 0;
  }

  /** Copies the changed pages to {@link staging} and notes the runs of them in `runs`. */
  stage(runs: { page: number; count: number }[]): void {
    runs.length = 0;
    if (this.changedCount === 0) return;
    for (let page = 0; page < this.changed.length; page++) {
      if (this.changed[page] === 0) continue;
      this.changed[page] = 0;
      const at = page * PAGE;
      this.staging.bytes.set(this.bits.subarray(at, at + PAGE), at);
      const last = runs.at(-1);
      if (last !== undefined && last.page + last.count === page) last.count++;
      else runs.push({ page, count: 1 });
    }
    this.changedCount = 0;
  }

  /** The pages that were staged have not been written. */
  unstage(runs: readonly { page: number; count: number }[]): void {
    for (const { page, count } of runs) {
      for (let i = 0; i < count; i++) this.touch(page + i);
    }
  }
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
