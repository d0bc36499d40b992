/** Names and numbers of virtio-blk (virtio 1.2, 5.2), and the layout of the device's state. */
import { TokenBucket } from '../token-bucket.js';

/** Feature bits (5.2.3). */
export enum BlockFeature {
  SizeMax = 1,
  SegMax = 2,
  ReadOnly = 5,
  BlockSize = 6,
  Flush = 9,
  Topology = 10,
  ConfigWce = 11,
  Multiqueue = 12,
  Discard = 13,
  WriteZeroes = 14,
}

/** Request types (5.2.6). */
export enum BlockRequestType {
  In = 0,
  Out = 1,
  Flush = 4,
  GetId = 8,
  Discard = 11,
  WriteZeroes = 13,
}

/** Values of the status byte (5.2.6). */
export enum BlockStatus {
  Ok = 0,
  IoError = 1,
  Unsupported = 2,
}

/** `struct virtio_blk_req`: type, reserved, sector. */
export const HEADER_BYTES = 16;
/** VIRTIO_BLK_T_GET_ID. */
export const ID_BYTES = 20;
/** `struct virtio_blk_discard_write_zeroes`: sector, num_sectors, flags. */
export const RANGE_BYTES = 16;
/** Its only flag, for write zeroes. */
export const FLAG_UNMAP = 1;

/** Offsets in `struct virtio_blk_config` (5.2.4). */
export enum BlockConfig {
  Capacity = 0,
  SizeMax = 8,
  SegMax = 12,
  BlockSize = 20,
  PhysicalBlockExponent = 24,
  AlignmentOffset = 25,
  MinimumIo = 26,
  OptimalIo = 28,
  Writeback = 32,
  QueueCount = 34,
  MaxDiscardSectors = 36,
  MaxDiscardSegments = 40,
  DiscardAlignment = 44,
  MaxWriteZeroesSectors = 48,
  MaxWriteZeroesSegments = 52,
  WriteZeroesMayUnmap = 56,
}
/** Up to and with `unused1`; what follows belongs to features that are not offered. */
export const CONFIG_BYTES = 60;

/** Discard and write zeroes: ranges in a request, and sectors in a range (2 GiB). */
export const MAX_RANGES = 16;
export const MAX_RANGE_SECTORS = 2 ** 22;

/** Words and numbers behind the configuration space in the state. */
export enum StateWord {
  /** The configuration space holds what it should. */
  Configured = 16,
  /** The driver has written `writeback`. */
  WritebackSet,
  /** Lock of the rate limits, which several threads may share. */
  LimitLock,
}
export const BYTES_BUCKET = 80;
export const OPERATIONS_BUCKET = BYTES_BUCKET + TokenBucket.STATE_BYTES;

/** Counters, 64-bit floating point numbers; each queue has its own, and one thread writes them. */
export enum Counter {
  Reads,
  ReadBytes,
  Writes,
  WriteBytes,
  Flushes,
  Discards,
  WriteZeroes,
  /** Requests that ended with VIRTIO_BLK_S_IOERR. */
  Errors,
  /** Times a request had to wait for a rate limit. */
  Throttled,
  InFlight,
  Count,
}
/** The capacity in bytes as one number: the field of the configuration space can be read in halves. */
export const CAPACITY = OPERATIONS_BUCKET + TokenBucket.STATE_BYTES;
export const COUNTERS = CAPACITY + 8;

/** The words of the state, as indexes of {@link StateWord}. */
export function stateWords(state: Uint8Array<SharedArrayBuffer>): Int32Array<SharedArrayBuffer> {
  return new Int32Array(state.buffer, state.byteOffset, BYTES_BUCKET / 4);
}

/** Bytes of state for a number of queues. */
export function blockStateBytes(queues: number): number {
  return COUNTERS + queues * Counter.Count * 8;
}
