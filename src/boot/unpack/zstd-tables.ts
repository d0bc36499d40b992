/** Constants of Zstandard sequences: RFC 8878, sections 3.1.1.3.2.1 and 3.1.1.3.2.2. */

/** Base value and number of extra bits of a code. */
export interface CodeTable {
  readonly base: readonly number[];
  readonly bits: readonly number[];
  /** Most bits of a table description. */
  readonly maxLog: number;
  /** The predefined distribution and its log. */
  readonly defaults: readonly number[];
  readonly defaultLog: number;
}

function bases(bits: readonly number[], first: number): number[] {
  let base = first;
  return bits.map((count) => {
    const here = base;
    base += 2 ** count;
    return here;
  });
}

const times = (count: number, value: number): number[] => Array<number>(count).fill(value);

const LITERAL_BITS = [
  ...times(16, 0),
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  6,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
];
const MATCH_BITS = [
  ...times(32, 0),
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  4,
  5,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
];
const OFFSET_BITS = Array.from({ length: 32 }, (_, code) => code);

export const LITERAL_LENGTHS: CodeTable = {
  base: bases(LITERAL_BITS, 0),
  bits: LITERAL_BITS,
  maxLog: 9,
  defaults: [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
    -1, -1, -1, -1,
  ],
  defaultLog: 6,
};

export const MATCH_LENGTHS: CodeTable = {
  base: bases(MATCH_BITS, 3),
  bits: MATCH_BITS,
  maxLog: 9,
  defaults: [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
  ],
  defaultLog: 6,
};

export const OFFSETS: CodeTable = {
  base: OFFSET_BITS.map((bits) => 2 ** bits),
  bits: OFFSET_BITS,
  maxLog: 8,
  defaults: [
    1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
  ],
  defaultLog: 5,
};
