/** Puts a kernel, a firmware or a flat binary into guest memory, by whichever protocol it speaks. */
import type { GuestMemory } from '../memory/guest-memory.js';
import { HIGH_RAM_START } from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import type { BootProtocol, BootResult } from './boot-result.js';
import { openSource, type BootSource } from './boot-source.js';
import { detectProtocol } from './detect.js';
import type { BootContext, BootOptions } from './options.js';
import { Placement } from './placement.js';

export type { BootImage, BootModule, BootOptions } from './options.js';

/** Less than this holds no kernel and no firmware. */
const MEMORY_MIN = 2 * HIGH_RAM_START;

/** What the options leave to choose: which image, and the protocol if it is told. */
function chooseImage(options: BootOptions): { source: BootSource; protocol?: BootProtocol } {
  const { kernel, firmware, protocol } = options;
  if (kernel !== undefined && firmware !== undefined) {
    throw new VexitError(
      'ERR_KERNEL',
      'both a kernel and a firmware are given',
      'give one of them',
    );
  }
  if (firmware !== undefined) {
    if (protocol !== undefined && protocol !== 'firmware') {
      throw new VexitError('ERR_KERNEL', `a firmware does not boot by the ${protocol} protocol`);
    }
    return { source: openSource(firmware, 'ERR_KERNEL'), protocol: 'firmware' };
  }
  if (kernel === undefined) {
    throw new VexitError('ERR_KERNEL', 'there is nothing to boot', 'give a kernel or a firmware');
  }
  const source = openSource(kernel, 'ERR_KERNEL');
  return protocol === undefined ? { source } : { source, protocol };
}

/**
 * Loads what the options name into guest memory and says how to start the boot processor.
 * @throws VexitError ERR_KERNEL, ERR_INITRD, ERR_CMDLINE, ERR_MEMORY
 */
export async function loadBoot(memory: GuestMemory, options: BootOptions): Promise<BootResult> {
  if (!(memory.lowEnd >= MEMORY_MIN)) {
    throw new VexitError(
      'ERR_MEMORY',
      `the guest's memory of ${memory.size} bytes is too small to boot anything`,
      'give the guest more with --memory',
    );
  }
  const { source, protocol } = chooseImage(options);
  const context: BootContext = {
    memory,
    placement: new Placement(memory),
    options,
    warnings: [],
  };
  try {
    return await load(context, source, protocol);
  } finally {
    source.close();
  }
}

async function load(
  context: BootContext,
  source: BootSource,
  forced: BootProtocol | undefined,
): Promise<BootResult> {
  const image = detectProtocol(source, forced);
  if (image.protocol !== 'multiboot' && (context.options.modules ?? []).length > 0) {
    throw new VexitError(
      'ERR_INITRD',
      `${source.name} takes no modules: it is not a multiboot kernel`,
      'give RAM disks as initrds',
    );
  }
  if (image.protocol === 'firmware' || image.protocol === 'flat') refuseInputs(context, source);
  switch (image.protocol) {
    case 'linux': {
      const linux = await import('./linux.js');
      if (image.elf !== undefined) return linux.loadVmlinux(context, source, image.elf);
      return linux.loadBzImage(context, source);
    }
    case 'pvh':
      return (await import('./pvh.js')).loadPvh(context, source, image.elf);
    case 'multiboot':
      return (await import('./multiboot.js')).loadMultiboot(context, source);
    case 'firmware':
      return (await import('./flat.js')).loadFirmware(context, source);
    case 'flat':
      return (await import('./flat.js')).loadFlat(context, source);
  }
}

/** Firmware and flat binaries have no way to be told of an initrd or a command line. */
function refuseInputs({ options, warnings }: BootContext, source: BootSource): void {
  if ((options.initrds ?? []).length > 0) {
    throw new VexitError(
      'ERR_INITRD',
      `${source.name} takes no initrd: it is no kernel`,
      'give the guest its files on a disk',
    );
  }
  if ((options.cmdline ?? '') !== '') {
    warnings.push(`${source.name}: takes no command line; the one given is not used`);
  }
}
