/**
 * Linear to physical translation by the guest's own page tables (SDM volume 3, chapter 4).
 * KVM_TRANSLATE says neither whether a page may be written nor which fault to raise.
 */
import type { GuestMemory } from '../../memory/guest-memory.js';

/** Page-fault error code bits (SDM volume 3, 4.7). */
export const PageFaultCode = { P: 1, W: 2, U: 4, RSVD: 8, I: 16 } as const;

const CR0_WP = 1n << 16n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const PRESENT = 1;
const WRITE = 2;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const LARGE = 0x80;

/** Control registers that decide a translation. */
export interface PagingState {
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly longMode: boolean;
}

/** Outcome of {@link walk}: a physical address, or the error code of the page fault. */
export type Translation = { readonly physical: number } | { readonly fault: number };

/** Sets flags in an entry unless it has changed since it was read. */
function mark(memory: GuestMemory, at: number, entry: bigint, flags: number): boolean {
  const [bytes] = memory.slices(at, 8);
  const word = new BigUint64Array(bytes!.buffer, bytes!.byteOffset, 1);
  return Atomics.compareExchange(word, 0, entry, entry | BigInt(flags)) === entry;
}

/** Bits 51:12 of an entry or of CR3, as an address. */
function frameOf(low: number, high: number): number {
  return (high & 0xfffff) * 0x1_0000_0000 + ((low & ~0xfff) >>> 0);
}

/** Index into the table of a level, 1 (page table) to 5, from the halves of a linear address. */
function indexAt(level: number, low: number, high: number): number {
  if (level === 1) return (low >>> 12) & 0x1ff;
  if (level === 2) return (low >>> 21) & 0x1ff;
  if (level === 3) return ((high << 2) | (low >>> 30)) & 0x1ff;
  return (high >>> (level === 4 ? 7 : 16)) & 0x1ff;
}

/**
 * Translates for a supervisor access, sets accessed and dirty flags as the processor does.
 * Undefined where the tables are of a kind that is not walked here (32-bit paging without PAE) or
 * lie outside RAM. Numbers where possible: this is on the path of every system call.
 */
export function walk(
  memory: GuestMemory,
  state: PagingState,
  linear: bigint,
  write: boolean,
): Translation | undefined {
  if ((state.cr0 & CR0_PG) === 0n) return { physical: Number(linear) };
  if ((state.cr4 & CR4_PAE) === 0n) return undefined;
  const linearLow = Number(linear & 0xffffffffn);
  const linearHigh = Number(linear >> 32n);
  const { longMode } = state;
  const mask = longMode ? 0xffffffffff000n : 0xffffffe0n;
  let table = Number(state.cr3 & mask);
  const code = write ? PageFaultCode.W : 0;
  let writable = true;
  let level = longMode ? ((state.cr4 & CR4_LA57) !== 0n ? 5 : 4) : 3;
  for (;;) {
    // Page-directory-pointer entries of PAE paging have neither permissions nor flags.
    const pointer = level === 3 && !longMode;
    const index = indexAt(level, linearLow, linearHigh) & (pointer ? 3 : 0x1ff);
    const at = table + 8 * index;
    if (!memory.contains(at, 8)) return undefined;
    const entry = memory.getUint64(at);
    const low = Number(entry & 0xffffffffn);
    if ((low & PRESENT) === 0) return { fault: code };
    if (!pointer) writable &&= (low & WRITE) !== 0;
    const leaf = level === 1 || (level <= 3 && !pointer && (low & LARGE) !== 0);
    if (leaf && write && !writable && (state.cr0 & CR0_WP) !== 0n) {
      return { fault: code | PageFaultCode.P };
    }
    const wanted = pointer ? 0 : leaf && write ? ACCESSED | DIRTY : ACCESSED;
    if ((low & wanted) !== wanted && !mark(memory, at, entry, wanted)) continue;
    table = frameOf(low, Number(entry >> 32n));
    if (leaf) {
      const size = 2 ** (12 + 9 * (level - 1));
      return { physical: table - (table % size) + (linearLow % size) };
    }
    level--;
  }
}
