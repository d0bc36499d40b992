/**
 * Overlays: a header and a bitmap that can say anything, then reads, writes, zeroes and flushes
 * against a plain array that has to agree, and the disk opened again from what is in the file.
 */
import { MemoryBackend } from '../../../src/block/memory-backend.js';
import { BlockSegments } from '../../../src/block/segments.js';
import { HostMemory, type HostAllocator } from '../../../src/block/host-memory.js';
import { OverlayBackend } from '../../../src/block/overlay/overlay-backend.js';
import {
  BITMAP_OFFSET,
  blockCount,
  decodeHeader,
  encodeHeader,
  overlayFileSize,
  type OverlayLayout,
} from '../../../src/block/overlay/overlay-format.js';
import { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget, OpenTarget } from '../engine/target.js';

const MOST_STEPS = 16;
const BASE_BYTES = 64 * 1024;
/** Disks above this are looked at, and not opened. */
const MOST_CAPACITY = 256 * 1024;
const REQUEST_BYTES = 16 * 1024;
const BITMAP_ROOM = 2 ** 24;

/** Memory that is used again: the bitmap's is 16 MiB. */
class Arena {
  private readonly large = new Uint8Array(BITMAP_ROOM);
  private next = 0x1000_0000;

  readonly allocate: HostAllocator = (length) => {
    const bytes = length === BITMAP_ROOM ? this.large : new Uint8Array(length);
    const address = this.next;
    this.next += length + 4096;
    return { bytes, address, release: () => undefined };
  };

  /** The arena from its beginning. Only the first page of the bitmap is in use. */
  restart(): void {
    this.next = 0x1000_0000;
    this.large.fill(0, 0, 4096);
  }
}

function padded(bits: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(65536);
  chunk.set(bits);
  return chunk;
}

class OverlayCase implements OpenTarget {
  private readonly arena = new Arena();
  private readonly base = new Uint8Array(BASE_BYTES).map((_, i) => (i * 7 + (i >> 9)) & 0xff);
  private readonly memory = new HostMemory(REQUEST_BYTES, (length) => ({
    bytes: new Uint8Array(length),
    address: 0x4000_0000,
    release: () => undefined,
  }));
  private readonly segments = new BlockSegments();

  async run(bytes: Uint8Array): Promise<void> {
    const input = new Input(bytes);
    const header = this.header(input);
    const layout = decodeHeader(header);
    if (typeof layout === 'string') return;
    must(overlayFileSize(layout) <= Number.MAX_SAFE_INTEGER, 'sizes are numbers');
    must(Buffer.compare(encodeHeader(layout), header) === 0, 'a header is what it says');
    const fits = layout.capacity <= MOST_CAPACITY && layout.baseLimit <= BASE_BYTES;
    if (fits) await this.use(layout, input);
  }

  /** A header that is right, with fields that are not. Its checksum is right most of the time. */
  private header(input: Input): Buffer {
    const shape = input.u8();
    const header = encodeHeader({
      blockSize: 4096 << (shape & 3),
      capacity: 512 * (1 + (input.u16() & 0x7f)),
      baseSize: BASE_BYTES,
      baseLimit: 512 * (input.u8() & 0x7f),
      identity: new Uint8Array(32),
    });
    for (let i = shape >= 192 ? 1 + (shape & 3) : 0; i > 0; i--) {
      const at = input.u8() % 112;
      if (input.chance(128)) header.writeBigUInt64LE(input.long(), at & ~7);
      else header[at] = input.u8();
    }
    if (shape < 250) {
      const said = decodeHeader(this.signed(header));
      return typeof said === 'string' && shape >= 240 ? header : this.signed(header);
    }
    return header.subarray(0, input.below(512));
  }

  /** With a checksum that is right, by way of the encoder. */
  private signed(header: Buffer): Buffer {
    const layout = {
      blockSize: header.readUInt32LE(16),
      capacity: Number(header.readBigUInt64LE(24)),
      baseSize: Number(header.readBigUInt64LE(32)),
      baseLimit: Number(header.readBigUInt64LE(40)),
      identity: Uint8Array.from(header.subarray(48, 80)),
    };
    return Number.isSafeInteger(layout.capacity + layout.baseSize + layout.baseLimit)
      ? encodeHeader(layout)
      : header;
  }

  private async use(layout: OverlayLayout, input: Input): Promise<void> {
    const bits = input.take(input.below(9));
    const store = new MemoryBackend(2 ** 40);
    const model = this.model(layout, bits);
    this.chunksOf(store).set(BITMAP_OFFSET / 65536, padded(bits));
    const disk = this.open(layout, store, bits);
    for (let i = 0; i < MOST_STEPS && !input.done; i++) await this.step(disk, model, input);
    await this.compare(disk, model);
    await this.request(disk, (token) => disk.flush(token));
    // What has been flushed is there when the file is opened again.
    const saved = new Uint8Array(4096);
    saved.set(
      this.chunksOf(store)
        .get(BITMAP_OFFSET / 65536)!
        .subarray(0, saved.length),
    );
    await this.compare(this.open(layout, store, saved, true), model);
  }

