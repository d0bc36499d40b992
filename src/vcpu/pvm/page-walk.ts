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

/**
 * Translates for a supervisor access, sets accessed and dirty flags as the processor does.
 * Undefined where the tables are of a kind that is not walked here (32-bit paging without PAE) or
 * lie outside RAM.
 */
export function walk(
  memory: GuestMemory,
  state: PagingState,
  linear: bigint,
  write: boolean,
): Translation | undefined {
  if ((state.cr0 & CR0_PG) === 0n) return { physical: Number(linear) };
  if ((state.cr4 & CR4_PAE) === 0n) return undefined;
  let shift = state.longMode ? ((state.cr4 & CR4_LA57) !== 0n ? 48 : 39) : 30;
  let table = Number(state.cr3 & (state.longMode ? 0xffffffffff000n : 0xffffffe0n));
  const code = write ? PageFaultCode.W : 0;
  let writable = true;
  for (;;) {
    const mask = shift === 30 && !state.longMode ? 3n : 0x1ffn;
    const at = table + Number((linear >> BigInt(shift)) & mask) * 8;
    if (!memory.contains(at, 8)) return undefined;
    const entry = memory.getUint64(at);
    const low = Number(entry & 0xfffn);
    if ((low & PRESENT) === 0) return { fault: code };
    const pointer = shift === 30 && !state.longMode;
    if (!pointer) writable &&= (low & WRITE) !== 0;
    const leaf = shift === 12 || (shift <= 30 && (low & LARGE) !== 0 && !pointer);
    if (leaf && write && !writable && (state.cr0 & CR0_WP) !== 0n) {
      return { fault: code | PageFaultCode.P };
    }
    const wanted = pointer ? 0 : leaf && write ? ACCESSED | DIRTY : ACCESSED;
    if ((low & wanted) !== wanted && !mark(memory, at, entry, wanted)) continue;
    if (leaf) {
      const offset = Number(linear & ((1n << BigInt(shift)) - 1n));
      return {
        physical: Number((entry & 0xffffffffff000n) >> BigInt(shift)) * 2 ** shift + offset,
      };
    }
    table = Number(entry & 0xffffffffff000n);
    shift -= 9;
  }
}
