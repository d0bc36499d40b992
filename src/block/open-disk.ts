/**
 * From the options of a disk to its backend, in two steps: the main thread opens and locks files
 * once, and each I/O thread makes a backend over the descriptors, which are the whole process's.
 */
import { existsSync, rmSync } from 'node:fs';
import type { IoEngine } from '../io/io-engine.js';
import { VexitError } from '../util/errors.js';
import type { BlockBackend } from './backend.js';
import type { DiskOptions } from './disk-option.js';
import type { HostAllocator } from './host-memory.js';
import type { IoDispatcher } from './io-dispatcher.js';
import {
  createOverlay,
  describeBase,
  loadBitmap,
  openOverlay,
  type OpenOverlay,
} from './overlay/open-overlay.js';
import { OverlayBackend } from './overlay/overlay-backend.js';
import { whenReleased } from './raw/lock.js';
import { closeRaw, openRaw, type OpenRaw } from './raw/open-raw.js';
import { RawBackend } from './raw/raw-backend.js';
import { WriteMerger } from './raw/write-merger.js';

/** An open disk; plain data. */
export interface OpenDisk {
  /** The disk, or the base of the overlay. */
  readonly raw: OpenRaw;
  readonly overlay?: OpenOverlay;
  /** The overlay was not there before. */
  readonly overlayMade?: boolean;
  /** Bytes. */
  readonly capacity: number;
  /** What a guest should see; bytes. */
  readonly blockSize: number;
  readonly physicalBlockSize: number;
  /** Several threads may each have a backend over it. */
  readonly concurrent: boolean;
}

/**
 * Opens and locks the files of a disk. Its overlay is made if it is not there.
 * @throws VexitError ERR_DISK
 */
export function openDisk(options: DiskOptions): OpenDisk {
  const { path, overlay } = options;
  const direct = options.cache === 'direct';
  const readOnly = options.readOnly ?? false;
  const raw = openRaw(path, { direct, readOnly: readOnly || overlay !== undefined });
  const overlayMade = overlay !== undefined && !readOnly && !existsSync(overlay);
  let opened: OpenOverlay | undefined;
  try {
    if (overlay !== undefined) {
      const base = describeBase(raw);
      if (overlayMade) createOverlay(overlay, base);
      opened = openOverlay(overlay, base, { direct, readOnly });
    }
    const blockSize = chooseBlockSize(options, raw, opened);
    const capacity = opened?.layout.capacity ?? raw.size;
    const physical = opened?.layout.blockSize ?? raw.physicalBlockSize;
    return {
      raw,
      ...(opened === undefined ? {} : { overlay: opened }),
      overlayMade,
      capacity,
      blockSize,
      physicalBlockSize: Math.max(blockSize, physical),
      concurrent: opened === undefined,
    };
  } catch (error) {
    closeRaw(raw);
    if (opened !== undefined) closeRaw(opened.store);
    throw error;
  }
}

/**
 * As {@link openDisk}, for a disk whose VM may have ended a moment ago.
 * @throws VexitError ERR_DISK
 */
export function openReleasedDisk(options: DiskOptions): Promise<OpenDisk> {
  return whenReleased(() => openDisk(options));
}

function chooseBlockSize(options: DiskOptions, raw: OpenRaw, overlay?: OpenOverlay): number {
  const needed = Math.max(raw.logicalBlockSize, overlay?.store.logicalBlockSize ?? 0);
  const blockSize = options.blockSize ?? needed;
  if (blockSize >= needed) return blockSize;
  throw new VexitError(
    'ERR_DISK',
    `disk ${options.path} has blocks of ${needed} bytes, not ${blockSize}`,
    `give block-size=${needed}, or leave it out`,
  );
}

/** Closes the files, and ends the locks; all backends are closed. */
export function closeDisk(disk: OpenDisk): void {
  closeRaw(disk.raw);
  if (disk.overlay !== undefined) closeRaw(disk.overlay.store);
}

/** As {@link closeDisk}, for a disk that nobody has used: an overlay that was made for it goes too. */
export function abandonDisk(disk: OpenDisk): void {
  if (disk.overlayMade === true && disk.overlay !== undefined) {
    rmSync(disk.overlay.store.path, { force: true });
  }
  closeDisk(disk);
}

/** A backend for the calling thread; `dispatcher.complete` is the engine's completion. */
export function createBackend(
  disk: OpenDisk,
  engine: IoEngine,
  dispatcher: IoDispatcher,
  allocate?: HostAllocator,
): BlockBackend {
  const base = new RawBackend(disk.raw, engine, dispatcher, allocate);
  if (disk.overlay === undefined) return new WriteMerger(base);
  const { store, layout } = disk.overlay;
  return new OverlayBackend({
    base,
    store: new RawBackend(store, engine, dispatcher, allocate),
    layout,
    loadBitmap: (bits) => loadBitmap(store, bits),
    ...(allocate === undefined ? {} : { allocate }),
  });
}
