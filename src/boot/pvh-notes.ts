/** Xen ELF notes of a kernel (xen/include/public/elfnote.h) and those that Linux writes. */
import type { ElfFile } from './elf.js';

const XEN_ELFNOTE_GUEST_OS = 6;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** The 32-bit PVH entry point, or undefined when the kernel has none. */
export function pvhEntry(elf: ElfFile): number | undefined {
  for (const { owner, type, description } of elf.notes) {
    if (owner !== 'Xen' || type !== XEN_ELFNOTE_PHYS32_ENTRY) continue;
    const view = new DataView(description.buffer, description.byteOffset, description.length);
    if (description.length === 8) return Number(view.getBigUint64(0, true));
    if (description.length === 4) return view.getUint32(0, true);
  }
  return undefined;
}

/**
 * Whether the notes say that this is Linux: since 4.19 it has notes of the owner "Linux" (build
 * salt), and with Xen support the guest OS note.
 */
export function guestOsIsLinux(elf: ElfFile): boolean {
  return elf.notes.some(({ owner, type, description }) => {
    if (owner === 'Linux') return true;
    const isGuestOs = owner === 'Xen' && type === XEN_ELFNOTE_GUEST_OS;
    return isGuestOs && Buffer.from(description).toString('latin1').replace(/\0+$/, '') === 'linux';
  });
}
