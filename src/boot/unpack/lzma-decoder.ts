/**
 * The LZMA decoder: LZMA SDK, "LZMA specification" (lzma-specification.txt). The output array is
 * the dictionary, so nothing is copied; input and output bounds are checked at every symbol.
 */

/** Offsets in the array of probabilities. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + 192;
const IS_REP_G0 = IS_REP + 12;
const IS_REP_G1 = IS_REP_G0 + 12;
const IS_REP_G2 = IS_REP_G1 + 12;
const IS_REP0_LONG = IS_REP_G2 + 12;
const POS_SLOT = IS_REP0_LONG + 192;
const POS_SPECIAL = POS_SLOT + 256;
const ALIGN = POS_SPECIAL + 115;
const LENGTH = ALIGN + 16;
const LENGTH_SIZE = 514;
const REP_LENGTH = LENGTH + LENGTH_SIZE;
const LITERAL = REP_LENGTH + LENGTH_SIZE;
/** Within a length coder. */
const CHOICE_2 = 1;
const LOW = 2;
const MID = 130;
const HIGH = 258;

const PROBABILITY_INIT = 1024;
const RANGE_TOP = 2 ** 24;
const MATCH_MIN = 2;
const END_MARKER = 0xffffffff;
const PROPERTIES_MAX = 225;
const RANGE = 0;
const CODE = 1;

/** A decoder that goes on where its last call ended, as LZMA2 chunks do. */
export class LzmaDecoder {
  /** Position in the output. */
  at = 0;
  /** Where the dictionary begins: matches do not reach before it. */
  dictionaryStart = 0;
  /** Position in the input. */
  from = 0;

  private probabilities = new Uint16Array(0);
  /** Range and code: a typed array, because numbers above 2^31 in fields are allocated. */
  private readonly coder = new Uint32Array(2);
  private state = 0;
  private rep0 = 0;
  private rep1 = 0;
  private rep2 = 0;
  private rep3 = 0;
  private literalContextBits = 0;
  private literalPositionMask = 0;
  private positionMask = 0;

  constructor(
    private readonly input: Uint8Array,
    private readonly output: Uint8Array,
  ) {}

  /** Takes the properties byte: lc + 9 * (lp + 5 * pb). */
  setProperties(byte: number): void {
    if (byte >= PROPERTIES_MAX) throw new Error('LZMA properties out of range');
    this.literalContextBits = byte % 9;
    const rest = Math.floor(byte / 9);
    this.literalPositionMask = 2 ** (rest % 5) - 1;
    this.positionMask = 2 ** Math.floor(rest / 5) - 1;
    const literals = 0x300 * 2 ** ((rest % 5) + this.literalContextBits);
    this.probabilities = new Uint16Array(LITERAL + literals);
  }

  /** Forgets everything but the dictionary and the properties. */
  resetState(): void {
    if (this.probabilities.length === 0) throw new Error('LZMA data without properties');
    this.probabilities.fill(PROBABILITY_INIT);
    this.state = this.rep0 = this.rep1 = this.rep2 = this.rep3 = 0;
  }

  /** Starts the range coder at the input position. */
  startRangeCoder(): void {
    if (this.probabilities.length === 0) throw new Error('LZMA data without properties');
    if (this.input.length - this.from < 5) throw new Error('LZMA data are cut short');
    if (this.input[this.from] !== 0) throw new Error('LZMA range coder starts wrong');
    const { input, from } = this;
    this.coder[RANGE] = 0xffffffff;
    this.coder[CODE] =
      (input[from + 1]! << 24) |
      (input[from + 2]! << 16) |
      (input[from + 3]! << 8) |
      input[from + 4]!;
    this.from += 5;
  }

  /** Copies an uncompressed chunk, whose size field of two bytes is at the input position. */
  copy(length: number, inputEnd: number, outputEnd: number): void {
    const from = this.from + 2;
    if (length > inputEnd - from || length > outputEnd - this.at) {
      throw new Error('LZMA data are cut short');
    }
    this.output.set(this.input.subarray(from, from + length), this.at);
    this.from = from + length;
    this.at += length;
  }

  private normalize(): void {
    const { coder } = this;
    if (coder[RANGE]! < RANGE_TOP) {
      // Past the end this reads undefined, a zero bit pattern; decode() looks at the position.
      coder[RANGE] = coder[RANGE]! << 8;
      coder[CODE] = (coder[CODE]! << 8) | this.input[this.from++]!;
    }
  }

  private bit(index: number): number {
    const { coder, probabilities } = this;
    const probability = probabilities[index]!;
    const range = coder[RANGE]!;
    const bound = Math.imul(range >>> 11, probability) >>> 0;
    const code = coder[CODE]!;
    let bit: number;
    if (code < bound) {
      coder[RANGE] = bound;
      probabilities[index] = probability + ((2048 - probability) >> 5);
      bit = 0;
    } else {
      coder[RANGE] = range - bound;
      coder[CODE] = code - bound;
      probabilities[index] = probability - (probability >> 5);
      bit = 1;
    }
    this.normalize();
    return bit;
  }

