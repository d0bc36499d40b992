import { execFileSync, spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { loadBoot } from '../../../src/boot/load.js';
import { unpackPayload } from '../../../src/boot/unpack/unpack.js';
import {
  bzImage,
  elf,
  file,
  LINUX_NOTE,
  MIB,
  withDirectory,
  withMemory,
  withSize,
} from './images.js';
import { sample, VECTORS } from './vectors.js';

const expected = sample();
const payloads: [string, Buffer][] = [
  ...Object.entries(VECTORS).map(([name, bytes]): [string, Buffer] => [
    name,
    withSize(bytes, expected.length),
  ]),
  ['gzip', gzipSync(expected)],
];

describe('payload decompressors', () => {
  it.each(payloads)('%s', async (_name, payload) => {
    const result = await unpackPayload(payload, MIB);
    expect(typeof result).toBe('object');
    expect(Buffer.compare(Buffer.from(result as Uint8Array), expected)).toBe(0);
  });

  it.each(payloads)('[H2] %s, cut short at each byte, is refused', async (_name, payload) => {
    for (let length = 0; length < payload.length - 5; length += 3) {
      const cut = withSize(payload.subarray(0, length), expected.length);
      const result = await unpackPayload(cut, MIB);
      // The end marker and checksums behind the last byte may be what is missing.
      if (typeof result !== 'string') expect(Buffer.from(result).equals(expected)).toBe(true);
      else expect(result).toMatch(/^the (payload|\w+ payload cannot be unpacked)/);
    }
  });

  it.each(payloads)('[H2] %s with damaged bytes ends in time', async (_name, payload) => {
    let state = 1;
    for (let round = 0; round < 300; round++) {
      const bad = Buffer.from(payload);
      for (let n = 1 + (round % 3); n > 0; n--) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        bad[6 + (state % (bad.length - 10))] = state >>> 24;
      }
      const result = await unpackPayload(bad, MIB);
      if (typeof result !== 'string') expect(result).toHaveLength(expected.length);
    }
  });

  it.each(payloads)('[H2] %s with another size is refused', async (_name, payload) => {
    for (const size of [0, 1, expected.length - 1, expected.length + 1]) {
      const bad = Buffer.from(payload);
      bad.writeUInt32LE(size, bad.length - 4);
      expect(typeof (await unpackPayload(bad, MIB))).toBe('string');
    }
    expect(await unpackPayload(payload, expected.length - 1)).toBe(
      'the payload would unpack to 6000 bytes, the limit is 5999',
    );
  });
});

/** The commands of Linux scripts/Makefile.lib, smaller where that makes no other format. */
const TOOLS: [string, string[]][] = [
  ['xz', ['--check=crc32', '--x86', '--lzma2=preset=1,dict=32MiB']],
  ['xz', ['--check=crc32', '--x86', '--lzma2=preset=1', '--block-size=3MiB']],
  ['xz', ['--format=lzma', '-1']],
  ['zstd', ['-q', '-3']],
  ['zstd', ['-q', '-19', '--long=27']],
  ['lz4', ['-l', '-q', '-9']],
  ['bzip2', ['-1']],
  ['gzip', ['-n', '-6']],
];

const installed = (tool: string): boolean => spawnSync(tool, ['--version']).status === 0;

/** A kernel of 9 MiB, more than one block for every compressor, mostly repeats of the sample. */
function bigKernel(): Buffer {
  const data = Buffer.alloc(9 * MIB);
  for (let at = 0; at < data.length; at += expected.length) {
    data.set(expected.subarray(0, Math.min(expected.length, data.length - at)), at);
    data.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
  }
  return elf({ segments: [{ paddr: 0x1000000, data }], notes: [LINUX_NOTE] });
}

describe('payloads made by the tools that make kernels', () => {
  for (const [tool, args] of TOOLS) {
    const test = installed(tool) ? it : it.skip;
    test(`${tool} ${args.join(' ')}`, async () => {
      const kernel = bigKernel();
      await withDirectory(async (directory) => {
        const input = file(directory, 'vmlinux', kernel);
        const limit = { maxBuffer: 64 * MIB };
        const compressed = execFileSync(tool, [...args, '-c', input], limit);
        const payload = tool === 'gzip' ? compressed : withSize(compressed, kernel.length);
        const bytes = bzImage({ payload, initSize: 16 * MIB });
        await withMemory(64 * MIB, async (memory) => {
          const result = await loadBoot(memory, { kernel: { name: 'bz', bytes } });
          expect(result).toMatchObject({ format: 'bzImage', warnings: [] });
          const data = kernel.subarray(0x40 + 2 * 56, 0x40 + 2 * 56 + 9 * MIB);
          expect(Buffer.from(memory.read(0x1000000, 9 * MIB)).equals(data)).toBe(true);
        });
      });
    });
  }
});
