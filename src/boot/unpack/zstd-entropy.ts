/** The entropy coding of Zstandard: RFC 8878, section 4 (FSE and Huffman). */

export const damaged = (): Error => new Error('zstd data are damaged');

/** Bits from the end of a range backwards, where a final 1 bit marks the start. */
export class BackwardBits {
  /** Bits not read yet; below 0 when more were read than there are. */
  left: number;
  constructor(
    private readonly input: Uint8Array,
    private readonly start: number,
    end: number,
  ) {
    const last = end > start ? input[end - 1]! : 0;
    if (last === 0) throw damaged();
    this.left = (end - start - 1) * 8 + (31 - Math.clz32(last));
  }

  /** The next `count` bits (at most 24) without taking them; zeroes come after the first bit. */
  peek(count: number): number {
    const position = this.left - count;
    if (position < 0) {
      return this.left <= 0 ? 0 : (this.window(0) & (2 ** this.left - 1)) << -position;
    }
    return (this.window(position >> 3) >>> (position & 7)) & ((1 << count) - 1);
  }

  private window(byte: number): number {
    const { input } = this;
    const at = this.start + byte;
    return input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16) | (input[at + 3]! << 24);
  }

  read(count: number): number {
    const value = this.peek(count);
    this.left -= count;
    return value;
  }
}

/** A decoding table: symbol, bits to read and baseline of each state. */
export interface FseTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly baselines: Uint16Array;
}

/** A table with one symbol that takes no bits. */
export function rleTable(symbol: number): FseTable {
  const symbols = Uint8Array.of(symbol);
  return { log: 0, symbols, bits: new Uint8Array(1), baselines: new Uint16Array(1) };
}

/** Section 4.1.1, "FSE Table Description": from probabilities to states. */
export function buildFse(probabilities: readonly number[], log: number): FseTable {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  const next = new Uint16Array(probabilities.length);
  let high = size;
  probabilities.forEach((probability, symbol) => {
    next[symbol] = Math.abs(probability);
    if (probability === -1) symbols[--high] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let position = 0;
  probabilities.forEach((probability, symbol) => {
    for (let n = 0; n < probability; n++) {
      symbols[position] = symbol;
      do position = (position + step) & (size - 1);
      while (position >= high);
    }
  });
  if (position !== 0) throw damaged();
  const bits = new Uint8Array(size);
  const baselines = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const share = next[symbols[state]!]!++;
    const count = log - (31 - Math.clz32(share));
    bits[state] = count;
    baselines[state] = (share << count) - size;
  }
  return { log, symbols, bits, baselines };
}

/** Reads a table description at [at, end); returns the table and where it ends. */
export function readFse(
  input: Uint8Array,
  at: number,
  end: number,
  maxLog: number,
  maxSymbols: number,
): { table: FseTable; end: number } {
  const limit = (end - at) * 8;
  let position = 0;
  const read = (count: number): number => {
    let value = 0;
    for (let n = 0; n < count; n++, position++) {
      if (position >= limit) throw damaged();
      value |= ((input[at + (position >> 3)]! >> (position & 7)) & 1) << n;
    }
    return value;
  };
  const log = read(4) + 5;
  if (log > maxLog) throw damaged();
  let remaining = (1 << log) + 1;
  const probabilities: number[] = [];
  while (remaining > 1) {
    if (probabilities.length >= maxSymbols) throw damaged();
    // Values up to `remaining`: the lower ones take one bit less.
    const width = 32 - Math.clz32(remaining);
    const short = (1 << width) - 1 - remaining;
    let value = read(width - 1);
    if (value >= short) {
      value += read(1) << (width - 1);
      if (value >= 1 << (width - 1)) value -= short;
    }
    const probability = value - 1;
    remaining -= Math.abs(probability);
    probabilities.push(probability);
    if (probability !== 0) continue;
    let repeat: number;
    do {
      repeat = read(2);
      if (probabilities.length + repeat > maxSymbols) throw damaged();
      for (let n = 0; n < repeat; n++) probabilities.push(0);
    } while (repeat === 3);
  }
  if (remaining !== 1 || probabilities.length > maxSymbols) throw damaged();
  return { table: buildFse(probabilities, log), end: at + ((position + 7) >> 3) };
}

/** Symbol and length of the code that begins with each value of `log` bits. */
export interface HuffmanTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly lengths: Uint8Array;
}

