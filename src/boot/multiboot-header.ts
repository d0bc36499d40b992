/** The header that makes an image a multiboot one: Multiboot Specification 0.6.96, section 3.1. */

/** The header lies in the first 8192 bytes of the image. */
export const MULTIBOOT_SEARCH = 8192;
/** Flags of the header. */
export const MULTIBOOT_PAGE_ALIGN = 0x1;
export const MULTIBOOT_MEMORY_INFO = 0x2;
export const MULTIBOOT_VIDEO_MODE = 0x4;
export const MULTIBOOT_AOUT_KLUDGE = 0x10000;

const MULTIBOOT_HEADER_MAGIC = 0x1badb002;
const BASIC_SIZE = 12;
const KLUDGE_SIZE = 32;

/** Addresses of an image that is not ELF, or whose ELF headers are not to be used. */
export interface AoutKludge {
  readonly headerAddr: number;
  readonly loadAddr: number;
  readonly loadEndAddr: number;
  readonly bssEndAddr: number;
  readonly entryAddr: number;
}

/** A multiboot header. */
export interface MultibootHeader {
  /** Offset in the file. */
  readonly offset: number;
  readonly flags: number;
  /** Present when the flag MULTIBOOT_AOUT_KLUDGE is set. */
  readonly kludge?: AoutKludge;
}

/** The first header with a right checksum in the first bytes of a file. */
export function findMultibootHeader(head: Uint8Array): MultibootHeader | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const end = Math.min(head.length, MULTIBOOT_SEARCH);
  for (let offset = 0; offset + BASIC_SIZE <= end; offset += 4) {
    if (view.getUint32(offset, true) !== MULTIBOOT_HEADER_MAGIC) continue;
    const flags = view.getUint32(offset + 4, true);
    const checksum = view.getUint32(offset + 8, true);
    if ((MULTIBOOT_HEADER_MAGIC + flags + checksum) % 2 ** 32 !== 0) continue;
    if ((flags & MULTIBOOT_AOUT_KLUDGE) === 0) return { offset, flags };
    if (offset + KLUDGE_SIZE > end) continue;
    const kludge = {
      headerAddr: view.getUint32(offset + 12, true),
      loadAddr: view.getUint32(offset + 16, true),
      loadEndAddr: view.getUint32(offset + 20, true),
      bssEndAddr: view.getUint32(offset + 24, true),
      entryAddr: view.getUint32(offset + 28, true),
    };
    return { offset, flags, kludge };
  }
  return undefined;
}
