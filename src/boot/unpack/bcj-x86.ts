/**
 * The BCJ filter for x86, backwards: call and jump targets, which the compressor made absolute,
 * become relative again (XZ file format 1.2.1, section 5.3.2; algorithm of XZ Embedded).
 */
const ALLOWED = [true, true, true, false, true, false, false, false];
const BIT_NUMBER = [0, 1, 2, 2, 3, 3, 3, 3];

const isSignByte = (byte: number): boolean => byte === 0 || byte === 0xff;

/** Filters a whole block in place. */
export function unfilterX86(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = bytes.length - 4;
  let previous = -1;
  let mask = 0;
  for (let at = 0; at < end; at++) {
    // Opcodes 0xe8 (call) and 0xe9 (jmp).
    if ((bytes[at]! & 0xfe) !== 0xe8) continue;
    const gap = at - previous;
    previous = at;
    if (gap > 3) {
      mask = 0;
    } else {
      mask = (mask << (gap - 1)) & 7;
      if (mask !== 0 && (!ALLOWED[mask]! || isSignByte(bytes[at + 4 - BIT_NUMBER[mask]!]!))) {
        mask = (mask << 1) | 1;
        continue;
      }
    }
    if (!isSignByte(bytes[at + 4]!)) {
      mask = (mask << 1) | 1;
      continue;
    }
    let source = view.getUint32(at + 1, true);
    let target: number;
    for (;;) {
      target = (source - (at + 5)) >>> 0;
      if (mask === 0) break;
      const bits = BIT_NUMBER[mask]! * 8;
      if (!isSignByte((target >>> (24 - bits)) & 0xff)) break;
      source = (target ^ (2 ** (32 - bits) - 1)) >>> 0;
    }
    target &= 0x01ffffff;
    if ((target & 0x01000000) !== 0) target |= 0xfe000000;
    view.setInt32(at + 1, target, true);
    at += 4;
  }
}
