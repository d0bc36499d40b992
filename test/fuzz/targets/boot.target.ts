/**
 * Kernel loaders: ELF, bzImage and multiboot images. The result is a BootResult that points into RAM
 * and left the command line and the initrd whole, or a VexitError.
 */
import { gzipSync } from 'node:zlib';
import { loadBoot, type BootOptions } from '../../../src/boot/load.js';
import type { BootProtocol, BootResult } from '../../../src/boot/boot-result.js';
import { GuestMemory } from '../../../src/memory/guest-memory.js';
import {
  CMDLINE_ADDRESS,
  PVH_INFO_ADDRESS,
  ZERO_PAGE_ADDRESS,
  memoryRegions,
} from '../../../src/memory/layout.js';
import {
  bzImage,
  elf,
  LINUX_NOTE,
  MIB,
  multibootHeader,
  pattern,
  pvhNote,
  withSize,
} from '../../unit/boot/images.js';
import { sample, VECTORS } from '../../unit/boot/vectors.js';
import type { FuzzTarget, OpenTarget } from '../engine/target.js';

const CMDLINE = 'fuzz=1';
const INITRD = pattern(100, 77);
const RAM = 20 * MIB;
const PROTOCOLS: readonly (BootProtocol | undefined)[] = [
  ...[undefined, undefined, undefined, undefined],
  ...(['linux', 'pvh', 'multiboot', 'flat'] as const),
];
const SEGMENTS = 0x1000000;
const MULTIBOOT_MAGIC = 0x1badb002;

class BootCase implements OpenTarget {
  private readonly memory = GuestMemory.create('boot-fuzz', memoryRegions(RAM));

  /** The first byte chooses the options; the rest is the image. */
  async run(bytes: Uint8Array): Promise<void> {
    const { memory } = this;
    const [shape = 0] = bytes;
    const withInitrd = (shape & 1) === 0;
    const options: BootOptions = {
      kernel: { name: 'fuzz', bytes: Buffer.from(bytes.subarray(1)) },
      cmdline: CMDLINE,
      initrds: withInitrd ? [{ name: 'initrd', bytes: INITRD }] : [],
      protocol: PROTOCOLS[(shape >> 1) % PROTOCOLS.length],
    };
    let result: BootResult;
    try {
      result = await loadBoot(memory, options);
    } catch (error) {
      if ((error as Error).name === 'VexitError') return;
      throw error;
    }
    const what = this.problem(result, withInitrd);
    if (what !== undefined) throw new Error(what);
  }

  /** What is wrong with a result, or undefined. */
  private problem({ cpu, protocol }: BootResult, withInitrd: boolean): string | undefined {
    const { memory } = this;
    if (!memory.contains(cpu.rip, 1)) return 'rip is not in RAM';
    if (protocol !== 'flat' && protocol !== 'firmware') {
      const text = Buffer.from(memory.read(CMDLINE_ADDRESS, CMDLINE.length + 1)).toString('latin1');
      if (text !== `${CMDLINE}\0`) return 'the command line was overwritten';
    }
    if (!withInitrd || (protocol !== 'linux' && protocol !== 'pvh')) return undefined;
    let address: number;
    if (protocol === 'linux') {
      const high = memory.getUint32(ZERO_PAGE_ADDRESS + 0xc0);
      address = high * 2 ** 32 + memory.getUint32(ZERO_PAGE_ADDRESS + 0x218);
    } else {
      address = Number(memory.getUint64(Number(memory.getUint64(PVH_INFO_ADDRESS + 16))));
    }
    const same = Buffer.from(memory.read(address, INITRD.length)).equals(INITRD);
    return same ? undefined : 'the initrd was overwritten';
  }

  close(): void {
    this.memory.close();
  }
}

