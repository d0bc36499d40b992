/** Sequence numbers: 32 bits that wrap (RFC 9293, 3.4), kept as signed integers. */

/** a - b on the circle; positive when `a` is ahead. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

export function seqAdd(a: number, count: number): number {
  return (a + count) | 0;
}
