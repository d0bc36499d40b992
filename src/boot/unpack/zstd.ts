/**
 * Zstandard: RFC 8878. For Node.js before 22.15, which has no zstd of its own. Frames without a
 * dictionary; the checksum is not looked at. The output array is the window.
 */
import type { Decompressor } from './unpack.js';
import {
  BackwardBits,
  buildFse,
  damaged,
  decodeHuffman,
  readFse,
  readHuffman,
  rleTable,
  type FseTable,
  type HuffmanTable,
} from './zstd-entropy.js';
import { LITERAL_LENGTHS, MATCH_LENGTHS, OFFSETS, type CodeTable } from './zstd-tables.js';

const MAGIC = 0xfd2fb528;
const BLOCK_MAX = 0x20000;

/** Frame state: what blocks take over from earlier ones. */
class FrameDecoder {
  at: number;
  private huffman: HuffmanTable | undefined;
  private readonly tables = new Map<CodeTable, FseTable>();
  private readonly repeats = [1, 4, 8];
  private readonly literals = new Uint8Array(BLOCK_MAX);
  private literalCount = 0;

  constructor(
    private readonly input: Uint8Array,
    private readonly output: Uint8Array,
    private readonly start: number,
  ) {
    this.at = start;
  }

  private room(count: number): void {
    if (count > this.output.length - this.at) throw new Error('more bytes than the payload says');
  }

  raw(from: number, count: number): void {
    this.room(count);
    this.output.set(this.input.subarray(from, from + count), this.at);
    this.at += count;
  }

  repeat(byte: number, count: number): void {
    this.room(count);
    this.output.fill(byte, this.at, this.at + count);
    this.at += count;
  }

  compressed(from: number, end: number): void {
    this.sequences(this.literalsSection(from, end), end);
  }

  /** Section 3.1.1.3.1: fills `literals`, returns where the section ends. */
  private literalsSection(from: number, end: number): number {
    const { input } = this;
    if (from >= end) throw damaged();
    const header = input[from]!;
    const type = header & 3;
    const format = (header >> 2) & 3;
    const value = header + (input[from + 1] ?? 0) * 0x100 + (input[from + 2] ?? 0) * 0x10000;
    if (type < 2) {
      const length = [1, 2, 1, 3][format]!;
      const count =
        length === 1 ? header >> 3 : Math.floor(value / 16) % (length === 2 ? 2 ** 12 : 2 ** 20);
      const data = from + length;
      const size = type === 0 ? count : 1;
      if (count > BLOCK_MAX || data + size > end) throw damaged();
      if (type === 0) this.literals.set(input.subarray(data, data + count));
      else this.literals.fill(input[data]!, 0, count);
      this.literalCount = count;
      return data + size;
    }
    const length = [3, 3, 4, 5][format]!;
    const width = [10, 10, 14, 18][format]!;
    const wide = value + (input[from + 3] ?? 0) * 2 ** 24 + (input[from + 4] ?? 0) * 2 ** 32;
    const count = Math.floor(wide / 16) % 2 ** width;
    const size = Math.floor(wide / 2 ** (4 + width)) % 2 ** width;
    let data = from + length;
    const stop = data + size;
    if (count > BLOCK_MAX || stop > end) throw damaged();
    if (type === 2) {
      const read = readHuffman(input, data, stop);
      this.huffman = read.table;
      data = read.end;
    }
    if (this.huffman === undefined) throw damaged();
    if (format === 0) decodeHuffman(this.huffman, input, data, stop, this.literals, 0, count);
    else this.fourStreams(this.huffman, data, stop, count);
    this.literalCount = count;
    return stop;
  }

  private fourStreams(table: HuffmanTable, from: number, end: number, count: number): void {
    const { input, literals } = this;
    if (from + 6 > end) throw damaged();
    const share = Math.floor((count + 3) / 4);
    if (share * 3 > count) throw damaged();
    let data = from + 6;
    for (let n = 0; n < 4; n++) {
      const size = n < 3 ? input[from + n * 2]! + input[from + n * 2 + 1]! * 0x100 : end - data;
      if (size > end - data) throw damaged();
      const stop = n < 3 ? share * (n + 1) : count;
      decodeHuffman(table, input, data, data + size, literals, share * n, stop);
      data += size;
    }
  }

  /** Reads or keeps the table of a code; returns it and where its description ends. */
  private table(code: CodeTable, mode: number, from: number, end: number): [FseTable, number] {
    let table = this.tables.get(code);
    let next = from;
    if (mode === 0) {
      table = buildFse(code.defaults, code.defaultLog);
    } else if (mode === 1) {
      if (from >= end || this.input[from]! >= code.base.length) throw damaged();
      table = rleTable(this.input[from]!);
      next = from + 1;
    } else if (mode === 2) {
      ({ table, end: next } = readFse(this.input, from, end, code.maxLog, code.base.length));
    }
    if (table === undefined) throw damaged();
    this.tables.set(code, table);
    return [table, next];
  }

