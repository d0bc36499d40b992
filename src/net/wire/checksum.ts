/** The internet checksum (RFC 1071). Sums are not yet folded: they are added up, then finished. */

/** Words summed before a fold, so that a sum stays a small integer. */
const BLOCK = 0x4000;

/** One's complement sum of 16-bit words; an odd last byte counts as the upper half of a word. */
export function sumBytes(bytes: Uint8Array, start: number, length: number, sum = 0): number {
  let at = start;
  const end = start + length;
  const even = end - (length & 1);
  while (at < even) {
    const stop = Math.min(even, at + BLOCK);
    const quads = stop - ((stop - at) & 3);
    for (; at < quads; at += 4) {
      sum += ((bytes[at]! + bytes[at + 2]!) << 8) + bytes[at + 1]! + bytes[at + 3]!;
    }
    for (; at < stop; at += 2) sum += (bytes[at]! << 8) + bytes[at + 1]!;
    sum = foldSum(sum);
  }
  if (even < end) sum += bytes[even]! << 8;
  return foldSum(sum);
}

/** A sum in 16 bits. */
export function foldSum(sum: number): number {
  sum = (sum >>> 16) + (sum & 0xffff);
  return (sum >>> 16) + (sum & 0xffff);
}

/** The checksum field that belongs to a sum. */
export function finishSum(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}
