/** The configuration space and the features of virtio-blk (virtio 1.2, 5.2.3 and 5.2.4). */
import { SECTOR } from '../../../block/backend.js';
import { writeLittleEndian } from '../device.js';
import {
  BlockConfig,
  BlockFeature,
  CAPACITY,
  MAX_RANGES,
  MAX_RANGE_SECTORS,
  StateWord,
  stateWords,
} from './block-layout.js';
import type { BlockDeviceOptions } from './block-options.js';

/** Feature bits a device with these options offers. */
export function offeredFeatures(options: BlockDeviceOptions): BlockFeature[] {
  const features = [BlockFeature.SegMax, BlockFeature.BlockSize, BlockFeature.Topology];
  if (options.sizeMax !== undefined) features.push(BlockFeature.SizeMax);
  // Not offering FLUSH is the only way to be unsafe that conforms (5.2.6.2).
  if (options.cache !== 'unsafe') features.push(BlockFeature.Flush, BlockFeature.ConfigWce);
  if ((options.queues ?? 1) > 1) features.push(BlockFeature.Multiqueue);
  if (options.readOnly === true) features.push(BlockFeature.ReadOnly);
  else if (options.discard !== false) {
    features.push(BlockFeature.Discard, BlockFeature.WriteZeroes);
  }
  return features;
}

/** Bytes of the disk. */
export function readCapacity(state: Uint8Array<SharedArrayBuffer>): number {
  return new Float64Array(state.buffer, state.byteOffset + CAPACITY, 1)[0]!;
}

/** Sets the capacity, for the driver and for the checks of requests. */
export function writeCapacity(state: Uint8Array<SharedArrayBuffer>, bytes: number): void {
  new Float64Array(state.buffer, state.byteOffset + CAPACITY, 1)[0] = bytes;
  writeLittleEndian(state, BlockConfig.Capacity, 8, bytes / SECTOR);
}

/** Fills the configuration space of a fresh device; one that has been restored keeps its own. */
export function initializeConfig(
  state: Uint8Array<SharedArrayBuffer>,
  options: BlockDeviceOptions,
  segMax: number,
): void {
  const words = stateWords(state);
  if (Atomics.load(words, StateWord.Configured) !== 0) return;
  const { blockSize = SECTOR, topology = {} } = options;
  const physical = topology.physicalBlockSize ?? blockSize;
  const put = (field: BlockConfig, size: number, value: number): void =>
    writeLittleEndian(state, field, size, value);
  writeCapacity(state, options.capacity);
  put(BlockConfig.SizeMax, 4, options.sizeMax ?? 0);
  put(BlockConfig.SegMax, 4, segMax);
  put(BlockConfig.BlockSize, 4, blockSize);
  put(BlockConfig.PhysicalBlockExponent, 1, Math.log2(physical / blockSize));
  put(BlockConfig.AlignmentOffset, 1, (topology.alignmentOffset ?? 0) / blockSize);
  put(BlockConfig.MinimumIo, 2, Math.min(0xffff, (topology.minimumIo ?? physical) / blockSize));
  put(BlockConfig.OptimalIo, 4, (topology.optimalIo ?? 0) / blockSize);
  put(BlockConfig.Writeback, 1, options.cache === 'writethrough' ? 0 : 1);
  put(BlockConfig.QueueCount, 2, options.queues ?? 1);
  if (options.readOnly !== true && options.discard !== false) {
    const alignment = topology.discardAlignment ?? physical;
    put(BlockConfig.MaxDiscardSectors, 4, MAX_RANGE_SECTORS);
    put(BlockConfig.MaxDiscardSegments, 4, MAX_RANGES);
    put(BlockConfig.DiscardAlignment, 4, alignment / SECTOR);
    put(BlockConfig.MaxWriteZeroesSectors, 4, MAX_RANGE_SECTORS);
    put(BlockConfig.MaxWriteZeroesSegments, 4, MAX_RANGES);
    put(BlockConfig.WriteZeroesMayUnmap, 1, 1);
  }
  Atomics.store(words, StateWord.Configured, 1);
}
