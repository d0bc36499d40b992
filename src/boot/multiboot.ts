/**
 * Multiboot 1: Multiboot Specification 0.6.96. The kernel is an ELF executable or says its own
 * addresses (the a.out kludge); it is entered in 32-bit mode with EAX = 0x2BADB002 and
 * EBX = the information structure.
 */
import type { GuestAddress } from '../memory/guest-memory.js';
import {
  CMDLINE_ADDRESS,
  CMDLINE_MAX_SIZE,
  EBDA_START,
  HIGH_RAM_START,
  MULTIBOOT_INFO_ADDRESS,
} from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import type { BootResult } from './boot-result.js';
import { readToGuest, zeroGuest, type BootSource } from './boot-source.js';
import { CMDLINE_DEFAULT_LIMIT, encodeCommandLine, writeCommandLine } from './command-line.js';
import { entryAddress, loadSegments } from './elf-load.js';
import { readElf } from './elf.js';
import {
  findMultibootHeader,
  MULTIBOOT_MEMORY_INFO,
  MULTIBOOT_PAGE_ALIGN,
  MULTIBOOT_SEARCH,
  MULTIBOOT_VIDEO_MODE,
  type AoutKludge,
  type MultibootHeader,
} from './multiboot-header.js';
import { loadModules, writeMultibootInfo } from './multiboot-info.js';
import type { BootContext } from './options.js';

const MULTIBOOT_BOOTLOADER_MAGIC = 0x2badb002;
/** Bits 0 to 15 of the flags are what the kernel cannot do without. */
const REQUIRED_FLAGS = 0xffff;
const KNOWN_FLAGS = MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO | MULTIBOOT_VIDEO_MODE;
/** Interrupt vectors, BIOS data and the GDT. */
const LOW_END = 0x1000;

/** Loads a multiboot kernel and its modules. @throws VexitError */
export function loadMultiboot(context: BootContext, source: BootSource): BootResult {
  const { memory, placement, options, warnings } = context;
  const header = findMultibootHeader(source.bytes(0, Math.min(source.size, MULTIBOOT_SEARCH)));
  if (header === undefined) {
    throw new VexitError('ERR_KERNEL', `${source.name} has no multiboot header`);
  }
  const unsupported = header.flags & REQUIRED_FLAGS & ~KNOWN_FLAGS;
  if (unsupported !== 0) {
    throw new VexitError(
      'ERR_KERNEL',
      `${source.name}: asks for multiboot features 0x${unsupported.toString(16)}, which no ` +
        'version of the specification has',
      'the header is damaged, or the kernel is for another loader',
    );
  }
  if ((header.flags & MULTIBOOT_VIDEO_MODE) !== 0) {
    warnings.push(`${source.name}: asks for a video mode; there is no display, so it gets none`);
  }
  const cmdline = encodeCommandLine(options.cmdline ?? '', CMDLINE_DEFAULT_LIMIT);
  placement.reserve('the BIOS data area', 0, LOW_END);
  placement.reserve(
    'the multiboot information',
    MULTIBOOT_INFO_ADDRESS,
    CMDLINE_ADDRESS - MULTIBOOT_INFO_ADDRESS,
  );
  placement.reserve('the command line', CMDLINE_ADDRESS, CMDLINE_MAX_SIZE);
  placement.reserve('the EBDA and ROM area', EBDA_START, HIGH_RAM_START - EBDA_START);
  const kernel = loadKernel(context, source, header);
  source.checkUnchanged();
  const modules = loadModules(context, placement.endBelow(memory.lowEnd));
  writeCommandLine(memory, cmdline);
  writeMultibootInfo(memory, modules, options.rsdpAddress !== undefined);
  return {
    protocol: 'multiboot',
    format: kernel.format,
    cpu: {
      mode: 'protected',
      rip: kernel.entry,
      rax: MULTIBOOT_BOOTLOADER_MAGIC,
      rbx: MULTIBOOT_INFO_ADDRESS,
    },
    warnings,
  };
}

function loadKernel(
  context: BootContext,
  source: BootSource,
  header: MultibootHeader,
): { entry: GuestAddress; format: string } {
  if (header.kludge !== undefined) {
    const entry = loadKludge(context, source, header.offset, header.kludge);
    return { entry, format: 'multiboot, addresses in the header' };
  }
  const elf = readElf(source);
  const entry = entryAddress(source, elf, elf.entry);
  loadSegments(context, source, elf);
  return { entry, format: elf.is64 ? 'multiboot ELF64' : 'multiboot ELF32' };
}

/** Section 3.1.3, "The address fields of Multiboot header". */
function loadKludge(
  { memory, placement }: BootContext,
  source: BootSource,
  headerOffset: number,
  { headerAddr, loadAddr, loadEndAddr, bssEndAddr, entryAddr }: AoutKludge,
): GuestAddress {
  const bad = (what: string): VexitError =>
    new VexitError(
      'ERR_KERNEL',
      `${source.name}: ${what}`,
      'the address fields of the multiboot header are wrong',
    );
  if (loadAddr > headerAddr) throw bad('load_addr is above header_addr');
  const offset = headerOffset - (headerAddr - loadAddr);
  if (offset < 0) throw bad('load_addr is before the beginning of the file');
  // 0 means: to the end of the file, and no bss.
  const loadEnd = loadEndAddr === 0 ? loadAddr + source.size - offset : loadEndAddr;
  if (loadEnd <= loadAddr) throw bad('load_end_addr is not above load_addr');
  if (offset + loadEnd - loadAddr > source.size) throw bad('load_end_addr is beyond the file');
  const end = bssEndAddr === 0 ? loadEnd : bssEndAddr;
  if (end < loadEnd) throw bad('bss_end_addr is below load_end_addr');
  if (entryAddr < loadAddr || entryAddr >= loadEnd) throw bad('entry_addr is not in the image');
  placement.claim(`${source.name}: the kernel`, loadAddr, end - loadAddr);
  readToGuest(source, offset, memory, loadAddr, loadEnd - loadAddr);
  zeroGuest(memory, loadEnd, end - loadEnd);
  return entryAddr;
}
