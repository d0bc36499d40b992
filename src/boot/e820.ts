/**
 * The memory map that the guest is told, as the BIOS call E820 would report it (ACPI 6.5, section
 * 15 "System Address Map Interfaces"). Linux, PVH and multiboot use the same type numbers.
 */
import type { GuestAddress, GuestMemory } from '../memory/guest-memory.js';
import {
  ACPI_TABLES_END,
  EBDA_START,
  HIGH_RAM_START,
  LOW_RAM_END,
  RSDP_ADDRESS,
} from '../memory/layout.js';

/** Address range types. */
export const E820_RAM = 1;
export const E820_RESERVED = 2;
export const E820_ACPI = 3;

/** One address range. */
export interface E820Entry {
  readonly address: GuestAddress;
  readonly size: number;
  readonly type: typeof E820_RAM | typeof E820_RESERVED | typeof E820_ACPI;
}

const VIDEO_MEMORY = 0xa0000;

function range(address: number, end: number, type: E820Entry['type']): E820Entry {
  return { address, size: end - address, type };
}

/**
 * The map of this memory, ascending and without overlap. The hole below 4 GiB is left out.
 * @param acpi whether ACPI tables are in the ROM area
 */
export function e820Map(memory: GuestMemory, acpi: boolean): E820Entry[] {
  const entries = [
    range(0, LOW_RAM_END, E820_RAM),
    range(EBDA_START, VIDEO_MEMORY, E820_RESERVED),
    range(RSDP_ADDRESS, ACPI_TABLES_END, acpi ? E820_ACPI : E820_RESERVED),
    range(ACPI_TABLES_END, HIGH_RAM_START, E820_RESERVED),
  ];
  for (const { start, size } of memory.regions) {
    const from = Math.max(start, HIGH_RAM_START);
    if (start + size > from) entries.push(range(from, start + size, E820_RAM));
  }
  return entries;
}
