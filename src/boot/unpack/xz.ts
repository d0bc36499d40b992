/**
 * XZ files as scripts/xz_wrap.sh of Linux makes them: "The .xz File Format" 1.2.1, blocks of LZMA2
 * with or without the x86 BCJ filter in front.
 */
import * as zlib from 'node:zlib';
import { unfilterX86 } from './bcj-x86.js';
import { LzmaDecoder } from './lzma-decoder.js';
import type { Decompressor } from './unpack.js';

const STREAM_HEADER_SIZE = 12;
const CHECK_CRC32 = 1;
/** Sizes of the check behind a block, by its type. */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const FILTER_X86 = 0x04;
const FILTER_LZMA2 = 0x21;
const HAS_COMPRESSED_SIZE = 0x40;
const HAS_UNCOMPRESSED_SIZE = 0x80;

const damaged = (): Error => new Error('xz data are damaged');

/** Node.js has it since 20.15; before, only what LZMA2 notices itself is noticed. */
const crc32 = (zlib as { crc32?: (bytes: Uint8Array) => number }).crc32;

interface BlockHeader {
  /** Where the compressed data begin. */
  readonly end: number;
  readonly x86: boolean;
}

/** Section 3.1, "Block Header". */
function readBlockHeader(input: Uint8Array, start: number, limit: number): BlockHeader {
  const end = start + (input[start]! + 1) * 4;
  if (end > limit) throw damaged();
  let at = start + 2;
  const variableInteger = (): number => {
    let value = 0;
    for (let shift = 0; shift < 49; shift += 7) {
      if (at >= end) throw damaged();
      const byte = input[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw damaged();
  };
  const flags = input[start + 1]!;
  if ((flags & HAS_COMPRESSED_SIZE) !== 0) variableInteger();
  if ((flags & HAS_UNCOMPRESSED_SIZE) !== 0) variableInteger();
  const filters: number[] = [];
  for (let left = (flags & 3) + 1; left > 0; left--) {
    const id = variableInteger();
    const size = variableInteger();
    // A start offset for the x86 filter exists in the format only.
    if (id === FILTER_X86 && size !== 0) throw new Error('xz filter with a start offset');
    at += size;
    filters.push(id);
  }
  const x86 = filters.length === 2 && filters[0] === FILTER_X86;
  if (filters[filters.length - 1] !== FILTER_LZMA2 || filters.length > (x86 ? 2 : 1)) {
    throw new Error('xz filters that Linux does not use');
  }
  return { end, x86 };
}

/** LZMA2 chunks up to the end marker: a control byte, sizes, data. */
function decodeLzma2(decoder: LzmaDecoder, input: Uint8Array, limit: number, size: number): void {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  let needDictionary = true;
  for (;;) {
    const control = view.getUint8(decoder.from++);
    if (control === 0) return;
    if (control === 1 || control >= 0xe0) {
      decoder.dictionaryStart = decoder.at;
      needDictionary = false;
    }
    if (needDictionary) throw damaged();
    if (control < 0x80) {
      if (control > 2) throw damaged();
      decoder.copy(view.getUint16(decoder.from) + 1, limit, size);
      continue;
    }
    const produced = (control & 0x1f) * 0x10000 + view.getUint16(decoder.from) + 1;
    const consumed = view.getUint16(decoder.from + 2) + 1;
    decoder.from += 4;
    if (control >= 0xc0) decoder.setProperties(view.getUint8(decoder.from++));
    if (control >= 0xa0) decoder.resetState();
    const end = decoder.at + produced;
    const inputEnd = decoder.from + consumed;
    if (end > size || inputEnd > limit) throw damaged();
    decoder.startRangeCoder();
    decoder.decode(end, inputEnd);
    if (decoder.at !== end || decoder.from !== inputEnd) throw damaged();
  }
}

/** Unpacks an xz file with four bytes of size behind it. */
export const unxz: Decompressor = (input, size) => {
  const limit = input.length - 4;
  const checkType = input[7]! & 0x0f;
  const output = new Uint8Array(size);
  const decoder = new LzmaDecoder(input, output);
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  decoder.from = STREAM_HEADER_SIZE;
  // A block header size of 0 is the index: there are no more blocks.
  while (decoder.from < limit && input[decoder.from] !== 0) {
    const start = decoder.from;
    const header = readBlockHeader(input, start, limit);
    const blockStart = decoder.at;
    decoder.from = header.end;
    decodeLzma2(decoder, input, limit, size);
    const block = output.subarray(blockStart, decoder.at);
    if (header.x86) unfilterX86(block);
    decoder.from += -(decoder.from - header.end) & 3;
    if (checkType === CHECK_CRC32 && crc32 !== undefined) {
      if (view.getUint32(decoder.from, true) !== crc32(block)) throw damaged();
    }
    decoder.from += CHECK_SIZES[checkType]!;
  }
  if (decoder.at !== size) throw new Error(`${decoder.at} bytes instead of ${size}`);
  return output;
};
