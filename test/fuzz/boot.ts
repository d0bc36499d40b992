/**
 * Fuzzing of the kernel loaders: valid images are made, changed where it hurts, and loaded.
 * The oracle: the result is a BootResult that points into RAM and left the command line and the
 * initrd whole, or a VexitError; within a second, and without memory growing. Same seed, same run.
 */
import { gzipSync } from 'node:zlib';
import { loadBoot, type BootOptions } from '../../src/boot/load.js';
import type { BootProtocol, BootResult } from '../../src/boot/boot-result.js';
import type { GuestMemory } from '../../src/memory/guest-memory.js';
import { CMDLINE_ADDRESS, PVH_INFO_ADDRESS, ZERO_PAGE_ADDRESS } from '../../src/memory/layout.js';
import {
  bzImage,
  elf,
  LINUX_NOTE,
  multibootHeader,
  pattern,
  pvhNote,
  withSize,
} from '../unit/boot/images.js';
import { sample, VECTORS } from '../unit/boot/vectors.js';

const TIME_LIMIT_MS = 1000;
const CMDLINE = 'fuzz=1';
const INITRD = pattern(100, 77);

/** xorshift32: small, and the same everywhere. */
class Random {
  constructor(private state: number) {}
  below(limit: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state % limit;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Values at which checks go wrong, as unsigned 64-bit integers. */
const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  4n,
  7n,
  8n,
  11n,
  12n,
  0x1fn,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x500n,
  0xfffn,
  0x1000n,
  0x6000n,
  0x7000n,
  0x9000n,
  0x10000n,
  0x20000n,
  0x9fc00n,
  0xa0000n,
  0xe0000n,
  0xfffffn,
  0x100000n,
  0xffffffn,
  0x1000000n,
  0x1000001n,
  0x1fff000n,
  0x2000000n,
  0x7fffffffn,
  0x80000000n,
  0xbfffffffn,
  0xc0000000n,
  0xfffff000n,
  0xfffffff8n,
  0xffffffffn,
  0x100000000n,
  2n ** 52n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 0x1000000n,
  2n ** 64n - 1n,
];

interface Seed {
  readonly image: Buffer;
  readonly protocol?: BootProtocol;
  /** Offsets worth changing, with their width in bytes. */
  readonly fields: readonly (readonly [number, number])[];
}

function elfFields(bits: 32 | 64, headers: number, base = 0): [number, number][] {
  const fields: [number, number][] = [
    [4, 1],
    [5, 1],
    [16, 2],
    [18, 2],
    [20, 4],
    ...(bits === 64
      ? ([
          [24, 8],
          [32, 8],
          [54, 2],
          [56, 2],
        ] as [number, number][])
      : ([
          [24, 4],
          [28, 4],
          [42, 2],
          [44, 2],
        ] as [number, number][])),
  ];
  for (let n = 0; n < headers; n++) {
    const at = bits === 64 ? 64 + n * 56 : 52 + n * 32;
    const size = bits / 8;
    fields.push([at, 4]);
    for (let f = 0; f < 5; f++) fields.push([at + (bits === 64 ? 8 : 4) + f * size, size]);
    fields.push([at + (bits === 64 ? 48 : 28), size]);
  }
  return fields.map(([at, width]) => [base + at, width]);
}

/** bzImage header fields from the setup header, by offset and width. */
const BZ_FIELDS: readonly [number, number][] = [
  [0x1f1, 1],
  [0x1f4, 4],
  [0x1fe, 2],
  [0x201, 1],
  [0x202, 4],
  [0x206, 2],
  [0x211, 1],
  [0x22c, 4],
  [0x230, 4],
  [0x234, 1],
  [0x236, 2],
  [0x238, 4],
  [0x248, 4],
  [0x24c, 4],
  [0x258, 8],
  [0x260, 4],
];

function seeds(): Seed[] {
  const segments = [
    { paddr: 0x1000000, data: pattern(0x300), memsz: 0x20000 },
    { paddr: 0x1100000, data: pattern(0x100), memsz: 0x200 },
  ];
  const multiboot = [
    { paddr: 0x1000000, data: Buffer.concat([multibootHeader(3), Buffer.alloc(64)]) },
  ];
  const kludge = Buffer.alloc(0x200, 0xcc);
  multibootHeader(0x10003, [0x100000, 0x100000, 0x100100, 0x101000, 0x100040]).copy(kludge);
  const notes = [LINUX_NOTE];
  const noteStart = 64 + 3 * 56 + 0x400;
  const list: Seed[] = [
    { image: elf({ segments, notes }), fields: elfFields(64, 3) },
    {
      image: elf({ segments, notes: [pvhNote(0x1000010)] }),
      fields: [
        ...elfFields(64, 3),
        [noteStart, 4],
        [noteStart + 4, 4],
        [noteStart + 8, 4],
        [noteStart + 16, 8],
      ],
    },
    {
      image: elf({ segments, bits: 32, notes: [pvhNote(0x1000010, 4)] }),
      fields: elfFields(32, 3),
    },
    {
      image: elf({ segments: multiboot, bits: 32 }),
      fields: [...elfFields(32, 1), [84, 4], [88, 4]],
    },
    { image: elf({ segments: multiboot }), protocol: 'multiboot', fields: elfFields(64, 1) },
    { image: kludge, fields: [4, 8, 12, 16, 20, 24, 28].map((at) => [at, 4] as const) },
    { image: bzImage(), fields: BZ_FIELDS },
    { image: bzImage({ payload: new Uint8Array(0) }), fields: BZ_FIELDS },
  ];
  const inner = elf({ segments, notes });
  // The damaged kernel inside is found after unpacking: stored blocks keep its bytes readable.
  const stored = gzipSync(inner, { level: 0 });
  const image = bzImage({ payload: stored });
  list.push({ image, fields: elfFields(64, 3, 1024 + 0x400 + 15) });
  const size = sample().length;
  for (const bytes of Object.values(VECTORS)) {
    const payload = withSize(bytes, size);
    const start = 1024 + 0x400;
    const end = start + payload.length;
    const fields = Array.from({ length: 24 }, (_, n) => [start + n, 1] as const);
    list.push({ image: bzImage({ payload }), fields: [...fields, [end - 4, 4]] });
  }
  return list;
}

/** Keeps a multiboot header valid after its other fields have changed, most of the time. */
function repair(image: Buffer, random: Random): void {
  if (random.below(4) === 0) return;
  for (let at = 0; at + 12 <= Math.min(image.length, 8192); at += 4) {
    if (image.readUInt32LE(at) !== 0x1badb002) continue;
    image.writeUInt32LE((2 ** 33 - 0x1badb002 - image.readUInt32LE(at + 4)) % 2 ** 32, at + 8);
  }
}

function mutate(seed: Seed, random: Random): Buffer {
  let image = Buffer.from(seed.image);
  for (let n = 1 + random.below(4); n > 0; n--) {
    const kind = random.below(10);
    if (kind < 6) {
      const [at, width] = random.pick(seed.fields);
      if (at + width > image.length) continue;
      let value = random.pick(EDGES);
      if (random.below(3) === 0) value += BigInt(random.below(0x2000)) - 0x1000n;
      for (let byte = 0; byte < width; byte++) {
        image[at + byte] = Number((BigInt.asUintN(64, value) >> BigInt(8 * byte)) & 0xffn);
      }
    } else if (kind < 8) {
      image[random.below(image.length)] = random.below(256);
    } else if (kind === 8 && image.length > 1) {
      image = image.subarray(0, 1 + random.below(image.length - 1));
    } else {
      const from = random.below(image.length);
      image.copyWithin(random.below(image.length), from, from + random.below(64));
    }
  }
  repair(image, random);
  return image;
}

/** What is wrong with a result, or undefined. */
function judge(memory: GuestMemory, result: BootResult, withInitrd: boolean): string | undefined {
  const { cpu } = result;
  if (!memory.contains(cpu.rip, 1)) return `rip 0x${cpu.rip.toString(16)} is not in RAM`;
  if (result.protocol !== 'flat' && result.protocol !== 'firmware') {
    const text = Buffer.from(memory.read(CMDLINE_ADDRESS, CMDLINE.length + 1)).toString('latin1');
    if (text !== `${CMDLINE}\0`) return 'the command line was overwritten';
  }
  if (!withInitrd || (result.protocol !== 'linux' && result.protocol !== 'pvh')) return undefined;
  let address: number;
  if (result.protocol === 'linux') {
    const high = memory.getUint32(ZERO_PAGE_ADDRESS + 0xc0);
    address = high * 2 ** 32 + memory.getUint32(ZERO_PAGE_ADDRESS + 0x218);
  } else {
    address = Number(memory.getUint64(Number(memory.getUint64(PVH_INFO_ADDRESS + 16))));
  }
  const same = Buffer.from(memory.read(address, INITRD.length)).equals(INITRD);
  return same ? undefined : 'the initrd was overwritten';
}

/** A failed case: what happened, and the image with which it happens again. */
export interface BootFuzzFailure {
  readonly iteration: number;
  readonly what: string;
  readonly image: Buffer;
}

export interface BootFuzzReport {
  readonly iterations: number;
  readonly loaded: number;
  readonly failures: readonly BootFuzzFailure[];
  /** Growth of the process, in bytes. */
  readonly grown: number;
}

/** Fuzzes for this many milliseconds, or until ten cases have failed. */
export async function fuzzBoot(
  memory: GuestMemory,
  seed: number,
  milliseconds: number,
): Promise<BootFuzzReport> {
  const random = new Random(seed);
  const corpus = seeds();
  const failures: BootFuzzFailure[] = [];
  const end = performance.now() + milliseconds;
  let before = 0;
  let iterations = 0;
  let loaded = 0;
  while (performance.now() < end && failures.length < 10) {
    // What is used once, like the code of the decompressors, is no growth.
    if (iterations === 500) before = process.memoryUsage.rss();
    const parent = random.pick(corpus);
    const image = mutate(parent, random);
    const withInitrd = random.below(2) === 0;
    const options: BootOptions = {
      kernel: { name: 'fuzz', bytes: image },
      cmdline: CMDLINE,
      initrds: withInitrd ? [{ name: 'initrd', bytes: INITRD }] : [],
      protocol: random.below(3) === 0 ? parent.protocol : undefined,
    };
    const start = performance.now();
    let what: string | undefined;
    try {
      const result = await loadBoot(memory, options);
      loaded++;
      what = judge(memory, result, withInitrd);
    } catch (error) {
      const { name, stack } = error as Error;
      if (name !== 'VexitError') what = stack ?? String(error);
    }
    const took = performance.now() - start;
    if (took > TIME_LIMIT_MS) what = `took ${Math.round(took)} ms`;
    if (what !== undefined) failures.push({ iteration: iterations, what, image });
    iterations++;
  }
  const grown = before === 0 ? 0 : process.memoryUsage.rss() - before;
  return { iterations, loaded, failures, grown };
}
