/** Who has which part of guest memory while booting: nothing may be loaded over anything else. */
import type { GuestAddress, GuestMemory } from '../memory/guest-memory.js';
import { VexitError } from '../util/errors.js';

interface Claim {
  readonly what: string;
  readonly start: GuestAddress;
  readonly end: GuestAddress;
}

const MIB = 2 ** 20;

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Hint that names the memory size with which something that ends at `end` fits. */
export function memoryHint(end: number): string {
  const mib = Math.ceil(end / MIB);
  return `give the guest more memory: at least --memory ${mib}M`;
}

/** The ranges of guest memory that are taken. */
export class Placement {
  private readonly claims: Claim[] = [];

  constructor(private readonly memory: GuestMemory) {}

  /** Marks a range as not to be used by {@link place} or {@link claim}, without any check. */
  reserve(what: string, start: GuestAddress, size: number): void {
    if (size > 0) this.claims.push({ what, start, end: start + size });
  }

  private overlap(start: GuestAddress, end: GuestAddress): Claim | undefined {
    return this.claims.find((claim) => start < claim.end && claim.start < end);
  }

  /**
   * Takes a range that must be RAM and free.
   * @throws VexitError ERR_MEMORY outside RAM, ERR_KERNEL over something else
   */
  claim(what: string, start: GuestAddress, size: number): void {
    if (size === 0) return;
    const end = start + size;
    const where = `${what} (${hex(start)}-${hex(end)})`;
    if (!this.memory.contains(start, size)) {
      throw new VexitError(
        'ERR_MEMORY',
        `${where} does not fit in the guest's memory of ${Math.floor(this.memory.size / MIB)} MiB`,
        end <= 2 ** 40 ? memoryHint(end) : 'the file is damaged or not for this kind of machine',
      );
    }
    const other = this.overlap(start, end);
    if (other !== undefined) {
      throw new VexitError(
        'ERR_KERNEL',
        `${where} would be loaded over ${other.what} (${hex(other.start)}-${hex(other.end)})`,
        'link the kernel at another address',
      );
    }
    this.claims.push({ what, start, end });
  }

  /**
   * Finds and takes the highest free range of RAM that ends at or below `limit`.
   * @returns its start, or undefined when there is none
   */
  placeHigh(what: string, size: number, align: number, limit: number): GuestAddress | undefined {
    for (const region of [...this.memory.regions].reverse()) {
      let end = Math.min(region.start + region.size, limit);
      for (;;) {
        const start = Math.floor((end - size) / align) * align;
        if (!(start >= region.start)) break;
        const other = this.overlap(start, start + size);
        if (other === undefined) {
          this.reserve(what, start, size);
          return start;
        }
        end = other.start;
      }
    }
    return undefined;
  }

  /**
   * Finds and takes the lowest free range of RAM at or above `floor`.
   * @returns its start, or undefined when there is none
   */
  placeLow(what: string, size: number, align: number, floor: number): GuestAddress | undefined {
    for (const region of this.memory.regions) {
      let start = Math.ceil(Math.max(region.start, floor) / align) * align;
      while (start + size <= region.start + region.size) {
        const other = this.overlap(start, start + size);
        if (other === undefined) {
          this.reserve(what, start, size);
          return start;
        }
        start = Math.ceil(other.end / align) * align;
      }
    }
    return undefined;
  }

  /** End of the highest range taken below `limit`. */
  endBelow(limit: GuestAddress): GuestAddress {
    return this.claims.reduce((end, c) => (c.end <= limit ? Math.max(end, c.end) : end), 0);
  }
}
