/**
 * bzip2 (no specification but the program; the format is described in J. Seward's bzip2 1.0
 * manual and source): blocks of Huffman coded, move-to-front coded, Burrows-Wheeler sorted data.
 */
import type { Decompressor } from './unpack.js';

const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
const MAX_CODE_LENGTH = 20;
const MAX_SYMBOLS = 258;
const GROUP_SIZE = 50;
const RUN_B = 1;
/** Bits looked up at once: most codes are shorter. */
const FAST_BITS = 10;
const PEEK_BYTES = 4;

const damaged = (): Error => new Error('bzip2 data are damaged');

/** Bits from the most significant down. */
class BitReader {
  private buffer = 0;
  private count = 0;
  constructor(
    private readonly input: Uint8Array,
    private at: number,
  ) {}

  /** The next bits, at most 24, without taking them. */
  peek(count: number): number {
    while (this.count < count) {
      // A code may be looked for behind the end, but hardly be there.
      if (this.at >= this.input.length + PEEK_BYTES) throw new Error('bzip2 data are cut short');
      this.buffer = ((this.buffer & 0xffffff) << 8) | (this.input[this.at++] ?? 0);
      this.count += 8;
    }
    return (this.buffer >>> (this.count - count)) & ((1 << count) - 1);
  }

  skip(count: number): void {
    this.count -= count;
  }

  bits(count: number): number {
    const value = this.peek(count);
    this.count -= count;
    return value;
  }
}

/** A canonical Huffman code: for each length the first code, and where its symbols begin. */
interface HuffmanTable {
  readonly limit: Int32Array;
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
  /** For each value of FAST_BITS bits: symbol * 32 + length, or 0 when the code is longer. */
  readonly fast: Uint16Array;
}

function buildTable(lengths: Uint8Array): HuffmanTable {
  const limit = new Int32Array(MAX_CODE_LENGTH + 1).fill(-1);
  const base = new Int32Array(MAX_CODE_LENGTH + 1);
  const symbols = new Uint16Array(lengths.length);
  const fast = new Uint16Array(1 << FAST_BITS);
  let code = 0;
  let index = 0;
  for (let length = 1; length <= MAX_CODE_LENGTH; length++) {
    base[length] = index - code;
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== length) continue;
      symbols[index++] = symbol;
      if (length <= FAST_BITS) {
        const shift = FAST_BITS - length;
        fast.fill(symbol * 32 + length, code << shift, (code + 1) << shift);
      }
      code++;
    }
    if (code > 2 ** length) throw damaged();
    limit[length] = code - 1;
    code *= 2;
  }
  return { limit, base, symbols, fast };
}

function readSymbol(reader: BitReader, table: HuffmanTable): number {
  const entry = table.fast[reader.peek(FAST_BITS)]!;
  if (entry !== 0) {
    reader.skip(entry & 31);
    return entry >>> 5;
  }
  let length = FAST_BITS;
  let code = reader.bits(length);
  while (code > table.limit[length]!) {
    if (++length > MAX_CODE_LENGTH) throw damaged();
    code = code * 2 + reader.bits(1);
  }
  const symbol = table.symbols[code + table.base[length]!];
  if (symbol === undefined) throw damaged();
  return symbol;
}

/** The bytes in use, the move-to-front list's first state. */
function readAlphabet(reader: BitReader): Uint8Array {
  const alphabet: number[] = [];
  const rows = reader.bits(16);
  for (let row = 0; row < 16; row++) {
    if ((rows & (0x8000 >> row)) === 0) continue;
    const used = reader.bits(16);
    for (let column = 0; column < 16; column++) {
      if ((used & (0x8000 >> column)) !== 0) alphabet.push(row * 16 + column);
    }
  }
  if (alphabet.length === 0) throw damaged();
  return Uint8Array.from(alphabet);
}

/** Which Huffman table each group of 50 symbols uses. */
function readSelectors(reader: BitReader, tables: number): Uint8Array {
  const selectors = new Uint8Array(reader.bits(15));
  const order = Array.from({ length: tables }, (_, index) => index);
  for (let n = 0; n < selectors.length; n++) {
    let index = 0;
    while (reader.bits(1) === 1) if (++index >= tables) throw damaged();
    const [selector] = order.splice(index, 1) as [number];
    order.unshift(selector);
    selectors[n] = selector;
  }
  return selectors;
}

