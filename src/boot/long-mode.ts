/**
 * What a CPU needs in memory to be entered in 64-bit mode: identity page tables of the first
 * 4 GiB (Intel SDM volume 3, section 5.5 "4-Level Paging") and a flat GDT (section 3.4.5). The
 * selectors are those the Linux boot protocol asks for, "64-bit Boot Protocol".
 */
import type { GuestMemory } from '../memory/guest-memory.js';
import { GDT_ADDRESS, PAGE_TABLE_ADDRESS } from '../memory/layout.js';

/** __BOOT_CS: 64-bit code, read and execute. */
export const CODE_SELECTOR = 0x10;
/** __BOOT_DS: flat data, read and write. */
export const DATA_SELECTOR = 0x18;
/** A 64-bit busy TSS, which VM entry wants; it takes two entries. */
export const TSS_SELECTOR = 0x20;
/** Limit for GDTR: size of the table less one. */
export const GDT_LIMIT = 0x30 - 1;

const GDT = new BigUint64Array([
  0n,
  0n,
  0x00af9b000000ffffn, // code: base 0, limit 4 GiB, L, DPL 0, accessed
  0x00cf93000000ffffn, // data: base 0, limit 4 GiB, DPL 0, accessed
  0x00008b0000000067n, // TSS: base 0, limit 0x67, busy
  0n,
]);

const PAGE = 4096;
const PRESENT_WRITABLE = 0x3;
const LARGE_PAGE = 0x80;
const LARGE_PAGE_SIZE = 2 ** 21;
const ENTRIES = 512;
const DIRECTORIES = 4;

/** Writes the page tables at PAGE_TABLE_ADDRESS and the GDT at GDT_ADDRESS. */
export function writeLongModeTables(memory: GuestMemory): void {
  // PML4, PDPT, then one page directory for each GiB; entries are below 2^32, so 32 bits a half.
  const words = new Uint32Array(((2 + DIRECTORIES) * PAGE) / 4);
  const directories = PAGE_TABLE_ADDRESS + 2 * PAGE;
  words[0] = PAGE_TABLE_ADDRESS + PAGE + PRESENT_WRITABLE;
  for (let gib = 0; gib < DIRECTORIES; gib++) {
    words[PAGE / 4 + gib * 2] = directories + gib * PAGE + PRESENT_WRITABLE;
  }
  for (let page = 0; page < DIRECTORIES * ENTRIES; page++) {
    words[(2 * PAGE) / 4 + page * 2] = page * LARGE_PAGE_SIZE + LARGE_PAGE + PRESENT_WRITABLE;
  }
  memory.write(PAGE_TABLE_ADDRESS, new Uint8Array(words.buffer));
  memory.write(GDT_ADDRESS, new Uint8Array(GDT.buffer));
}
