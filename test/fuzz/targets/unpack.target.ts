/** The decompressors of kernels: what comes out has the size that was announced, or nothing does. */
import { gzipSync } from 'node:zlib';
import { unpackPayload } from '../../../src/boot/unpack/unpack.js';
import { withSize } from '../../unit/boot/images.js';
import { sample, VECTORS } from '../../unit/boot/vectors.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';

const LIMIT = 8192;

async function run(bytes: Uint8Array): Promise<void> {
  const unpacked = await unpackPayload(bytes, LIMIT);
  if (typeof unpacked === 'string') return;
  const size = Buffer.from(bytes.subarray(bytes.length - 4)).readUInt32LE(0);
  must(unpacked.length === size && size <= LIMIT, 'as much as was announced');
}

/** The size at the end stays one that is unpacked, most of the time. */
function repair(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 8) return bytes;
  const copy = bytes.slice();
  copy.set([0, 0], bytes.length - 2);
  return copy;
}

const size = sample().length;

export const target: FuzzTarget = {
  name: 'unpack',
  maxBytes: 4096,
  seeds: [
    ...Object.values(VECTORS).map((bytes) => Uint8Array.from(withSize(bytes, size))),
    Uint8Array.from(withSize(gzipSync(sample()), size)),
  ],
  repair,
  // Each byte of output takes some blocks of bit reading.
  workLimit: 400 * LIMIT,
  open: () => ({ run }),
};
