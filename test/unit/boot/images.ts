/** Small kernels made by the tests: just enough of each format to be loaded. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { GuestMemory } from '../../../src/memory/guest-memory.js';
import { memoryRegions } from '../../../src/memory/layout.js';

export const MIB = 2 ** 20;
export const KERNEL_ADDRESS = 0x1000000;

export interface Segment {
  type?: number;
  vaddr?: number | bigint;
  paddr?: number | bigint;
  data?: Uint8Array;
  offset?: number | bigint;
  filesz?: number | bigint;
  memsz?: number | bigint;
  align?: number;
}

export interface ElfOptions {
  bits?: 32 | 64;
  machine?: number;
  type?: number;
  entry?: number | bigint;
  segments?: Segment[];
  notes?: { owner: string; type: number; description: Uint8Array }[];
}

const pad4 = (size: number): number => Math.ceil(size / 4) * 4;

export function noteBytes(owner: string, type: number, description: Uint8Array): Buffer {
  const name = Buffer.from(`${owner}\0`, 'latin1');
  const note = Buffer.alloc(12 + pad4(name.length) + pad4(description.length));
  note.writeUInt32LE(name.length, 0);
  note.writeUInt32LE(description.length, 4);
  note.writeUInt32LE(type, 8);
  name.copy(note, 12);
  note.set(description, 12 + pad4(name.length));
  return note;
}

/** A PVH entry note. */
export function pvhNote(
  entry: number,
  size: 4 | 8 = 8,
): { owner: string; type: number; description: Uint8Array } {
  const description = Buffer.alloc(size);
  if (size === 8) description.writeBigUInt64LE(BigInt(entry));
  else description.writeUInt32LE(entry);
  return { owner: 'Xen', type: 18, description };
}

export const LINUX_NOTE = { owner: 'Linux', type: 0x100, description: new Uint8Array(4) };

/** Default contents of a segment: each byte tells its place. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, n) => (n * 7 + seed) & 0xff);
}

/** An ELF executable; one segment at 16 MiB with 0x1000 bytes of bss unless told. */
export function elf(options: ElfOptions = {}): Buffer {
  const bits = options.bits ?? 64;
  const segments: Segment[] = [
    ...(options.segments ?? [{ paddr: KERNEL_ADDRESS, data: pattern(0x1800), memsz: 0x2800 }]),
  ];
  if (options.notes !== undefined) {
    const data = Buffer.concat(options.notes.map((n) => noteBytes(n.owner, n.type, n.description)));
    segments.push({ type: 4, data, align: 4 });
  }
  const headerSize = bits === 64 ? 64 : 52;
  const entrySize = bits === 64 ? 56 : 32;
  const header = Buffer.alloc(headerSize + entrySize * segments.length);
  header.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  header.writeUInt16LE(options.type ?? 2, 16);
  header.writeUInt16LE(options.machine ?? (bits === 64 ? 62 : 3), 18);
  header.writeUInt32LE(1, 20);
  const word = (value: number | bigint, at: number): void => {
    if (bits === 64) header.writeBigUInt64LE(BigInt(value), at);
    else header.writeUInt32LE(Number(value), at);
  };
  const size = bits / 8;
  word(options.entry ?? KERNEL_ADDRESS, 24);
  word(headerSize, 24 + size);
  const tail = 24 + 3 * size + 4;
  header.writeUInt16LE(headerSize, tail);
  header.writeUInt16LE(entrySize, tail + 2);
  header.writeUInt16LE(segments.length, tail + 4);
  let offset = header.length;
  const parts: Uint8Array[] = [header];
  segments.forEach((segment, index) => {
    const at = headerSize + index * entrySize;
    const data = segment.data ?? new Uint8Array(0);
    header.writeUInt32LE(segment.type ?? 1, at);
    const fields = [
      segment.offset ?? offset,
      segment.vaddr ?? segment.paddr ?? 0,
      segment.paddr ?? 0,
      segment.filesz ?? data.length,
      segment.memsz ?? data.length,
    ];
    fields.forEach((value, n) => word(value, at + (bits === 64 ? 8 : 4) + n * size));
    word(segment.align ?? 0x1000, at + (bits === 64 ? 48 : 28));
    parts.push(data);
    offset += data.length;
  });
  return Buffer.concat(parts);
}

export interface BzImageOptions {
  setupSects?: number;
  /** Compressed payload with its size behind it. */
  payload?: Uint8Array;
  initSize?: number;
  prefAddress?: bigint;
  /** Changes fields of the finished header. */
  patch?: (image: Buffer) => void;
}

export function withSize(compressed: Uint8Array, size: number): Buffer {
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(size);
  return Buffer.concat([compressed, tail]);
}

/** A bzImage of protocol 2.15 around a payload, a gzipped ELF kernel unless told. */
export function bzImage(options: BzImageOptions = {}): Buffer {
  const sects = options.setupSects ?? 1;
  const payload = options.payload ?? gzipSync(elf({ notes: [LINUX_NOTE] }));
  const payloadOffset = 0x400;
  const kernelSize = Math.ceil((payloadOffset + payload.length) / 16) * 16;
  const kernelOffset = ((sects === 0 ? 4 : sects) + 1) * 512;
  const image = Buffer.alloc(kernelOffset + kernelSize);
  image.writeUInt8(sects, 0x1f1);
  image.writeUInt32LE(kernelSize / 16, 0x1f4);
  image.writeUInt16LE(0xaa55, 0x1fe);
  image.writeUInt16LE(0x6aeb, 0x200);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(0x020f, 0x206);
  image.writeUInt8(1, 0x211);
  image.writeUInt32LE(0x7fffffff, 0x22c);
  image.writeUInt32LE(0x200000, 0x230);
  image.writeUInt8(1, 0x234);
  image.writeUInt16LE(0x7f, 0x236);
  image.writeUInt32LE(2047, 0x238);
  image.writeUInt32LE(payloadOffset, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  image.writeBigUInt64LE(options.prefAddress ?? BigInt(KERNEL_ADDRESS), 0x258);
  image.writeUInt32LE(options.initSize ?? 0x200000, 0x260);
  image.fill(0x90, kernelOffset, kernelOffset + payloadOffset);
  image.set(payload, kernelOffset + payloadOffset);
  options.patch?.(image);
  return image;
}

/** A multiboot header. */
export function multibootHeader(flags: number, addresses: readonly number[] = []): Buffer {
  const header = Buffer.alloc(12 + addresses.length * 4);
  header.writeUInt32LE(0x1badb002, 0);
  header.writeUInt32LE(flags, 4);
  header.writeUInt32LE((2 ** 33 - 0x1badb002 - flags) % 2 ** 32, 8);
  addresses.forEach((address, n) => header.writeUInt32LE(address, 12 + n * 4));
  return header;
}

/** Runs the body with guest memory of this many bytes. */
export async function withMemory<T>(
  bytes: number,
  body: (memory: GuestMemory) => T | Promise<T>,
): Promise<T> {
  const memory = GuestMemory.create('boot-test', memoryRegions(bytes));
  try {
    return await body(memory);
  } finally {
    memory.close();
  }
}

/** Runs the body with a directory that is removed afterwards. */
export async function withDirectory<T>(body: (directory: string) => T | Promise<T>): Promise<T> {
  const directory = mkdtempSync(path.join(tmpdir(), 'vexit-boot-'));
  try {
    return await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes a file for the test and returns its path. */
export function file(directory: string, name: string, bytes: Uint8Array): string {
  const target = path.join(directory, name);
  writeFileSync(target, bytes);
  return target;
}
