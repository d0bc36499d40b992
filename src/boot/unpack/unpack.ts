/**
 * Unpacks the payload of a bzImage: the compressors of Linux arch/x86/boot/compressed/Makefile.
 * Whatever the compressor, the last four bytes are the size of what comes out (mkpiggy.c). Each
 * decompressor is loaded only when a payload needs it and writes at most that many bytes.
 */
import { errorMessage } from '../../util/errors.js';

/** Unpacks `input` into exactly `size` bytes, or throws. */
export type Decompressor = (input: Uint8Array, size: number) => Uint8Array;

interface Compression {
  readonly name: string;
  readonly magic: readonly number[];
  readonly load: () => Promise<Decompressor>;
}

/** Magic numbers, as in Linux lib/decompress.c. */
const COMPRESSIONS: readonly Compression[] = [
  {
    name: 'gzip',
    magic: [0x1f, 0x8b],
    load: async () => (await import('./native-zlib.js')).gunzip,
  },
  {
    name: 'zstd',
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    load: async () => (await import('./native-zlib.js')).unzstd(),
  },
  {
    name: 'lz4',
    magic: [0x02, 0x21, 0x4c, 0x18],
    load: async () => (await import('./lz4.js')).unlz4,
  },
  {
    name: 'xz',
    magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
    load: async () => (await import('./xz.js')).unxz,
  },
  {
    name: 'bzip2',
    magic: [0x42, 0x5a, 0x68],
    load: async () => (await import('./bzip2.js')).unbzip2,
  },
  {
    name: 'lzma',
    magic: [0x5d, 0x00, 0x00],
    load: async () => (await import('./lzma.js')).unlzma,
  },
];

const SIZE_BYTES = 4;

/**
 * Unpacks a payload.
 * @param limit most bytes that may come out
 * @returns the bytes, or why there are none
 */
export async function unpackPayload(
  payload: Uint8Array,
  limit: number,
): Promise<Uint8Array | string> {
  const compression = COMPRESSIONS.find(({ magic }) =>
    magic.every((byte, index) => payload[index] === byte),
  );
  if (compression === undefined || payload.length < 16) {
    return 'the payload is not compressed in a way known here';
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const size = view.getUint32(payload.length - SIZE_BYTES, true);
  if (size > limit) return `the payload would unpack to ${size} bytes, the limit is ${limit}`;
  try {
    const unpack = await compression.load();
    return unpack(payload, size);
  } catch (error) {
    return `the ${compression.name} payload cannot be unpacked: ${errorMessage(error)}`;
  }
}
