/**
 * The setup header of a bzImage: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel
 * Header" and "Details of Header Fields". Offsets are those of the file, and of boot_params.
 */
import { HIGH_RAM_START, MMIO_HOLE_START } from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import type { BootSource } from './boot-source.js';

/** Offsets of header fields. */
export const SETUP_SECTS = 0x1f1;
export const SYSSIZE = 0x1f4;
export const VID_MODE = 0x1fa;
export const BOOT_FLAG = 0x1fe;
export const JUMP_LENGTH = 0x201;
export const HEADER_MAGIC = 0x202;
export const VERSION = 0x206;
export const TYPE_OF_LOADER = 0x210;
export const LOADFLAGS = 0x211;
export const CODE32_START = 0x214;
export const RAMDISK_IMAGE = 0x218;
export const RAMDISK_SIZE = 0x21c;
export const EXT_LOADER_VER = 0x226;
export const CMD_LINE_PTR = 0x228;
export const INITRD_ADDR_MAX = 0x22c;
export const KERNEL_ALIGNMENT = 0x230;
export const RELOCATABLE_KERNEL = 0x234;
export const XLOADFLAGS = 0x236;
export const CMDLINE_SIZE = 0x238;
export const HARDWARE_SUBARCH = 0x23c;
export const PAYLOAD_OFFSET = 0x248;
export const PAYLOAD_LENGTH = 0x24c;
export const SETUP_DATA = 0x250;
export const PREF_ADDRESS = 0x258;
export const INIT_SIZE = 0x260;

export const BOOT_FLAG_MAGIC = 0xaa55;
/** "HdrS" */
export const HDRS = 0x53726448;
/** Protocol 2.12 (Linux 3.8): the first with xloadflags and the 64-bit entry. */
export const VERSION_MIN = 0x020c;
/** The last header field of protocol 2.12 ends here. */
export const HEADER_MIN_END = 0x264;
/** boot_params has other things from here on (edd_mbr_sig_buffer). */
export const HEADER_MAX_END = 0x290;
export const LOADED_HIGH = 0x01;
const XLF_KERNEL_64 = 0x1;
const XLF_CAN_BE_LOADED_ABOVE_4G = 0x2;
/** cmdline_size of a header that leaves it 0: the limit of protocol 2.05. */
const OLD_CMDLINE_SIZE = 255;
const SECTOR = 512;
const PAGE = 4096;

/** A header whose fields are consistent with each other and with the file. */
export interface SetupHeader {
  /** The header as it goes into boot_params at SETUP_SECTS. */
  readonly raw: Uint8Array;
  /** File offset and size of the protected-mode kernel. */
  readonly kernelOffset: number;
  readonly kernelSize: number;
  /** File offset and size of the compressed payload. */
  readonly payloadOffset: number;
  readonly payloadLength: number;
  readonly prefAddress: number;
  readonly initSize: number;
  readonly cmdlineSize: number;
  readonly initrdAddrMax: number;
  readonly canBeLoadedAbove4G: boolean;
}

/** True when the first bytes of a file are those of a Linux boot image of any version. */
export function isBzImage(head: Uint8Array): boolean {
  if (head.length < VERSION + 2) return false;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  return (
    view.getUint16(BOOT_FLAG, true) === BOOT_FLAG_MAGIC &&
    view.getUint32(HEADER_MAGIC, true) === HDRS
  );
}

const DAMAGED = 'the file is damaged: copy or build it again';

/**
 * Reads and checks the setup header.
 * @throws VexitError ERR_KERNEL with the field that is wrong
 */
export function readSetupHeader(source: BootSource): SetupHeader {
  const bad = (what: string, hint = DAMAGED): VexitError =>
    new VexitError('ERR_KERNEL', `${source.name}: ${what}`, hint);
  const head = source.bytes(0, Math.min(source.size, HEADER_MAX_END));
  if (!isBzImage(head)) {
    throw bad('is not a bzImage (no boot flag 0xaa55 or no "HdrS")', 'give a bzImage or a vmlinux');
  }
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const version = view.getUint16(VERSION, true);
  if (version < VERSION_MIN) {
    const minor = String(version % 256).padStart(2, '0');
    throw bad(
      `has boot protocol ${Math.floor(version / 256)}.${minor}, at least 2.12 is needed`,
      'use a kernel of Linux 3.8 or later',
    );
  }
  const end = HEADER_MAGIC + view.getUint8(JUMP_LENGTH);
  if (end < HEADER_MIN_END || end > HEADER_MAX_END || end > head.length) {
    throw bad(`the setup header ends at 0x${end.toString(16)}, which is no end of one`);
  }
  const xloadflags = view.getUint16(XLOADFLAGS, true);
  if ((xloadflags & XLF_KERNEL_64) === 0) {
    throw bad('is a 32-bit kernel (XLF_KERNEL_64 is not set)', 'use an x86_64 kernel');
  }
  if ((view.getUint8(LOADFLAGS) & LOADED_HIGH) === 0) {
    throw bad('is a zImage, loaded below 1 MiB', 'use a bzImage');
  }
  const setupSects = view.getUint8(SETUP_SECTS);
  const kernelOffset = ((setupSects === 0 ? 4 : setupSects) + 1) * SECTOR;
  const sysSize = view.getUint32(SYSSIZE, true) * 16;
  // syssize counts whole paragraphs: the file may end inside the last one.
  const kernelSize = Math.min(sysSize, source.size - kernelOffset);
  if (sysSize === 0 || !(kernelSize > sysSize - 16)) {
    throw bad(`is cut short: the header says ${kernelOffset + sysSize} bytes`);
  }
  const payloadOffset = view.getUint32(PAYLOAD_OFFSET, true);
  const payloadLength = view.getUint32(PAYLOAD_LENGTH, true);
  if (payloadOffset + payloadLength > kernelSize) {
    throw bad('the payload that the header names lies outside the file');
  }
  const alignment = view.getUint32(KERNEL_ALIGNMENT, true);
  const relocatable = view.getUint8(RELOCATABLE_KERNEL);
  if (relocatable > 1) throw bad(`relocatable_kernel is ${relocatable}`);
  if (alignment < PAGE || !Number.isInteger(Math.log2(alignment))) {
    throw bad(`kernel_alignment is 0x${alignment.toString(16)}, not a power of two of pages`);
  }
  const prefAddress = Number(view.getBigUint64(PREF_ADDRESS, true));
  const aligned = prefAddress % (relocatable === 1 ? alignment : PAGE) === 0;
  if (!aligned || !(prefAddress >= HIGH_RAM_START && prefAddress < MMIO_HOLE_START)) {
    throw bad(`pref_address is 0x${prefAddress.toString(16)}, where no kernel can be loaded`);
  }
  const initSize = view.getUint32(INIT_SIZE, true);
  const cmdlineSize = view.getUint32(CMDLINE_SIZE, true);
  return {
    raw: head.slice(SETUP_SECTS, end),
    kernelOffset,
    kernelSize,
    payloadOffset: kernelOffset + payloadOffset,
    payloadLength,
    prefAddress,
    initSize: Math.max(initSize, kernelSize),
    cmdlineSize: cmdlineSize === 0 ? OLD_CMDLINE_SIZE : cmdlineSize,
    initrdAddrMax: view.getUint32(INITRD_ADDR_MAX, true),
    canBeLoadedAbove4G: (xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) !== 0,
  };
}
