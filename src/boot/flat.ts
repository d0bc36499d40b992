/** A flat binary that starts in real mode, and a firmware ROM that starts at the reset vector. */
import { FIRMWARE_MAX_SIZE, HIGH_RAM_START, LOW_RAM_END } from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import type { BootResult } from './boot-result.js';
import { readToGuest, type BootSource } from './boot-source.js';
import type { BootContext } from './options.js';

/**
 * Where a flat binary goes unless told: CS 0x1000, IP 0, so that a binary linked at 0 has a whole
 * 64 KiB segment and does not lie on the interrupt vectors or the BIOS data area.
 */
export const FLAT_DEFAULT_ADDRESS = 0x10000;

const ROM_UNIT = 0x10000;
/** The part of a ROM that a PC shows below 1 MiB too. */
const ROM_LOW_SIZE = 0x20000;

/** Loads a flat binary. @throws VexitError ERR_KERNEL */
export function loadFlat(context: BootContext, source: BootSource): BootResult {
  const { memory, options } = context;
  const address = options.flatAddress ?? FLAT_DEFAULT_ADDRESS;
  if (!(Number.isInteger(address) && address >= 0 && address + source.size <= LOW_RAM_END)) {
    throw new VexitError(
      'ERR_KERNEL',
      `${source.name}: ${source.size} bytes at 0x${address.toString(16)} do not fit below ` +
        `0x${LOW_RAM_END.toString(16)}, the end of conventional memory`,
      'load a flat binary lower, or make it smaller',
    );
  }
  readToGuest(source, 0, memory, address, source.size);
  source.checkUnchanged();
  const ip = address % 16;
  return {
    protocol: 'flat',
    format: 'flat binary',
    cpu: { mode: 'real', cs: (address - ip) / 16, rip: ip },
    warnings: context.warnings,
  };
}

/** Reads a firmware image; its last 128 KiB also go below 1 MiB. @throws VexitError ERR_KERNEL */
export function loadFirmware(context: BootContext, source: BootSource): BootResult {
  const { memory } = context;
  if (source.size % ROM_UNIT !== 0 || source.size > FIRMWARE_MAX_SIZE) {
    throw new VexitError(
      'ERR_KERNEL',
      `${source.name}: firmware of ${source.size} bytes is not a multiple of 64 KiB up to ` +
        `${FIRMWARE_MAX_SIZE / 2 ** 20} MiB`,
      'give a ROM image such as bios.bin or OVMF.fd',
    );
  }
  // A copy of its own: the machine maps it for as long as the guest runs.
  const rom = source.bytes(0, source.size).slice();
  source.checkUnchanged();
  const low = rom.subarray(Math.max(0, rom.length - ROM_LOW_SIZE));
  memory.write(HIGH_RAM_START - low.length, low);
  return {
    protocol: 'firmware',
    format: 'firmware ROM',
    cpu: { mode: 'reset', rip: 0xfff0 },
    rom,
    warnings: context.warnings,
  };
}
