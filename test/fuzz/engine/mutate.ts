/** Makes a case from others: flipped bits, edges of numbers, pieces moved, two cases joined. */
import type { Random } from './random.js';
import type { FuzzTarget } from './target.js';

const EDGES = [
  0n,
  1n,
  2n,
  3n,
  4n,
  7n,
  8n,
  0x10n,
  0x1fn,
  0x20n,
  0x3fn,
  0x40n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x1ffn,
  0x200n,
  0x3ffn,
  0x400n,
  0xfffn,
  0x1000n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  0x9fc00n,
  0x100000n,
  0xffffffn,
  0x1000000n,
  0x7fffffffn,
  0x80000000n,
  0xfffff000n,
  0xffffffffn,
  0x100000000n,
  2n ** 52n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 0x1000n,
  2n ** 64n - 1n,
] as const;
const WIDTHS = [1, 2, 2, 4, 4, 8] as const;

function put(bytes: Uint8Array, at: number, width: number, value: bigint, big: boolean): void {
  for (let i = 0; i < width && at + i < bytes.length; i++) {
    const shift = BigInt(8 * (big ? width - 1 - i : i));
    bytes[at + i] = Number((value >> shift) & 0xffn);
  }
}

function insert(bytes: Uint8Array, at: number, piece: Uint8Array): Uint8Array {
  const joined = new Uint8Array(bytes.length + piece.length);
  joined.set(bytes.subarray(0, at));
  joined.set(piece, at);
  joined.set(bytes.subarray(at), at + piece.length);
  return joined;
}

function remove(bytes: Uint8Array, at: number, length: number): Uint8Array {
  const rest = new Uint8Array(bytes.length - length);
  rest.set(bytes.subarray(0, at));
  rest.set(bytes.subarray(at + length), at);
  return rest;
}

function randomBytes(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.below(256);
  return bytes;
}

/** One step, in place where the length stays. */
function step(
  bytes: Uint8Array,
  random: Random,
  other: Uint8Array,
  { dictionary = [], fields = [] }: FuzzTarget,
): Uint8Array {
  const { length } = bytes;
  if (length === 0) return randomBytes(random, 1 + random.below(16));
  let at = random.below(length);
  switch (random.below(12)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at] = random.below(256);
      return bytes;
    case 2:
      bytes[at]! += random.below(33) - 16;
      return bytes;
    case 3:
    case 4:
      if (fields.length > 0 && random.below(2) === 0) at = random.pick(fields) % length;
      put(bytes, at, random.pick(WIDTHS), random.pick(EDGES), random.below(2) === 0);
      return bytes;
    case 5:
      return insert(bytes, at, randomBytes(random, 1 + random.below(12)));
    case 6:
      return remove(bytes, at, Math.min(length - at, 1 + random.below(16)));
    case 7: {
      const from = random.below(length);
      const size = Math.min(length - from, 1 + random.below(32));
      return insert(bytes, at, bytes.slice(from, from + size));
    }
    case 8: {
      const from = random.below(length);
      bytes.copyWithin(at, from, from + 1 + random.below(32));
      return bytes;
    }
    case 9:
      return insert(bytes.slice(0, at), at, other.subarray(random.below(other.length + 1)));
    case 10: {
      const from = random.below(other.length + 1);
      return insert(bytes, at, other.subarray(from, from + 1 + random.below(48)));
    }
    default: {
      if (dictionary.length === 0) return insert(bytes, at, randomBytes(random, 1));
      const token = random.pick(dictionary);
      if (random.below(2) === 0) return insert(bytes, at, token);
      bytes.set(token.subarray(0, length - at), at);
      return bytes;
    }
  }
}

/** A changed copy of `parent`; `other` is a case that pieces are taken from. */
export function mutate(
  parent: Uint8Array,
  other: Uint8Array,
  random: Random,
  target: FuzzTarget,
): Uint8Array {
  let bytes: Uint8Array = parent.slice();
  for (let steps = 1 << random.below(4); steps > 0; steps--) {
    bytes = step(bytes, random, other, target);
  }
  const { maxBytes } = target;
  return bytes.length > maxBytes ? bytes.slice(0, maxBytes) : bytes;
}
