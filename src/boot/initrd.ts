/**
 * Initial RAM disks: read straight into guest memory, one behind the other. The kernel takes
 * concatenated cpio archives when each begins at a multiple of 4 (Documentation/driver-api/
 * early-userspace/buffer-format.rst).
 */
import type { GuestAddress } from '../memory/guest-memory.js';
import { MMIO_HOLE_START } from '../memory/layout.js';
import { VexitError } from '../util/errors.js';
import { openSource, readToGuest, type BootSource } from './boot-source.js';
import type { BootContext } from './options.js';

const PAGE = 4096;
const MIB = 2 ** 20;
/** No hint asks for more memory than this. */
const MEMORY_SENSIBLE = 2 ** 40;

/** Where the RAM disk is; both 0 when there is none. */
export interface InitrdRange {
  readonly address: GuestAddress;
  readonly size: number;
}

const alignUp4 = (value: number): number => Math.ceil(value / 4) * 4;

/**
 * Loads the initrds of the options as high as possible.
 * @param limit the RAM disk ends at or below this, as long as RAM there is enough
 * @param aboveLimit whether the kernel takes it anywhere when there is no room below the limit
 * @throws VexitError ERR_INITRD, ERR_MEMORY
 */
export function loadInitrds(
  { memory, placement, options }: BootContext,
  limit: GuestAddress,
  aboveLimit: boolean,
): InitrdRange {
  const images = options.initrds ?? [];
  if (images.length === 0) return { address: 0, size: 0 };
  const sources: BootSource[] = [];
  try {
    let size = 0;
    for (const image of images) {
      const source = openSource(image, 'ERR_INITRD');
      sources.push(source);
      size = alignUp4(size) + source.size;
    }
    const address =
      placement.placeHigh('the initrd', size, PAGE, limit) ??
      (aboveLimit ? placement.placeHigh('the initrd', size, PAGE, Infinity) : undefined);
    if (address === undefined) {
      const end = placement.endBelow(MMIO_HOLE_START) + size;
      throw doesNotFit(size, memory.size, limit, aboveLimit, end);
    }
    let at = address;
    for (const source of sources) {
      const start = alignUp4(at);
      memory.fill(at, start - at);
      readToGuest(source, 0, memory, start, source.size);
      source.checkUnchanged();
      at = start + source.size;
    }
    return { address, size };
  } finally {
    for (const source of sources) source.close();
  }
}

function doesNotFit(
  size: number,
  memorySize: number,
  limit: number,
  aboveLimit: boolean,
  end: number,
): VexitError {
  const mib = Math.ceil(size / MIB);
  if (!aboveLimit && size > limit - 16 * MIB) {
    return new VexitError(
      'ERR_INITRD',
      `the initrd needs ${mib} MiB, this kernel takes it only below ${Math.floor(limit / MIB)} MiB`,
      'make the initrd smaller',
    );
  }
  const have = Math.floor(memorySize / MIB);
  const enough = end <= MMIO_HOLE_START ? Math.max(Math.ceil(end / MIB), have + 1) : have + mib;
  return new VexitError(
    'ERR_INITRD',
    `the initrd needs ${mib} MiB, which the guest's memory of ${have} MiB does not have free`,
    enough <= MEMORY_SENSIBLE / MIB
      ? `give the guest more memory: at least --memory ${enough}M`
      : 'make the initrd smaller',
  );
}
