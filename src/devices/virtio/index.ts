/** Virtio devices: what to implement one with, and what to put it into a machine with. */
export { Feature, Status, DeviceType } from './constants.js';
export { ConsoleDevice } from './console/console.js';
export type { ConsoleOptions } from './console/console.js';
export { ConsolePortHost, openConsolePorts } from './console/console-host.js';
export type { ConsoleCore } from './console/console-host.js';
export type { ConsolePortOptions, ConsoleShape } from './console/console-options.js';
export { readLittleEndian, writeLittleEndian } from './device.js';
export type {
  ConfigAccessSize,
  DeviceContext,
  FeatureRule,
  SharedMemoryRegion,
  VirtioDevice,
} from './device.js';
export { VirtioRegisters, planVirtioRegisters } from './device-registers.js';
export type { VirtioRegisterPlan } from './device-registers.js';
export { PMEM_ALIGNMENT, PmemDevice, pmemRegionBytes } from './pmem/pmem.js';
export type { PmemFlush, PmemOptions } from './pmem/pmem.js';
export type { DescriptorChain } from './queue/descriptor-chain.js';
export type { RamSource } from './queue/guest-ram.js';
export { IOVEC_WORDS } from './queue/segments.js';
export type { ReadableSegments, WritableSegments } from './queue/segments.js';
export type { VirtQueue } from './queue/virt-queue.js';
export type { CoreOptions } from './queue-runner.js';
export { SiteLog } from './site-log.js';
export { TokenBucket } from './token-bucket.js';
export type { RateLimit } from './token-bucket.js';
export type { Transport } from './transport.js';
export { MMIO_WINDOW_BYTES, MmioTransport } from './transport-mmio.js';
export type { MmioInterruptOutput } from './transport-mmio.js';
export { VirtioDeviceCore } from './virtio-device-core.js';
