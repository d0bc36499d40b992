/** The Multiboot information structure and the modules: Multiboot Specification, section 3.3. */
import type { GuestAddress, GuestMemory } from '../memory/guest-memory.js';
import {
  CMDLINE_ADDRESS,
  HIGH_RAM_START,
  LOW_RAM_END,
  MULTIBOOT_INFO_ADDRESS,
} from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import { openSource, readToGuest } from './boot-source.js';
import { encodeCommandLine } from './command-line.js';
import { e820Map } from './e820.js';
import type { BootContext, BootImage, BootModule } from './options.js';
import { memoryHint } from './placement.js';

/** flags of the information structure: the fields that are valid. */
const INFO_MEMORY = 0x1;
const INFO_CMDLINE = 0x4;
const INFO_MODS = 0x8;
const INFO_MEM_MAP = 0x40;
const INFO_BOOT_LOADER_NAME = 0x200;

const INFO_SIZE = 116;
const MODULE_SIZE = 16;
const MMAP_ENTRY_SIZE = 24;
const AREA_SIZE = CMDLINE_ADDRESS - MULTIBOOT_INFO_ADDRESS;
const BOOT_LOADER_NAME = 'vexit';
const PAGE = 4096;
const MODULES_MAX = 256;
const MODULE_STRING_LIMIT = 1024;

/** A module in guest memory. */
export interface LoadedModule {
  readonly start: GuestAddress;
  readonly end: GuestAddress;
  readonly string: Uint8Array;
}

const nameOf = (image: BootImage): string => (typeof image === 'string' ? image : image.name);

/**
 * Loads the initrds and modules page-aligned, each above `floor` where there is room.
 * @throws VexitError ERR_INITRD, ERR_CMDLINE
 */
export function loadModules(
  { memory, placement, options }: BootContext,
  floor: GuestAddress,
): LoadedModule[] {
  const modules: BootModule[] = [
    ...(options.initrds ?? []).map((image) => ({ image })),
    ...(options.modules ?? []),
  ];
  if (modules.length > MODULES_MAX) {
    throw new VexitError('ERR_INITRD', `${modules.length} modules, at most ${MODULES_MAX} fit`);
  }
  let above = floor;
  return modules.map(({ image, cmdline }) => {
    const string = encodeCommandLine(cmdline ?? nameOf(image), MODULE_STRING_LIMIT);
    const source = openSource(image, 'ERR_INITRD');
    try {
      const start = placement.placeLow('a module', source.size, PAGE, above);
      if (start === undefined || start + source.size > memory.lowEnd) {
        throw new VexitError(
          'ERR_INITRD',
          `${source.name}: the module needs ${Math.ceil(source.size / 2 ** 20)} MiB below ` +
            'the memory hole, which are not free',
          memoryHint(placement.endBelow(memory.lowEnd) + source.size),
        );
      }
      readToGuest(source, 0, memory, start, source.size);
      source.checkUnchanged();
      above = start;
      return { start, end: start + source.size, string };
    } finally {
      source.close();
    }
  });
}

/** Writes the structure, the module list, the memory map and the strings. @throws VexitError */
export function writeMultibootInfo(
  memory: GuestMemory,
  modules: readonly LoadedModule[],
  acpi: boolean,
): void {
  const map = e820Map(memory, acpi);
  const name = new TextEncoder().encode(BOOT_LOADER_NAME);
  const modulesAt = INFO_SIZE;
  const mapAt = modulesAt + modules.length * MODULE_SIZE;
  const nameAt = mapAt + map.length * MMAP_ENTRY_SIZE;
  const stringsAt = nameAt + name.length + 1;
  const size = modules.reduce((sum, { string }) => sum + string.length + 1, stringsAt);
  if (size > AREA_SIZE) {
    throw new VexitError(
      'ERR_CMDLINE',
      `the strings of the multiboot modules take ${size} bytes, there is room for ${AREA_SIZE}`,
      'shorten them',
    );
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const put = (at: number, value: number): void => view.setUint32(at, value, true);
  const address = (at: number): GuestAddress => MULTIBOOT_INFO_ADDRESS + at;
  put(0, INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MEM_MAP | INFO_BOOT_LOADER_NAME);
  put(4, LOW_RAM_END / 1024);
  put(8, Math.floor((memory.lowEnd - HIGH_RAM_START) / 1024));
  put(16, CMDLINE_ADDRESS);
  put(20, modules.length);
  put(24, address(modulesAt));
  put(44, map.length * MMAP_ENTRY_SIZE);
  put(48, address(mapAt));
  put(64, address(nameAt));
  bytes.set(name, nameAt);

  let stringAt = stringsAt;
  modules.forEach(({ start, end, string }, index) => {
    const at = modulesAt + index * MODULE_SIZE;
    put(at, start);
    put(at + 4, end);
    put(at + 8, address(stringAt));
    bytes.set(string, stringAt);
    stringAt += string.length + 1;
  });
  map.forEach((entry, index) => {
    const at = mapAt + index * MMAP_ENTRY_SIZE;
    // The size field does not count itself.
    put(at, MMAP_ENTRY_SIZE - 4);
    view.setBigUint64(at + 4, BigInt(entry.address), true);
    view.setBigUint64(at + 12, BigInt(entry.size), true);
    put(at + 20, entry.type);
  });
  memory.write(MULTIBOOT_INFO_ADDRESS, bytes);
}
