/** zstd for Node.js before 22.15: the fzstd library, held to the size that the image states. */
import { Decompress } from 'fzstd';
import type { Decompressor } from './unpack.js';

/** Input handed over at a time: what one piece may expand to is bounded by the frame's blocks. */
const PIECE_BYTES = 256 * 1024;
const TRAILER_BYTES = 4;

/** Unpacks one frame; the trailer that Linux appends is not part of it. */
export const unzstdScript: Decompressor = (input, size) => {
  const output = new Uint8Array(size);
  let length = 0;
  const stream = new Decompress((chunk) => {
    if (length + chunk.length > size) throw new Error(`more than ${size} bytes`);
    output.set(chunk, length);
    length += chunk.length;
  });
  const frame = input.subarray(0, -TRAILER_BYTES);
  for (let at = 0; at < frame.length; at += PIECE_BYTES) {
    stream.push(frame.subarray(at, at + PIECE_BYTES), at + PIECE_BYTES >= frame.length);
  }
  if (length !== size) throw new Error(`${length} bytes instead of ${size}`);
  return output;
};
