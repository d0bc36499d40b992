/**
 * LZMA files, which `xz --format=lzma` writes: properties, dictionary size, output size, data. A
 * size of 2^64 - 1 means that an end marker is behind the data.
 */
import { LzmaDecoder } from './lzma-decoder.js';
import type { Decompressor } from './unpack.js';

const SIZE_FIELD = 5;
const HEADER_SIZE = 13;
const SIZE_UNKNOWN = 2n ** 64n - 1n;

/** Unpacks an LZMA file with four bytes of size behind it. */
export const unlzma: Decompressor = (input, size) => {
  const end = input.length - 4;
  const view = new DataView(input.buffer, input.byteOffset, end);
  const told = view.getBigUint64(SIZE_FIELD, true);
  if (told !== SIZE_UNKNOWN && told !== BigInt(size)) throw new Error('the sizes differ');
  const output = new Uint8Array(size);
  const decoder = new LzmaDecoder(input.subarray(0, end), output);
  decoder.setProperties(input[0]!);
  decoder.resetState();
  decoder.from = HEADER_SIZE;
  decoder.startRangeCoder();
  decoder.decode(size, end);
  if (told === SIZE_UNKNOWN) decoder.expectEndMarker(end);
  if (decoder.at !== size) throw new Error(`${decoder.at} bytes instead of ${size}`);
  return output;
};
