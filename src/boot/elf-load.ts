/** Puts the segments of an ELF executable at their physical addresses. */
import type { GuestAddress } from '../memory/guest-memory.js';
import { VexitError } from '../util/errors.js';
import { readToGuest, zeroGuest, type BootSource } from './boot-source.js';
import type { ElfFile } from './elf.js';
import type { BootContext } from './options.js';

const ENTRY_LIMIT = 2 ** 32;

/**
 * Physical address of an entry point, which may be given as a virtual one.
 * @throws VexitError ERR_KERNEL when it is not in the file's part of a segment below 4 GiB
 */
export function entryAddress(source: BootSource, elf: ElfFile, entry: number): GuestAddress {
  for (const { physicalAddress, memorySize } of elf.segments) {
    const inside = entry >= physicalAddress && entry < physicalAddress + memorySize;
    if (inside && entry < ENTRY_LIMIT) return entry;
  }
  for (const { virtualAddress, physicalAddress, memorySize } of elf.segments) {
    const inside = entry >= virtualAddress && entry < virtualAddress + memorySize;
    const address = entry - virtualAddress + physicalAddress;
    if (inside && address < ENTRY_LIMIT) return address;
  }
  throw new VexitError(
    'ERR_KERNEL',
    `${source.name}: the entry point 0x${entry.toString(16)} is in no loaded segment`,
    'the file is damaged or not linked as a kernel',
  );
}

/**
 * Claims and loads every segment; what the file does not fill is zeroed.
 * @throws VexitError ERR_KERNEL, ERR_MEMORY
 */
export function loadSegments(
  { memory, placement }: BootContext,
  source: BootSource,
  elf: ElfFile,
): void {
  elf.segments.forEach(({ physicalAddress, memorySize }, index) => {
    placement.claim(`${source.name}: segment ${index}`, physicalAddress, memorySize);
  });
  for (const { physicalAddress, memorySize, offset, fileSize } of elf.segments) {
    readToGuest(source, offset, memory, physicalAddress, fileSize);
    zeroGuest(memory, physicalAddress + fileSize, memorySize - fileSize);
  }
  source.checkUnchanged();
}
