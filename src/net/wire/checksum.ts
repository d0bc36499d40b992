/** The internet checksum (RFC 1071). Sums are not yet folded: they are added up, then finished. */

/** Words summed before a fold, so that a sum stays a small integer. */
const BLOCK = 0x4000;

/** From this length on it pays to look at memory in words. */
const WORDWISE = 64;

/** The words of the buffer that was summed last: payloads follow each other in one. */
let viewed: ArrayBufferLike | undefined;
let words: Uint32Array = new Uint32Array(0);

/** One's complement sum of 16-bit words; an odd last byte counts as the upper half of a word. */
export function sumBytes(bytes: Uint8Array, start: number, length: number, sum = 0): number {
  const end = start + length;
  let at = start;
  if (length >= WORDWISE && ((bytes.byteOffset + start) & 1) === 0) {
    if (((bytes.byteOffset + at) & 2) !== 0) {
      sum += (bytes[at]! << 8) + bytes[at + 1]!;
      at += 2;
    }
    const count = (end - at) >>> 2;
    // A sum of words in the other byte order is the sum in the other byte order (RFC 1071, 2 B).
    const swapped = sumWords(bytes.buffer, (bytes.byteOffset + at) >>> 2, count);
    sum += ((swapped & 0xff) << 8) + (swapped >>> 8);
    at += 4 * count;
  }
  const even = end - (length & 1);
  while (at < even) {
    const stop = Math.min(even, at + BLOCK);
    for (; at < stop; at += 2) sum += (bytes[at]! << 8) + bytes[at + 1]!;
    sum = foldSum(sum);
  }
  if (even < end) sum += bytes[even]! << 8;
  return foldSum(sum);
}

/** The sum of both halves of 32-bit words as this processor reads them, folded. */
function sumWords(buffer: ArrayBufferLike, start: number, count: number): number {
  if (buffer !== viewed) {
    viewed = buffer;
    words = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  }
  const view = words;
  const end = start + count;
  let sum = 0;
  for (let at = start; at < end;) {
    const stop = Math.min(end, at + BLOCK / 4);
    const pairs = stop - ((stop - at) & 1);
    for (; at < pairs; at += 2) {
      const first = view[at]!;
      const second = view[at + 1]!;
      sum += (first >>> 16) + (first & 0xffff) + (second >>> 16) + (second & 0xffff);
    }
    if (at < stop) {
      const last = view[at++]!;
      sum += (last >>> 16) + (last & 0xffff);
    }
    sum = foldSum(sum);
  }
  return sum;
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
