/** Makes and opens the files of overlays. */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import { formatSize } from '../../util/size.js';
import { SECTOR } from '../backend.js';
import { closeRaw, openRaw, type OpenRaw, type OpenRawOptions } from '../raw/open-raw.js';
import type { RawFile } from '../raw/raw-file.js';
import {
  BITMAP_OFFSET,
  HEADER_BYTES,
  baseIdentity,
  decodeHeader,
  defaultBlockSize,
  encodeHeader,
  layoutProblem,
  overlayFileSize,
  type OverlayLayout,
} from './overlay-format.js';

/** An open overlay, without its base; plain data. */
export interface OpenOverlay {
  readonly store: OpenRaw;
  readonly layout: OverlayLayout;
}

/** Settings of a new overlay. */
export interface CreateOverlayOptions {
  /** Bytes of the disk; the base's unless given. */
  readonly capacity?: number;
  /** Bytes that are copied at once, a power of two from 4096 to 1 MiB. */
  readonly blockSize?: number;
}

/** A base as an overlay's header describes it. */
export interface BaseDescription {
  readonly size: number;
  readonly identity: Uint8Array;
}

/** Describes an open raw disk. */
export function describeBase(base: RawFile): BaseDescription {
  const { size } = base;
  const fd = base.bufferedFd ?? base.fd;
  const identity = baseIdentity(size, (target, offset) => {
    try {
      readSync(fd, target, 0, target.length, offset);
    } catch (error) {
      const reason = errorMessage(error);
      throw new VexitError('ERR_DISK', `disk ${base.path} cannot be read: ${reason}`, 'check it');
    }
  });
  return { size, identity };
}

/**
 * Makes an overlay with nothing in it. It is on storage when this returns.
 * @throws VexitError ERR_DISK when the file exists, cannot be made, or the sizes make no sense
 */
export function createOverlay(
  file: string,
  base: BaseDescription,
  options: CreateOverlayOptions = {},
): void {
  const capacity = options.capacity ?? base.size;
  const layout = {
    blockSize: options.blockSize ?? defaultBlockSize(capacity),
    capacity,
    baseSize: base.size,
    baseLimit: Math.min(base.size, capacity),
    identity: base.identity,
  };
  const problem = layoutProblem(layout);
  if (problem !== undefined) {
    throw new VexitError(
      'ERR_DISK',
      `an overlay cannot have ${problem}`,
      `give a size that is a multiple of ${SECTOR}, and a block size from 4096 to 1M`,
    );
  }
  let fd: number;
  try {
    fd = openSync(file, 'wx', 0o600);
  } catch (error) {
    const exists = systemCode(error) === 'EEXIST';
    throw new VexitError(
      'ERR_DISK',
      exists ? `${file} exists already` : `${file} cannot be made: ${errorMessage(error)}`,
      exists ? 'give another name, or remove it' : 'check the directory',
      { cause: error },
    );
  }
  try {
    ftruncateSync(fd, overlayFileSize(layout));
    // Everything else is a hole, and a file without a header is no overlay.
    writeSync(fd, encodeHeader(layout), 0, HEADER_BYTES, 0);
    fsyncSync(fd);
    syncDirectory(path.dirname(file));
  } catch (error) {
    unlinkSync(file);
    throw new VexitError(
      'ERR_DISK',
      `${file} cannot be made: ${errorMessage(error)}`,
      'see that the file system has room',
      { cause: error },
    );
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens and locks an overlay, and checks that it belongs to the base.
 * @throws VexitError ERR_DISK
 */
export function openOverlay(
  file: string,
  base: BaseDescription,
  options: OpenRawOptions = {},
): OpenOverlay {
  const store = openRaw(file, options);
  try {
    const layout = readLayout(store);
    const { baseSize, identity } = layout;
    if (baseSize !== base.size) {
      throw new VexitError(
        'ERR_DISK',
        `overlay ${file} is for a base of ${formatSize(baseSize)}, not ${formatSize(base.size)}`,
        'give the base that it was made for, unchanged',
      );
    }
    if (!Buffer.from(identity).equals(base.identity)) {
      throw new VexitError(
        'ERR_DISK',
        `overlay ${file} is for another base, or its base has been changed`,
        'give the base that it was made for, unchanged',
      );
    }
    return { store, layout };
  } catch (error) {
    closeRaw(store);
    throw error;
  }
}

function readLayout(store: OpenRaw): OverlayLayout {
  const header = Buffer.alloc(HEADER_BYTES);
  const fd = store.bufferedFd ?? store.fd;
  readSync(fd, header, 0, HEADER_BYTES, 0);
  const layout = decodeHeader(header);
  if (typeof layout === 'string') {
    throw new VexitError(
      'ERR_DISK',
      `${store.path} is not an overlay that can be used: ${layout}`,
      'make one with: vexit disk create, or give the disk without overlay=',
    );
  }
  if (store.size < overlayFileSize(layout)) {
    throw new VexitError(
      'ERR_DISK',
      `overlay ${store.path} is cut off: ${store.size} of ${overlayFileSize(layout)} bytes`,
      'restore it from a copy',
    );
  }
  return layout;
}

/** Fills the bits of an overlay's bitmap from its file. */
export function loadBitmap(store: RawFile, bits: Uint8Array): void {
  const fd = store.bufferedFd ?? store.fd;
  for (let done = 0; done < bits.length;) {
    const count = readSync(fd, bits, done, bits.length - done, BITMAP_OFFSET + done);
    if (count === 0) {
      throw new VexitError('ERR_DISK', `overlay ${store.path} is cut off`, 'restore it');
    }
    done += count;
  }
}
