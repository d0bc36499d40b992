/** What a virtio-blk device is made from: plain data, the same in every thread. */
import { SECTOR } from '../../../block/backend.js';
import type { DiskCache } from '../../../block/disk-option.js';
import type { RateLimit } from '../token-bucket.js';
import { ID_BYTES } from './block-layout.js';

/** Blocks as the guest should see them; bytes. */
export interface BlockTopology {
  /** A power of two multiple of the block size. */
  readonly physicalBlockSize?: number;
  /** Distance of the first aligned block from the beginning. */
  readonly alignmentOffset?: number;
  readonly minimumIo?: number;
  readonly optimalIo?: number;
  /** Discards should begin and end at multiples of this. */
  readonly discardAlignment?: number;
}

/** Limits over all queues; none where there is none. */
export interface DiskRateLimits {
  /** Bytes of reads and writes. */
  readonly byteLimit?: RateLimit;
  /** Requests other than GET_ID. */
  readonly operationLimit?: RateLimit;
}

/** Settings of a virtio-blk device. */
export interface BlockDeviceOptions extends DiskRateLimits {
  /** For log lines; "disk" unless given. */
  readonly name?: string;
  /** Bytes at power-on, a multiple of 512. */
  readonly capacity: number;
  readonly readOnly?: boolean;
  /** Up to 20 characters of ASCII, for GET_ID. */
  readonly serial?: string;
  /** `writeback` unless given. */
  readonly cache?: DiskCache;
  /** 1 unless given, at most 64. */
  readonly queues?: number;
  /** Several threads may serve queues, each with a backend of its own; see `BlockBackend`. */
  readonly concurrent?: boolean;
  /** Entries of a queue: a power of two from 4 to 512; 256 unless given. */
  readonly queueSize?: number;
  /** Requests in flight in a thread; 128 unless given. */
  readonly depth?: number;
  /** A power of two from 512; 512 unless given. */
  readonly blockSize?: number;
  /** The largest segment a driver should send; any unless given. */
  readonly sizeMax?: number;
  readonly topology?: BlockTopology;
  /** Discard and write zeroes are offered unless this is false. */
  readonly discard?: boolean;
}

const powerOfTwo = (value: number, from: number, to: number): boolean =>
  value >= from && value <= to && Number.isInteger(Math.log2(value));

/** @throws RangeError for what no device can be */
export function checkBlockOptions(options: BlockDeviceOptions): void {
  const { capacity, serial = '', queues = 1, queueSize = 256, depth = 128 } = options;
  const { blockSize = SECTOR, topology = {}, sizeMax = 4096 } = options;
  const physical = topology.physicalBlockSize ?? blockSize;
  const checks: [boolean, string][] = [
    [Number.isSafeInteger(capacity) && capacity >= 0 && capacity % SECTOR === 0, 'capacity'],
    [/^[\x20-\x7e]*$/.test(serial) && serial.length <= ID_BYTES, 'serial'],
    [Number.isInteger(queues) && queues >= 1 && queues <= 64, 'queues'],
    [powerOfTwo(queueSize, 4, 512), 'queueSize'],
    [Number.isInteger(depth) && depth >= 1 && depth <= 1024, 'depth'],
    [powerOfTwo(blockSize, SECTOR, 2 ** 20), 'blockSize'],
    [powerOfTwo(physical, blockSize, blockSize * 2 ** 15), 'physicalBlockSize'],
    [Number.isInteger(sizeMax) && sizeMax >= 4096 && sizeMax < 2 ** 32, 'sizeMax'],
  ];
  for (const [right, name] of checks) {
    if (!right) throw new RangeError(`a block device with a wrong ${name}`);
  }
}