  private tree(base: number, bits: number): number {
    let symbol = 1;
    for (let n = bits; n > 0; n--) symbol = symbol * 2 + this.bit(base + symbol);
    return symbol - (1 << bits);
  }

  private reverseTree(base: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let n = 0; n < bits; n++) {
      const bit = this.bit(base + symbol);
      symbol = symbol * 2 + bit;
      value |= bit << n;
    }
    return value;
  }

  private directBits(count: number): number {
    const { coder } = this;
    let value = 0;
    for (let n = count; n > 0; n--) {
      const range = coder[RANGE]! >>> 1;
      coder[RANGE] = range;
      value *= 2;
      if (coder[CODE]! >= range) {
        coder[CODE] = coder[CODE]! - range;
        value += 1;
      }
      this.normalize();
    }
    return value;
  }

  private length(base: number, positionState: number): number {
    if (this.bit(base) === 0) return this.tree(base + LOW + positionState * 8, 3);
    if (this.bit(base + CHOICE_2) === 0) return 8 + this.tree(base + MID + positionState * 8, 3);
    return 16 + this.tree(base + HIGH, 8);
  }

  private distance(length: number): number {
    const slot = this.tree(POS_SLOT + Math.min(length, 3) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = (2 + (slot & 1)) * 2 ** bits;
    if (slot < 14) return base + this.reverseTree(POS_SPECIAL + base - slot - 1, bits);
    return base + this.directBits(bits - 4) * 16 + this.reverseTree(ALIGN, 4);
  }

  private literal(): void {
    const { output, at } = this;
    const position = at - this.dictionaryStart;
    const previous = position > 0 ? output[at - 1]! : 0;
    const context =
      ((position & this.literalPositionMask) << this.literalContextBits) +
      (previous >> (8 - this.literalContextBits));
    const base = LITERAL + 0x300 * context;
    let symbol = 1;
    if (this.state >= 7) {
      let match = output[at - this.rep0 - 1]!;
      while (symbol < 0x100) {
        const matchBit = (match >> 7) & 1;
        match <<= 1;
        const bit = this.bit(base + ((1 + matchBit) << 8) + symbol);
        symbol = symbol * 2 + bit;
        if (matchBit !== bit) break;
      }
    }
    while (symbol < 0x100) symbol = symbol * 2 + this.bit(base + symbol);
    output[at] = symbol;
    this.at = at + 1;
    this.state = this.state < 4 ? 0 : this.state < 10 ? this.state - 3 : this.state - 6;
  }

  /** Reads a match or a repeated one and returns its length; 0 when it copied one byte. */
  private match(positionState: number): number {
    const { state } = this;
    if (this.bit(IS_REP + state) === 0) {
      this.rep3 = this.rep2;
      this.rep2 = this.rep1;
      this.rep1 = this.rep0;
      const length = this.length(LENGTH, positionState);
      this.state = state < 7 ? 7 : 10;
      this.rep0 = this.distance(length);
      return length + MATCH_MIN;
    }
    if (this.bit(IS_REP_G0 + state) === 0) {
      if (this.bit(IS_REP0_LONG + state * 16 + positionState) === 0) {
        this.state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      let distance: number;
      if (this.bit(IS_REP_G1 + state) === 0) {
        distance = this.rep1;
      } else {
        if (this.bit(IS_REP_G2 + state) === 0) {
          distance = this.rep2;
        } else {
          distance = this.rep3;
          this.rep3 = this.rep2;
        }
        this.rep2 = this.rep1;
      }
      this.rep1 = this.rep0;
      this.rep0 = distance;
    }
    const length = this.length(REP_LENGTH, positionState);
    this.state = state < 7 ? 8 : 11;
    return length + MATCH_MIN;
  }

  /** Decodes one more symbol. @throws Error when it is not the end marker */
  expectEndMarker(inputEnd: number): void {
    const positionState = (this.at - this.dictionaryStart) & this.positionMask;
    const isMatch = this.bit(IS_MATCH + this.state * 16 + positionState) === 1;
    if (isMatch) this.match(positionState);
    if (!isMatch || this.rep0 !== END_MARKER || this.from > inputEnd) {
      throw new Error('LZMA data go on behind their end');
    }
  }

  /**
   * Decodes until the output position is `end`, or the end marker.
   * @throws Error when the data are damaged or the input ends at `inputEnd` before that
   */
  decode(end: number, inputEnd: number): void {
    const { output } = this;
    while (this.at < end) {
      if (this.from > inputEnd) throw new Error('LZMA data are cut short');
      const positionState = (this.at - this.dictionaryStart) & this.positionMask;
      if (this.bit(IS_MATCH + this.state * 16 + positionState) === 0) {
        this.literal();
        continue;
      }
      const length = this.match(positionState);
      if (this.rep0 === END_MARKER) return;
      const distance = this.rep0 + 1;
      if (distance > this.at - this.dictionaryStart) throw new Error('LZMA match before the data');
      if (length > end - this.at) throw new Error('LZMA match beyond the data');
      for (let to = this.at, stop = to + length; to < stop; to++) {
        output[to] = output[to - distance]!;
      }
      this.at += length;
    }
    if (this.from > inputEnd) throw new Error('LZMA data are cut short');
  }
}
