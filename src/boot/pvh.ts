/**
 * The PVH boot protocol: Xen docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/
 * start_info.h, version 1. The kernel is entered in 32-bit mode with EBX = hvm_start_info.
 */
import {
  CMDLINE_ADDRESS,
  CMDLINE_MAX_SIZE,
  EBDA_START,
  HIGH_RAM_START,
  MMIO_HOLE_START,
  PVH_INFO_ADDRESS,
  ZERO_PAGE_ADDRESS,
} from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import type { BootResult } from './boot-result.js';
import type { BootSource } from './boot-source.js';
import { CMDLINE_DEFAULT_LIMIT, encodeCommandLine, writeCommandLine } from './command-line.js';
import { e820Map } from './e820.js';
import { entryAddress, loadSegments } from './elf-load.js';
import type { ElfFile } from './elf.js';
import { loadInitrds } from './initrd.js';
import type { BootContext } from './options.js';
import { pvhEntry } from './pvh-notes.js';

const START_MAGIC = 0x336ec578;
const START_INFO_VERSION = 1;
const START_INFO_SIZE = 56;
const MODULE_ENTRY_SIZE = 32;
const MEMMAP_ENTRY_SIZE = 24;
/** Interrupt vectors, BIOS data and the GDT. */
const LOW_END = 0x1000;

/** Loads an ELF kernel and enters it by its PVH note. @throws VexitError */
export function loadPvh(context: BootContext, source: BootSource, elf: ElfFile): BootResult {
  const { memory, placement, options } = context;
  const note = pvhEntry(elf);
  if (note === undefined) {
    throw new VexitError(
      'ERR_KERNEL',
      `${source.name}: has no PVH entry (ELF note XEN_ELFNOTE_PHYS32_ENTRY)`,
      'build Linux with CONFIG_PVH, or let the protocol be found',
    );
  }
  const entry = entryAddress(source, elf, note);
  const cmdline = encodeCommandLine(options.cmdline ?? '', CMDLINE_DEFAULT_LIMIT);
  placement.reserve('the BIOS data area', 0, LOW_END);
  placement.reserve('hvm_start_info', PVH_INFO_ADDRESS, ZERO_PAGE_ADDRESS - PVH_INFO_ADDRESS);
  placement.reserve('the command line', CMDLINE_ADDRESS, CMDLINE_MAX_SIZE);
  placement.reserve('the EBDA and ROM area', EBDA_START, HIGH_RAM_START - EBDA_START);
  loadSegments(context, source, elf);
  const initrd = loadInitrds(context, MMIO_HOLE_START, false);
  writeCommandLine(memory, cmdline);

  const map = e820Map(memory, options.rsdpAddress !== undefined);
  const moduleList = PVH_INFO_ADDRESS + START_INFO_SIZE;
  const memoryMap = moduleList + MODULE_ENTRY_SIZE;
  const bytes = new Uint8Array(
    START_INFO_SIZE + MODULE_ENTRY_SIZE + map.length * MEMMAP_ENTRY_SIZE,
  );
  const view = new DataView(bytes.buffer);
  const put64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, START_MAGIC, true);
  view.setUint32(4, START_INFO_VERSION, true);
  view.setUint32(12, initrd.size > 0 ? 1 : 0, true);
  put64(16, initrd.size > 0 ? moduleList : 0);
  put64(24, CMDLINE_ADDRESS);
  put64(32, options.rsdpAddress ?? 0);
  put64(40, memoryMap);
  view.setUint32(48, map.length, true);
  put64(START_INFO_SIZE, initrd.address);
  put64(START_INFO_SIZE + 8, initrd.size);
  map.forEach(({ address, size, type }, index) => {
    const at = START_INFO_SIZE + MODULE_ENTRY_SIZE + index * MEMMAP_ENTRY_SIZE;
    put64(at, address);
    put64(at + 8, size);
    view.setUint32(at + 16, type, true);
  });
  memory.write(PVH_INFO_ADDRESS, bytes);
  return {
    protocol: 'pvh',
    format: elf.is64 ? 'ELF64, PVH' : 'ELF32, PVH',
    cpu: { mode: 'protected', rip: entry, rbx: PVH_INFO_ADDRESS },
    warnings: context.warnings,
  };
}