  /** Section 3.1.1.3.2: literals and matches into the output. */
  private sequences(from: number, end: number): void {
    const { input, literals, literalCount } = this;
    if (from >= end) throw damaged();
    let next = from + 1;
    let count = input[from]!;
    if (count >= 128) {
      const second = input[next++] ?? 0;
      count =
        count < 255
          ? (count - 128) * 0x100 + second
          : second + (input[next++] ?? 0) * 0x100 + 0x7f00;
    }
    let used = 0;
    if (count > 0) {
      if (next >= end) throw damaged();
      const modes = input[next++]!;
      let lengths: FseTable, offsets: FseTable, matches: FseTable;
      [lengths, next] = this.table(LITERAL_LENGTHS, modes >> 6, next, end);
      [offsets, next] = this.table(OFFSETS, (modes >> 4) & 3, next, end);
      [matches, next] = this.table(MATCH_LENGTHS, (modes >> 2) & 3, next, end);
      const bits = new BackwardBits(input, next, end);
      used = this.execute(bits, count, lengths, offsets, matches);
    }
    const left = literalCount - used;
    this.room(left);
    this.output.set(literals.subarray(used, literalCount), this.at);
    this.at += left;
  }

  /** Decodes and carries out sequences; returns how many literals they took. */
  private execute(
    bits: BackwardBits,
    count: number,
    lengths: FseTable,
    offsets: FseTable,
    matches: FseTable,
  ): number {
    const { output, literals, literalCount } = this;
    let lengthState = bits.read(lengths.log);
    let offsetState = bits.read(offsets.log);
    let matchState = bits.read(matches.log);
    let used = 0;
    for (let left = count; left > 0; left--) {
      const offsetCode = offsets.symbols[offsetState]!;
      const lengthCode = lengths.symbols[lengthState]!;
      const matchCode = matches.symbols[matchState]!;
      // At most 24 bits at a time.
      const high = offsetCode > 16 ? bits.read(offsetCode - 16) * 0x10000 : 0;
      const value = 2 ** offsetCode + high + bits.read(Math.min(offsetCode, 16));
      const match = MATCH_LENGTHS.base[matchCode]! + bits.read(MATCH_LENGTHS.bits[matchCode]!);
      const length =
        LITERAL_LENGTHS.base[lengthCode]! + bits.read(LITERAL_LENGTHS.bits[lengthCode]!);
      if (left > 1) {
        lengthState = lengths.baselines[lengthState]! + bits.read(lengths.bits[lengthState]!);
        matchState = matches.baselines[matchState]! + bits.read(matches.bits[matchState]!);
        offsetState = offsets.baselines[offsetState]! + bits.read(offsets.bits[offsetState]!);
      }
      if (bits.left < 0 || length > literalCount - used) throw damaged();
      this.room(length + match);
      let to = this.at;
      for (const stop = to + length; to < stop;) output[to++] = literals[used++]!;
      const offset = this.offset(value, length);
      if (!(offset <= to - this.start && offset > 0)) throw damaged();
      if (match > 64 && offset >= match) {
        output.copyWithin(to, to - offset, to - offset + match);
        to += match;
      } else {
        for (const stop = to + match; to < stop; to++) output[to] = output[to - offset]!;
      }
      this.at = to;
    }
    if (bits.left !== 0) throw damaged();
    return used;
  }

  /** Section 3.1.1.5, "Repeat Offsets". */
  private offset(value: number, literalLength: number): number {
    const { repeats } = this;
    const [first, second] = repeats as [number, number];
    if (value > 3) {
      repeats[2] = second;
      repeats[1] = first;
      return (repeats[0] = value - 3);
    }
    const index = value - 1 + (literalLength === 0 ? 1 : 0);
    if (index === 0) return first;
    const offset = index === 3 ? first - 1 : repeats[index]!;
    if (index > 1) repeats[2] = second;
    repeats[1] = first;
    return (repeats[0] = offset);
  }
}

/** Unpacks the frame at `from` to `at`; returns where both end. */
function decodeFrame(
  input: Uint8Array,
  from: number,
  end: number,
  output: Uint8Array,
  start: number,
): [number, number] {
  const descriptor = input[from + 4]!;
  const single = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x0b) !== 0) throw new Error('zstd frame with a dictionary or reserved bits');
  const sizeField = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  let at = from + 5 + (single ? 0 : 1) + sizeField;
  const frame = new FrameDecoder(input, output, start);
  for (let last = false; !last;) {
    if (at + 3 > end) throw new Error('zstd data are cut short');
    const header = input[at]! + input[at + 1]! * 0x100 + input[at + 2]! * 0x10000;
    at += 3;
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    const stored = type === 1 ? 1 : size;
    if (type === 3 || stored > end - at || (type === 2 && size > BLOCK_MAX)) throw damaged();
    if (type === 0) frame.raw(at, size);
    else if (type === 1) frame.repeat(input[at]!, size);
    else frame.compressed(at, at + size);
    at += stored;
  }
  return [at + ((descriptor & 4) !== 0 ? 4 : 0), frame.at];
}

/** Unpacks zstd frames with four bytes of size behind them. */
export const unzstdScript: Decompressor = (input, size) => {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  const end = input.length - 4;
  const output = new Uint8Array(size);
  let at = 0;
  let produced = 0;
  while (at + 9 <= end) {
    if (view.getUint32(at, true) !== MAGIC) throw damaged();
    [at, produced] = decodeFrame(input, at, end, output, produced);
  }
  if (produced !== size || at > end) throw new Error(`${produced} bytes instead of ${size}`);
  return output;
};
