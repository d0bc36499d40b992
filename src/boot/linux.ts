/**
 * Linux, entered by the 64-bit boot protocol (boot.rst, "64-bit Boot Protocol"): a vmlinux at its
 * physical addresses, or a bzImage whose payload is such a vmlinux. When the payload cannot be
 * unpacked here, the decompressor of the image runs in the guest instead.
 */
import type { GuestAddress } from '../memory/guest-memory.js';
import {
  BOOT_STACK_ADDRESS,
  HIGH_RAM_START,
  MMIO_HOLE_END,
  ZERO_PAGE_ADDRESS,
} from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import { INITRD_ADDR_MAX_DEFAULT, defaultSetupHeader, writeBootParams } from './boot-params.js';
import type { BootResult } from './boot-result.js';
import { openSource, readToGuest, type BootSource } from './boot-source.js';
import { CMDLINE_DEFAULT_LIMIT, encodeCommandLine, writeCommandLine } from './command-line.js';
import { entryAddress, loadSegments } from './elf-load.js';
import { isElf, readElf, type ElfFile } from './elf.js';
import { loadInitrds } from './initrd.js';
import { writeLongModeTables } from './long-mode.js';
import type { BootContext } from './options.js';
import { readSetupHeader, type SetupHeader } from './setup-header.js';
import { unpackPayload } from './unpack/unpack.js';

/** Offset of the 64-bit entry in the protected-mode kernel. */
const ENTRY_64_OFFSET = 0x200;
/** A vmlinux is bigger than what it loads; small guests may still unpack one of this size. */
const UNPACK_LIMIT_MIN = 2 ** 27;

/** What the kernel allows its loader, from the header or the defaults. */
interface KernelLimits {
  readonly header: Uint8Array;
  readonly code32Start: GuestAddress;
  readonly cmdline: Uint8Array;
  /** First address the initrd may not reach. */
  readonly initrdLimit: GuestAddress;
  readonly initrdAnywhere: boolean;
}

function reserveBootStructures(context: BootContext): void {
  context.placement.reserve('the boot structures below 1 MiB', 0, HIGH_RAM_START);
}

/** What is the same for every Linux once the kernel itself is in memory. */
function finish(
  context: BootContext,
  limits: KernelLimits,
  format: string,
  entry: GuestAddress,
): BootResult {
  const { memory, options } = context;
  const initrd = loadInitrds(context, limits.initrdLimit, limits.initrdAnywhere);
  writeCommandLine(memory, limits.cmdline);
  writeBootParams(memory, {
    header: limits.header,
    code32Start: limits.code32Start,
    initrd,
    rsdpAddress: options.rsdpAddress ?? 0,
  });
  writeLongModeTables(memory);
  return {
    protocol: 'linux',
    format,
    cpu: { mode: 'long', rip: entry, rsp: BOOT_STACK_ADDRESS, rsi: ZERO_PAGE_ADDRESS },
    warnings: context.warnings,
  };
}

/** Loads an uncompressed kernel. @throws VexitError */
export function loadVmlinux(context: BootContext, source: BootSource, elf: ElfFile): BootResult {
  if (!elf.is64) {
    throw new VexitError(
      'ERR_KERNEL',
      `${source.name}: is a 32-bit ELF file, the Linux boot protocol here is the 64-bit one`,
      'use an x86_64 kernel',
    );
  }
  const cmdline = encodeCommandLine(context.options.cmdline ?? '', CMDLINE_DEFAULT_LIMIT);
  const entry = entryAddress(source, elf, elf.entry);
  reserveBootStructures(context);
  loadSegments(context, source, elf);
  const limits: KernelLimits = {
    header: defaultSetupHeader(),
    code32Start: 0,
    cmdline,
    initrdLimit: INITRD_ADDR_MAX_DEFAULT + 1,
    initrdAnywhere: true,
  };
  return finish(context, limits, 'ELF vmlinux', entry);
}

/** Loads a bzImage. @throws VexitError */
export async function loadBzImage(context: BootContext, source: BootSource): Promise<BootResult> {
  const header = readSetupHeader(source);
  const { memory, placement, options, warnings } = context;
  const above = header.canBeLoadedAbove4G;
  const limits: KernelLimits = {
    header: header.raw,
    code32Start: header.prefAddress,
    cmdline: encodeCommandLine(options.cmdline ?? '', header.cmdlineSize),
    initrdLimit: Math.min(header.initrdAddrMax + 1, MMIO_HOLE_END),
    initrdAnywhere: above,
  };
  reserveBootStructures(context);
  const unpacked = await unpackKernel(context, source, header);
  if (unpacked !== undefined) {
    const elf = readElf(unpacked);
    const entry = entryAddress(unpacked, elf, elf.entry);
    loadSegments(context, unpacked, elf);
    placement.reserve('the kernel', header.prefAddress, header.initSize);
    return finish(context, { ...limits, code32Start: 0 }, 'bzImage', entry);
  }
  placement.claim(`${source.name}: the kernel`, header.prefAddress, header.initSize);
  readToGuest(source, header.kernelOffset, memory, header.prefAddress, header.kernelSize);
  source.checkUnchanged();
  warnings.push(`${source.name}: the kernel unpacks itself, which takes longer`);
  const entry = header.prefAddress + ENTRY_64_OFFSET;
  return finish(context, limits, 'bzImage, unpacked by the guest', entry);
}

/** The vmlinux in the payload, or undefined (and a warning) when it cannot be had. */
async function unpackKernel(
  { memory, warnings }: BootContext,
  source: BootSource,
  header: SetupHeader,
): Promise<BootSource | undefined> {
  const payload = source.bytes(header.payloadOffset, header.payloadLength);
  source.checkUnchanged();
  const result = await unpackPayload(payload, Math.max(memory.size, UNPACK_LIMIT_MIN));
  if (typeof result === 'string') {
    warnings.push(`${source.name}: ${result}`);
    return undefined;
  }
  if (!isElf(result)) {
    warnings.push(`${source.name}: the payload is not an ELF file`);
    return undefined;
  }
  return openSource({ name: `${source.name} (unpacked)`, bytes: result }, 'ERR_KERNEL');
}