function elfFields(bits: 32 | 64, headers: number, base = 0): number[] {
  const fields =
    bits === 64 ? [4, 5, 16, 18, 20, 24, 32, 54, 56] : [4, 5, 16, 18, 20, 24, 28, 42, 44];
  for (let n = 0; n < headers; n++) {
    const at = bits === 64 ? 64 + n * 56 : 52 + n * 32;
    fields.push(at);
    for (let f = 0; f < 6; f++) fields.push(at + (bits === 64 ? 8 : 4) + (f * bits) / 8);
  }
  return fields.map((at) => base + at);
}

/** The setup header of a bzImage. */
const BZ_FIELDS = [
  ...[0x1f1, 0x1f4, 0x1fe, 0x201, 0x202, 0x206, 0x211, 0x22c, 0x230, 0x234, 0x236, 0x238],
  ...[0x248, 0x24c, 0x258, 0x260],
];
/** Notes behind the headers, and a kernel in stored blocks. */
const NOTE = 64 + 3 * 56 + 0x400;
const STORED = 1024 + 0x400 + 15;

function seeds(): Uint8Array[] {
  const segments = [
    { paddr: SEGMENTS, data: pattern(0x300), memsz: 0x20000 },
    { paddr: SEGMENTS + 0x100000, data: pattern(0x100), memsz: 0x200 },
  ];
  const header = Buffer.concat([multibootHeader(3), Buffer.alloc(64)]);
  const multiboot = [{ paddr: SEGMENTS, data: header }];
  const kludge = Buffer.alloc(0x200, 0xcc);
  multibootHeader(0x10003, [0x100000, 0x100000, 0x100100, 0x101000, 0x100040]).copy(kludge);
  const notes = [LINUX_NOTE];
  const stored = gzipSync(elf({ segments, notes }), { level: 0 });
  const size = sample().length;
  const images = [
    elf({ segments, notes }),
    elf({ segments, notes: [pvhNote(SEGMENTS + 16)] }),
    elf({ segments, bits: 32, notes: [pvhNote(SEGMENTS + 16, 4)] }),
    elf({ segments: multiboot, bits: 32 }),
    elf({ segments: multiboot }),
    kludge,
    bzImage(),
    bzImage({ payload: new Uint8Array(0) }),
    bzImage({ payload: stored }),
    ...Object.values(VECTORS).map((bytes) => bzImage({ payload: withSize(bytes, size) })),
  ];
  // An ELF file with a multiboot header is loaded as such when it is asked for.
  return images.map((image, i) => Uint8Array.from([i === 4 ? 12 : i & 1, ...image]));
}

/** Keeps a multiboot header valid after its other fields have changed. */
function repair(bytes: Uint8Array): Uint8Array {
  const image = Buffer.from(bytes);
  for (let at = 1; at + 12 <= Math.min(image.length, 8192); at += 4) {
    if (image.readUInt32LE(at) !== MULTIBOOT_MAGIC) continue;
    image.writeUInt32LE((2 ** 33 - MULTIBOOT_MAGIC - image.readUInt32LE(at + 4)) % 2 ** 32, at + 8);
  }
  return image;
}

const fields = [
  ...elfFields(64, 3),
  ...elfFields(32, 3),
  ...BZ_FIELDS,
  ...[0, 4, 8, 16].map((at) => NOTE + at),
  ...elfFields(64, 3, STORED),
  ...[4, 8, 12, 16, 20, 24, 28, 84, 88],
];

export const target: FuzzTarget = {
  name: 'boot',
  maxBytes: 12288,
  seeds: seeds(),
  // Behind the byte of options.
  fields: fields.map((at) => at + 1),
  dictionary: [LINUX_NOTE, Uint8Array.of(2, 0xb0, 0xad, 0x1b, 3, 0, 1, 0)].map((bytes) =>
    Uint8Array.from(bytes as ArrayLike<number>),
  ),
  repair,
  // A payload may say that it unpacks to all of RAM, byte by byte.
  workLimit: 40 * RAM,
  open: () => new BootCase(),
};
