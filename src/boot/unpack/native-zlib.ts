/** The compressions that Node.js itself brings. */
import * as zlib from 'node:zlib';
import type { Decompressor } from './unpack.js';

const CHUNK_MIN = 1024;

/** zstd came to Node.js in 22.15. */
interface ZstdOptions {
  readonly chunkSize: number;
  readonly maxOutputLength: number;
}
type ZstdSync = (input: Uint8Array, options: ZstdOptions) => Uint8Array;

/** One chunk takes all the output, so that it is not put together from pieces. */
function options(size: number): ZstdOptions {
  return { chunkSize: size + CHUNK_MIN, maxOutputLength: size + 1 };
}

function exactly(output: Uint8Array, size: number): Uint8Array {
  if (output.length !== size) throw new Error(`${output.length} bytes instead of ${size}`);
  return output;
}

/** gzip; its own trailer is the size, so nothing is cut off. */
export const gunzip: Decompressor = (input, size) =>
  exactly(zlib.gunzipSync(input, options(size)), size);

/** zstd, by Node.js where it can, else by a library, which is several times slower. */
export async function unzstd(): Promise<Decompressor> {
  const native = (zlib as { zstdDecompressSync?: ZstdSync }).zstdDecompressSync;
  if (native === undefined) return (await import('./zstd.js')).unzstdScript;
  return (input, size) => exactly(native(input.subarray(0, -4), options(size)), size);
}
