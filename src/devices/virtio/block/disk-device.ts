/** The options of a disk's device, from what was asked for and what was opened. */
import type { DiskOptions } from '../../../block/disk-option.js';
import type { OpenDisk } from '../../../block/open-disk.js';
import type { RateLimit } from '../token-bucket.js';
import type { BlockDeviceOptions, DiskRateLimits } from './block-options.js';

/** A tenth of a second's worth can be had at once, unless it is said otherwise. */
function limit(perSecond: number, burst = Math.max(1, perSecond / 10)): RateLimit {
  return { perSecond, burst };
}

/** Limits of a disk as people ask for them. */
export type DiskLimits = Pick<
  DiskOptions,
  'bytesPerSecond' | 'bytesBurst' | 'operationsPerSecond' | 'operationsBurst'
>;

/** The same, as the device has them. */
export function diskRateLimits(limits: DiskLimits): DiskRateLimits {
  const { bytesPerSecond, bytesBurst, operationsPerSecond, operationsBurst } = limits;
  return {
    ...(bytesPerSecond === undefined ? {} : { byteLimit: limit(bytesPerSecond, bytesBurst) }),
    ...(operationsPerSecond === undefined
      ? {}
      : { operationLimit: limit(operationsPerSecond, operationsBurst) }),
  };
}

/** Plain data for `new BlockDevice`, the same in every thread. */
export function diskDeviceOptions(
  disk: DiskOptions,
  opened: Pick<OpenDisk, 'capacity' | 'blockSize' | 'physicalBlockSize' | 'concurrent'>,
): BlockDeviceOptions {
  return {
    name: `disk ${disk.path}`,
    capacity: opened.capacity,
    readOnly: disk.readOnly ?? false,
    cache: disk.cache ?? 'writeback',
    queues: disk.queues ?? 1,
    concurrent: opened.concurrent,
    blockSize: opened.blockSize,
    topology: { physicalBlockSize: opened.physicalBlockSize },
    discard: disk.discard ?? true,
    ...(disk.serial === undefined ? {} : { serial: disk.serial }),
    ...diskRateLimits(disk),
  };
}