function readTable(reader: BitReader, symbolCount: number): HuffmanTable {
  const lengths = new Uint8Array(symbolCount);
  let length = reader.bits(5);
  for (let symbol = 0; symbol < symbolCount; symbol++) {
    while (reader.bits(1) === 1) length += reader.bits(1) === 0 ? 1 : -1;
    if (length < 1 || length > MAX_CODE_LENGTH) throw damaged();
    lengths[symbol] = length;
  }
  return buildTable(lengths);
}

/** Huffman and move-to-front decoding of one block into `block`; returns its length. */
function readBlock(reader: BitReader, block: Uint32Array): number {
  const order = readAlphabet(reader);
  const symbolCount = order.length + 2;
  if (symbolCount > MAX_SYMBOLS) throw damaged();
  const tableCount = reader.bits(3);
  if (tableCount < 2 || tableCount > 6) throw damaged();
  const selectors = readSelectors(reader, tableCount);
  const tables = Array.from({ length: tableCount }, () => readTable(reader, symbolCount));
  const endOfBlock = symbolCount - 1;
  let count = 0;
  let run = 0;
  let runUnit = 1;
  for (const selector of selectors) {
    const table = tables[selector]!;
    for (let left = GROUP_SIZE; left > 0; left--) {
      const symbol = readSymbol(reader, table);
      if (symbol <= RUN_B) {
        // Runs are numbers in bijective base 2.
        run += runUnit * (symbol + 1);
        runUnit *= 2;
        if (run > block.length) throw damaged();
        continue;
      }
      if (run > 0) {
        if (run > block.length - count) throw damaged();
        block.fill(order[0]!, count, count + run);
        count += run;
        run = 0;
        runUnit = 1;
      }
      if (symbol === endOfBlock) return count;
      if (count >= block.length) throw damaged();
      const byte = order[symbol - 1]!;
      order.copyWithin(1, 0, symbol - 1);
      order[0] = byte;
      block[count++] = byte;
    }
  }
  throw damaged();
}

/** Undoes the sort: the upper 24 bits of each element become the position of its successor. */
function unsort(block: Uint32Array, count: number): void {
  const starts = new Uint32Array(256);
  for (let n = 0; n < count; n++) starts[block[n]! & 0xff]!++;
  for (let byte = 0, sum = 0; byte < 256; byte++) {
    const size = starts[byte]!;
    starts[byte] = sum;
    sum += size;
  }
  for (let n = 0; n < count; n++) {
    const to = starts[block[n]! & 0xff]!++;
    block[to] = (block[to]! & 0xff) | (n << 8);
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let n = 0; n < 8; n++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  return crc;
});

function crcOf(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ byte]!;
  return ~crc >>> 0;
}

/** Follows the successors, expanding a count behind four equal bytes; returns the end. */
function expand(
  block: Uint32Array,
  count: number,
  first: number,
  out: Uint8Array,
  start: number,
): number {
  let at = start;
  let next = first;
  let equal = 0;
  let previous = -1;
  for (let left = count; left > 0; left--) {
    const entry = block[next]!;
    next = entry >>> 8;
    const byte = entry & 0xff;
    if (equal === 4) {
      if (byte > out.length - at) throw damaged();
      out.fill(previous, at, at + byte);
      at += byte;
      equal = 0;
      previous = -1;
      continue;
    }
    if (at >= out.length) throw damaged();
    equal = byte === previous ? equal + 1 : 1;
    previous = byte;
    out[at++] = byte;
  }
  return at;
}

/** Unpacks a bzip2 file with four bytes of size behind it. */
export const unbzip2: Decompressor = (input, size) => {
  const level = input[3]! - 0x30;
  if (level < 1 || level > 9) throw damaged();
  const output = new Uint8Array(size);
  const block = new Uint32Array(level * 100_000);
  const reader = new BitReader(input.subarray(0, -4), 4);
  let at = 0;
  for (;;) {
    const magic = reader.bits(24) * 2 ** 24 + reader.bits(24);
    const crc = reader.bits(16) * 2 ** 16 + reader.bits(16);
    if (magic === END_MAGIC) break;
    // "Randomised" blocks come from versions before 0.9.5 only.
    if (magic !== BLOCK_MAGIC || reader.bits(1) === 1) throw damaged();
    const origin = reader.bits(24);
    const count = readBlock(reader, block);
    if (origin >= count) throw damaged();
    unsort(block, count);
    const end = expand(block, count, block[origin]! >>> 8, output, at);
    if (crcOf(output.subarray(at, end)) !== crc) throw damaged();
    at = end;
  }
  if (at !== size) throw new Error(`${at} bytes instead of ${size}`);
  return output;
};
