/**
 * struct boot_params, the "zero page": Linux Documentation/arch/x86/zero-page.rst and boot.rst.
 */
import type { GuestAddress, GuestMemory } from '../memory/guest-memory.js';
import { CMDLINE_ADDRESS, ZERO_PAGE_ADDRESS } from '../memory/layout.js';
import { CMDLINE_DEFAULT_LIMIT } from './command-line.js';
import { e820Map } from './e820.js';
import type { InitrdRange } from './initrd.js';
import * as hdr from './setup-header.js';

const BOOT_PARAMS_SIZE = 4096;
const ACPI_RSDP_ADDR = 0x70;
const EXT_RAMDISK_IMAGE = 0xc0;
const EXT_RAMDISK_SIZE = 0xc4;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_ENTRY_SIZE = 20;
/** A boot loader without an assigned number. */
const LOADER_UNDEFINED = 0xff;
const VID_MODE_NORMAL = 0xffff;

/** initrd_addr_max of kernels that have no header to say it. */
export const INITRD_ADDR_MAX_DEFAULT = 0x7fffffff;

/**
 * A header for a vmlinux, which has none: what the kernel itself reads after the 64-bit entry,
 * as if it came from a bzImage of protocol 2.12.
 */
export function defaultSetupHeader(): Uint8Array {
  const raw = new Uint8Array(hdr.HEADER_MIN_END - hdr.SETUP_SECTS);
  const view = new DataView(raw.buffer);
  const at = (offset: number): number => offset - hdr.SETUP_SECTS;
  view.setUint16(at(hdr.BOOT_FLAG), hdr.BOOT_FLAG_MAGIC, true);
  view.setUint32(at(hdr.HEADER_MAGIC), hdr.HDRS, true);
  view.setUint16(at(hdr.VERSION), hdr.VERSION_MIN, true);
  view.setUint32(at(hdr.INITRD_ADDR_MAX), INITRD_ADDR_MAX_DEFAULT, true);
  view.setUint32(at(hdr.KERNEL_ALIGNMENT), 0x1000000, true);
  view.setUint32(at(hdr.CMDLINE_SIZE), CMDLINE_DEFAULT_LIMIT, true);
  return raw;
}

/** What differs from boot to boot. */
export interface BootParams {
  readonly header: Uint8Array;
  /** Where the protected-mode kernel is, 0 for a vmlinux. */
  readonly code32Start: GuestAddress;
  readonly initrd: InitrdRange;
  readonly rsdpAddress: GuestAddress;
}

/** Writes the zero page at ZERO_PAGE_ADDRESS; the command line is the one at CMDLINE_ADDRESS. */
export function writeBootParams(memory: GuestMemory, params: BootParams): void {
  const page = new Uint8Array(BOOT_PARAMS_SIZE);
  const view = new DataView(page.buffer);
  page.set(params.header, hdr.SETUP_SECTS);
  view.setUint16(hdr.VID_MODE, VID_MODE_NORMAL, true);
  view.setUint8(hdr.TYPE_OF_LOADER, LOADER_UNDEFINED);
  view.setUint8(hdr.LOADFLAGS, hdr.LOADED_HIGH);
  view.setUint32(hdr.CODE32_START, params.code32Start, true);
  view.setUint16(hdr.EXT_LOADER_VER, 0, true);
  view.setUint32(hdr.CMD_LINE_PTR, CMDLINE_ADDRESS, true);
  // Fields that the loader owns; a file has no business with them.
  view.setUint32(hdr.HARDWARE_SUBARCH, 0, true);
  view.setBigUint64(hdr.SETUP_DATA, 0n, true);

  const { address, size } = params.initrd;
  view.setUint32(hdr.RAMDISK_IMAGE, address % 2 ** 32, true);
  view.setUint32(hdr.RAMDISK_SIZE, size % 2 ** 32, true);
  view.setUint32(EXT_RAMDISK_IMAGE, Math.floor(address / 2 ** 32), true);
  view.setUint32(EXT_RAMDISK_SIZE, Math.floor(size / 2 ** 32), true);
  view.setBigUint64(ACPI_RSDP_ADDR, BigInt(params.rsdpAddress), true);

  const map = e820Map(memory, params.rsdpAddress !== 0);
  view.setUint8(E820_ENTRIES, map.length);
  map.forEach((entry, index) => {
    const at = E820_TABLE + index * E820_ENTRY_SIZE;
    view.setBigUint64(at, BigInt(entry.address), true);
    view.setBigUint64(at + 8, BigInt(entry.size), true);
    view.setUint32(at + 16, entry.type, true);
  });
  memory.write(ZERO_PAGE_ADDRESS, page);
}
