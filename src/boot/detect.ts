/** Tells by which protocol an image wants to be booted. */
import { VexitError } from '../util/errors.js';
import type { BootProtocol } from './boot-result.js';
import type { BootSource } from './boot-source.js';
import { isElf, readElf, type ElfFile } from './elf.js';
import { findMultibootHeader, MULTIBOOT_SEARCH } from './multiboot-header.js';
import { guestOsIsLinux, pvhEntry } from './pvh-notes.js';
import { isBzImage } from './setup-header.js';

/** A protocol, with what was read from the image to find it. */
export type DetectedImage =
  | { readonly protocol: 'linux'; readonly elf?: ElfFile }
  | { readonly protocol: 'pvh'; readonly elf: ElfFile }
  | { readonly protocol: 'multiboot' | 'firmware' | 'flat' };

/** Beginnings of files that are a kernel, but not one that can be started as it is. */
const HINTS: readonly { magic: readonly number[]; at: number; is: string; hint: string }[] = [
  { magic: [0x1f, 0x8b], at: 0, is: 'a gzip file', hint: 'unpack it with gunzip' },
  { magic: [0xfd, 0x37, 0x7a], at: 0, is: 'an xz file', hint: 'unpack it with unxz' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], at: 0, is: 'a zstd file', hint: 'unpack it with unzstd' },
  { magic: [0x41, 0x52, 0x4d, 0x64], at: 56, is: 'an arm64 kernel', hint: 'use one for x86_64' },
  { magic: [0x21, 0x3c, 0x61], at: 0, is: 'an archive', hint: 'take the kernel out of it' },
  { magic: [0x51, 0x46, 0x49, 0xfb], at: 0, is: 'a qcow2 disk image', hint: 'give it as a disk' },
];

function unknown(source: BootSource, head: Uint8Array, wanted: string): VexitError {
  const match = HINTS.find(({ magic, at }) => magic.every((byte, i) => head[at + i] === byte));
  if (match !== undefined) {
    return new VexitError('ERR_KERNEL', `${source.name} is ${match.is}, not ${wanted}`, match.hint);
  }
  return new VexitError(
    'ERR_KERNEL',
    `${source.name} is not ${wanted}`,
    'give a bzImage or an uncompressed ELF kernel; for other binaries name the protocol',
  );
}

/**
 * Decides the protocol. An ELF file that is Linux is entered the Linux way even when it also has
 * a PVH entry, because that way skips the kernel's 32-bit start; other kernels with a PVH entry
 * are entered there, then come multiboot headers.
 * @param forced the protocol the user asks for; the image must be able to do it
 * @throws VexitError ERR_KERNEL
 */
export function detectProtocol(
  source: BootSource,
  forced: BootProtocol | undefined,
): DetectedImage {
  if (forced === 'flat' || forced === 'firmware') return { protocol: forced };
  const head = source.bytes(0, Math.min(source.size, MULTIBOOT_SEARCH));
  const elf = isElf(head);
  if (forced === 'multiboot') {
    if (findMultibootHeader(head) === undefined) {
      throw unknown(source, head, 'a multiboot kernel (no header in the first 8 KiB)');
    }
    return { protocol: 'multiboot' };
  }
  if (forced === 'pvh') {
    if (!elf) throw unknown(source, head, 'a PVH kernel (an ELF file)');
    return { protocol: 'pvh', elf: readElf(source) };
  }
  if (isBzImage(head)) return { protocol: 'linux' };
  if (forced === 'linux') {
    if (!elf) throw unknown(source, head, 'a Linux kernel');
    return { protocol: 'linux', elf: readElf(source) };
  }
  const multiboot = findMultibootHeader(head) !== undefined;
  if (!elf) {
    if (multiboot) return { protocol: 'multiboot' };
    throw unknown(source, head, 'a kernel of a known kind');
  }
  const file = readElf(source);
  if (file.is64 && guestOsIsLinux(file)) return { protocol: 'linux', elf: file };
  if (pvhEntry(file) !== undefined) return { protocol: 'pvh', elf: file };
  if (multiboot) return { protocol: 'multiboot' };
  return { protocol: 'linux', elf: file };
}
