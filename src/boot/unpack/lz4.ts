/**
 * LZ4 legacy frames, which `lz4 -l` writes (lz4_Frame_format.md, "Legacy frame"): a magic number,
 * then blocks of at most 8 MiB of output, each behind its compressed size. Block format:
 * lz4_Block_format.md.
 */
import type { Decompressor } from './unpack.js';

const MAGIC = 0x184c2102;
const MIN_MATCH = 4;

/** Unpacks a legacy frame with four bytes of size behind it. */
export const unlz4: Decompressor = (input, size) => {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  const output = new Uint8Array(size);
  const end = input.length - 4;
  let at = 4;
  let produced = 0;
  while (at < end) {
    const length = view.getUint32(at, true);
    at += 4;
    if (length === MAGIC) continue;
    if (length > end - at) throw new Error('a block is longer than the payload');
    produced = unpackBlock(input, at, at + length, output, produced);
    at += length;
  }
  if (produced !== size) throw new Error(`${produced} bytes instead of ${size}`);
  return output;
};

const tooMuch = (): Error => new Error('more bytes than the payload says');
const cutShort = (): Error => new Error('a block is cut short');

/** Unpacks one block from [at, end) to `produced` on; matches do not reach into earlier blocks. */
function unpackBlock(
  input: Uint8Array,
  at: number,
  end: number,
  output: Uint8Array,
  produced: number,
): number {
  const start = produced;
  let from = at;
  let to = produced;
  while (from < end) {
    const token = input[from++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more: number;
      do {
        if (from >= end) throw cutShort();
        more = input[from++]!;
        literals += more;
      } while (more === 255);
    }
    if (literals > end - from) throw cutShort();
    if (literals > output.length - to) throw tooMuch();
    if (literals > 32) {
      output.set(input.subarray(from, from + literals), to);
      from += literals;
      to += literals;
    } else {
      for (let n = literals; n > 0; n--) output[to++] = input[from++]!;
    }
    // The last sequence of a block has literals only.
    if (from === end) return to;
    if (end - from < 2) throw cutShort();
    const offset = input[from]! + input[from + 1]! * 256;
    from += 2;
    let match = (token & 15) + MIN_MATCH;
    if ((token & 15) === 15) {
      let more: number;
      do {
        if (from >= end) throw cutShort();
        more = input[from++]!;
        match += more;
      } while (more === 255);
    }
    if (offset === 0 || offset > to - start) throw new Error('a match before the block begins');
    if (match > output.length - to) throw tooMuch();
    if (match > 64 && offset >= match) {
      output.copyWithin(to, to - offset, to - offset + match);
      to += match;
    } else {
      for (let n = match; n > 0; n--, to++) output[to] = output[to - offset]!;
    }
  }
  return to;
}