  private open(
    layout: OverlayLayout,
    store: MemoryBackend,
    bits: Uint8Array,
    again = false,
  ): OverlayBackend {
    if (!again) this.arena.restart();
    const base = new MemoryBackend(BASE_BYTES);
    const disk = new OverlayBackend({
      base,
      store,
      layout,
      loadBitmap: (target) => target.set(bits.subarray(0, target.length)),
      allocate: this.arena.allocate,
    });
    disk.attach({
      complete: (_, result) => this.completed(result),
      retry: () => undefined,
      resized: () => undefined,
      warn: () => undefined,
    });
    this.chunksOf(base).set(0, this.base);
    return disk;
  }

  /** What a backend holds, in pieces of 64 KiB. */
  private chunksOf(backend: MemoryBackend): Map<number, Uint8Array> {
    return (backend as unknown as { chunks: Map<number, Uint8Array> }).chunks;
  }

  /** What the disk holds: the base up to its limit, and zeroes where the bitmap says so. */
  private model(layout: OverlayLayout, bits: Uint8Array): Uint8Array {
    const model = new Uint8Array(layout.capacity);
    model.set(this.base.subarray(0, Math.min(layout.baseLimit, layout.capacity)));
    for (let block = 0; block < blockCount(layout); block++) {
      if (((bits[block >> 3] ?? 0) & (1 << (block & 7))) === 0) continue;
      const start = block * layout.blockSize;
      model.fill(0, start, Math.min(start + layout.blockSize, layout.capacity));
    }
    return model;
  }

  private result: number | undefined;

  private completed(result: number): void {
    must(this.result === undefined, 'a request ends once');
    this.result = result;
  }

  /** Which may be set by now: completions come in microtasks. */
  private ended(): number | undefined {
    return this.result;
  }

  private async request(disk: OverlayBackend, start: (token: number) => boolean): Promise<void> {
    this.result = undefined;
    must(start(1), 'a request is accepted');
    disk.submit();
    for (let i = 0; i < 16 && this.ended() === undefined; i++) await Promise.resolve();
    must(this.ended() === 0, 'a request succeeds');
    this.result = undefined;
  }

  private load(length: number): BlockSegments {
    this.segments.clear();
    this.segments.append(this.memory, 0, length);
    return this.segments;
  }

  private async step(disk: OverlayBackend, model: Uint8Array, input: Input): Promise<void> {
    const sectors = model.length / 512;
    const offset = 512 * (input.u16() % sectors);
    const length = Math.min(512 * (1 + input.below(32)), model.length - offset, REQUEST_BYTES);
    const { bytes } = this.memory;
    switch (input.below(6)) {
      case 0:
      case 1: {
        const value = input.u8();
        bytes.fill(value, 0, length);
        await this.request(disk, (token) =>
          disk.write(this.load(length), offset, token, (value & 1) !== 0),
        );
        model.fill(value, offset, offset + length);
        break;
      }
      case 2:
        await this.request(disk, (token) => disk.writeZeroes(offset, length, token, true, false));
        model.fill(0, offset, offset + length);
        break;
      case 3:
        await this.request(disk, (token) => disk.writeZeroes(offset, length, token, false, true));
        model.fill(0, offset, offset + length);
        break;
      case 4:
        await this.request(disk, (token) => disk.flush(token));
        break;
      default:
        await this.read(disk, model, offset, length);
    }
  }

  private async read(
    disk: OverlayBackend,
    model: Uint8Array,
    offset: number,
    length: number,
  ): Promise<void> {
    this.memory.bytes.fill(0xee, 0, length);
    await this.request(disk, (token) => disk.read(this.load(length), offset, token));
    const read = this.memory.bytes.subarray(0, length);
    const right = Buffer.compare(read, model.subarray(offset, offset + length)) === 0;
    must(right, 'a read gives what was written');
  }

  private async compare(disk: OverlayBackend, model: Uint8Array): Promise<void> {
    for (let at = 0; at < model.length; at += REQUEST_BYTES) {
      await this.read(disk, model, at, Math.min(REQUEST_BYTES, model.length - at));
    }
  }
}

export const target: FuzzTarget = {
  name: 'overlay',
  maxBytes: 128,
  seeds: [
    Uint8Array.of(0, 60, 0, 40, 0, 0, 0, 0, 0, 7, 1, 0, 4, 2, 0, 0, 8, 4, 8, 0, 8, 2),
    Uint8Array.of(1, 100, 0, 127, 2, 5, 1, 9, 0, 12, 3, 9, 0, 12, 5, 1, 0, 31, 0, 8),
    Uint8Array.of(193, 60, 0, 40, 24, 255, 20, 0),
    Uint8Array.of(251, 60, 0, 40, 100),
  ],
  open: () => new OverlayCase(),
};
