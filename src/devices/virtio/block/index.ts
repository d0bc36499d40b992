/** virtio-blk. */
export { BlockDevice } from './block-device.js';
export type { BlockDeviceOptions, BlockTopology } from './block-options.js';
export type { BlockStatistics } from './block-statistics.js';
export { diskDeviceOptions } from './disk-device.js';
