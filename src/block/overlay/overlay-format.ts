/**
 * The file of an overlay: the blocks of a disk that differ from a base, at fixed places in a sparse
 * file. docs/overlay-format.md describes it.
 *
 * ```
 *   0        header, 512 bytes          one write is enough, and is atomic on storage
 *   64 KiB   bitmap, 16 MiB reserved    bit i: block i is here, and not in the base
 *   +16 MiB  data                       block i at data + i * block size
 * ```
 */
import { createHash } from 'node:crypto';
import { SECTOR } from '../backend.js';

export const HEADER_BYTES = 512;
export const BITMAP_OFFSET = 65536;
export const BITMAP_BYTES = 2 ** 24;
export const DATA_OFFSET = BITMAP_OFFSET + BITMAP_BYTES;
/** Bits there are room for, and so blocks. */
export const MAX_BLOCKS = BITMAP_BYTES * 8;
export const MIN_BLOCK_SIZE = 4096;
export const MAX_BLOCK_SIZE = 2 ** 20;
/** No disk is larger: 128 Ti blocks of the largest size. */
export const MAX_CAPACITY = MAX_BLOCKS * MAX_BLOCK_SIZE;
export const IDENTITY_BYTES = 32;

const MAGIC = Buffer.from('vexitovl', 'latin1');
const VERSION = 1;

enum Field {
  Magic = 0,
  Version = 8,
  Flags = 12,
  BlockSize = 16,
  Capacity = 24,
  BaseSize = 32,
  BaseLimit = 40,
  Identity = 48,
  Checksum = 80,
  End = 112,
}

/** What the header says. Sizes are bytes. */
export interface OverlayLayout {
  /** A power of two from 4096 to 1 MiB: what is copied when a part of it is written. */
  readonly blockSize: number;
  /** Bytes of the disk, a multiple of 512. */
  readonly capacity: number;
  /** Bytes of the base when the overlay was made. */
  readonly baseSize: number;
  /** Blocks behind this byte are not looked for in the base: they are zero. */
  readonly baseLimit: number;
  /** What the base looked like when the overlay was made; see `baseIdentity`. */
  readonly identity: Uint8Array;
}

/** Blocks of a disk, the last one perhaps in part. */
export function blockCount(layout: Pick<OverlayLayout, 'capacity' | 'blockSize'>): number {
  return Math.ceil(layout.capacity / layout.blockSize);
}

/** Length of the file. */
export function overlayFileSize(layout: Pick<OverlayLayout, 'capacity' | 'blockSize'>): number {
  return DATA_OFFSET + blockCount(layout) * layout.blockSize;
}

/** The smallest block size with room for the disk to grow to twice its size. */
export function defaultBlockSize(capacity: number): number {
  let size = MIN_BLOCK_SIZE;
  while (size < MAX_BLOCK_SIZE && capacity > (MAX_BLOCKS / 2) * size) size *= 2;
  return size;
}

/** Sizes that an overlay can have: what is wrong with them, or undefined. */
export function layoutProblem(layout: Omit<OverlayLayout, 'identity'>): string | undefined {
  const { blockSize, capacity, baseSize, baseLimit } = layout;
  if (!(blockSize >= MIN_BLOCK_SIZE && blockSize <= MAX_BLOCK_SIZE)) {
    return `a block size of ${blockSize}`;
  }
  if (!Number.isInteger(Math.log2(blockSize))) return `a block size of ${blockSize}`;
  if (!(capacity > 0 && capacity <= MAX_CAPACITY) || capacity % SECTOR !== 0) {
    return `a capacity of ${capacity} bytes`;
  }
  if (blockCount(layout) > MAX_BLOCKS) return 'more blocks than its bitmap has bits';
  if (!(baseSize >= 0 && baseSize <= MAX_CAPACITY) || baseSize % SECTOR !== 0) {
    return `a base of ${baseSize} bytes`;
  }
  if (!(baseLimit >= 0 && baseLimit <= baseSize) || baseLimit % SECTOR !== 0) {
    return `a base that ends at ${baseLimit} of ${baseSize} bytes`;
  }
  return undefined;
}

/** The header as bytes. */
export function encodeHeader(layout: OverlayLayout): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header, Field.Magic);
  header.writeUInt32LE(VERSION, Field.Version);
  header.writeUInt32LE(layout.blockSize, Field.BlockSize);
  header.writeBigUInt64LE(BigInt(layout.capacity), Field.Capacity);
  header.writeBigUInt64LE(BigInt(layout.baseSize), Field.BaseSize);
  header.writeBigUInt64LE(BigInt(layout.baseLimit), Field.BaseLimit);
  header.set(layout.identity, Field.Identity);
  checksum(header).copy(header, Field.Checksum);
  return header;
}

/** Reads a header that can hold anything. Gives what it says, or what is wrong with it. */
export function decodeHeader(bytes: Uint8Array): OverlayLayout | string {
  if (bytes.length < HEADER_BYTES) return 'it is too short';
  const header = Buffer.from(bytes.subarray(0, HEADER_BYTES));
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) return 'it does not begin as one';
  const version = header.readUInt32LE(Field.Version);
  if (version !== VERSION) return `it has version ${version}, and this vexit knows ${VERSION}`;
  const stored = header.subarray(Field.Checksum, Field.End);
  if (!checksum(header).equals(stored)) return 'the checksum of its header is wrong';
  if (header.readUInt32LE(Field.Flags) !== 0) return 'it has features this vexit does not know';
  const layout = {
    blockSize: header.readUInt32LE(Field.BlockSize),
    // Above 2^53 these are rounded, and refused either way.
    capacity: Number(header.readBigUInt64LE(Field.Capacity)),
    baseSize: Number(header.readBigUInt64LE(Field.BaseSize)),
    baseLimit: Number(header.readBigUInt64LE(Field.BaseLimit)),
    identity: Uint8Array.from(header.subarray(Field.Identity, Field.Checksum)),
  };
  const problem = layoutProblem(layout);
  return problem === undefined ? layout : `it has ${problem}`;
}

/** SHA-256 of the header with its checksum zeroed. */
function checksum(header: Buffer): Buffer {
  const copy = Buffer.from(header);
  copy.fill(0, Field.Checksum, Field.End);
  return createHash('sha256').update(copy).digest();
}

/** Reads part of a base; short at its end. */
export type BaseReader = (target: Uint8Array, offset: number) => void;

const SAMPLES = 64;
const SAMPLE_BYTES = 4096;

/**
 * Tells bases apart: SHA-256 of the size and of 64 pieces of the content. It finds the wrong file
 * and most changes of the right one; a change between the pieces it does not.
 */
export function baseIdentity(size: number, read: BaseReader): Uint8Array {
  const hash = createHash('sha256').update(`vexit base ${size}\n`);
  const piece = Buffer.alloc(SAMPLE_BYTES);
  const last = Math.max(0, size - SAMPLE_BYTES);
  for (let i = 0; i < SAMPLES; i++) {
    const at = Math.floor((last * i) / (SAMPLES - 1) / SAMPLE_BYTES) * SAMPLE_BYTES;
    piece.fill(0);
    read(piece, at);
    hash.update(piece);
  }
  return Uint8Array.from(hash.digest());
}
