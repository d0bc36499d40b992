/** Disks without their device: backends, and how files become one. */
export { BlockError, SECTOR } from './backend.js';
export type { BlockBackend, BlockBackendHost } from './backend.js';
export { BlockSegments } from './segments.js';
export type { SegmentMemory } from './segments.js';
export { simpleBackend } from './simple-backend.js';
export type { SimpleDisk } from './simple-backend.js';
export { MemoryBackend } from './memory-backend.js';
export { IoDispatcher } from './io-dispatcher.js';
export type { IoChannel, IoUser } from './io-dispatcher.js';
export { checkDisk, checkDisks, parseDiskOption } from './disk-option.js';
export type { DiskCache, DiskOptions } from './disk-option.js';
export { abandonDisk, closeDisk, createBackend, openDisk, openReleasedDisk } from './open-disk.js';
export type { OpenDisk } from './open-disk.js';
export { createOverlay, describeBase } from './overlay/open-overlay.js';
export type { BaseDescription, CreateOverlayOptions } from './overlay/open-overlay.js';