const MAX_HUFFMAN_LOG = 11;
const MAX_WEIGHT_LOG = 6;
const MAX_WEIGHTS = 255;

/** Section 4.2.1, "Huffman Tree Description". */
export function readHuffman(
  input: Uint8Array,
  at: number,
  end: number,
): { table: HuffmanTable; end: number } {
  if (at >= end) throw damaged();
  const header = input[at]!;
  const weights: number[] = [];
  let next: number;
  if (header >= 128) {
    const count = header - 127;
    next = at + 1 + ((count + 1) >> 1);
    if (next > end) throw damaged();
    for (let n = 0; n < count; n++) {
      const byte = input[at + 1 + (n >> 1)]!;
      weights.push(n % 2 === 0 ? byte >> 4 : byte & 15);
    }
  } else {
    next = at + 1 + header;
    if (next > end) throw damaged();
    readWeights(input, at + 1, next, weights);
  }
  return { table: buildHuffman(weights), end: next };
}

/** Weights as two interleaved FSE states, until the bits run out. */
function readWeights(input: Uint8Array, at: number, end: number, weights: number[]): void {
  const { table, end: start } = readFse(input, at, end, MAX_WEIGHT_LOG, MAX_HUFFMAN_LOG + 2);
  const bits = new BackwardBits(input, start, end);
  const states = [bits.read(table.log), bits.read(table.log)];
  for (let turn = 0; ; turn ^= 1) {
    const state = states[turn]!;
    weights.push(table.symbols[state]!);
    if (weights.length >= MAX_WEIGHTS) throw damaged();
    states[turn] = table.baselines[state]! + bits.read(table.bits[state]!);
    if (bits.left < 0) {
      weights.push(table.symbols[states[turn ^ 1]!]!);
      return;
    }
  }
}

function buildHuffman(weights: number[]): HuffmanTable {
  let sum = 0;
  for (const weight of weights) {
    if (weight > MAX_HUFFMAN_LOG) throw damaged();
    if (weight > 0) sum += 2 ** (weight - 1);
  }
  if (sum === 0) throw damaged();
  // The last weight is not written: it fills the sum up to a power of two.
  const log = 32 - Math.clz32(sum);
  const rest = 2 ** log - sum;
  const lastWeight = Math.log2(rest) + 1;
  if (log > MAX_HUFFMAN_LOG || !Number.isInteger(lastWeight)) throw damaged();
  const all = [...weights, lastWeight];
  const symbols = new Uint8Array(2 ** log);
  const lengths = new Uint8Array(2 ** log);
  let position = 0;
  for (let weight = 1; weight <= log; weight++) {
    all.forEach((own, symbol) => {
      if (own !== weight) return;
      const span = 2 ** (weight - 1);
      symbols.fill(symbol, position, position + span);
      lengths.fill(log + 1 - weight, position, position + span);
      position += span;
    });
  }
  if (position !== 2 ** log) throw damaged();
  return { log, symbols, lengths };
}

/** Decodes one Huffman stream into out[to, stop). */
export function decodeHuffman(
  table: HuffmanTable,
  input: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  to: number,
  stop: number,
): void {
  const bits = new BackwardBits(input, start, end);
  const { log, symbols, lengths } = table;
  for (let at = to; at < stop; at++) {
    const value = bits.peek(log);
    out[at] = symbols[value]!;
    bits.left -= lengths[value]!;
  }
  if (bits.left !== 0) throw damaged();
}
