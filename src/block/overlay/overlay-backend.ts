/**
 * Copy on write: a disk that begins as a base, which is never written, and keeps what differs in a
 * file of its own.
 *
 * A block is either in the base or in the overlay's file, whole. The first write to a part of a block
 * copies the rest of it; until that has ended, other writes to the block wait. What has been
 * acknowledged and flushed is there after a crash at any moment: see `OverlayBitmap` for the order.
 */
import type { BlockBackend, BlockBackendHost } from '../backend.js';
import { HostMemory, type HostAllocator } from '../host-memory.js';
import type { BlockSegments } from '../segments.js';
import { VexitError } from '../../util/errors.js';
import { formatSize } from '../../util/size.js';
import { OverlayBitmap } from './overlay-bitmap.js';
import { OverlayFlush } from './overlay-flush.js';
import {
  BITMAP_BYTES,
  BITMAP_OFFSET,
  HEADER_BYTES,
  MAX_BLOCKS,
  blockCount,
  encodeHeader,
  overlayFileSize,
  type OverlayLayout,
} from './overlay-format.js';
import { OverlayKind, OverlayOperation, PartKind } from './overlay-operation.js';
import { OverlayParts } from './overlay-parts.js';
import { OverlayReads } from './overlay-reads.js';
import { OverlayReservations } from './overlay-reservations.js';
import { OverlayWrites } from './overlay-writes.js';

/** Requests at once. */
const OPERATIONS = 256;

/** What an overlay is made of. */
export interface OverlayOptions {
  /** Never written. */
  readonly base: BlockBackend;
  /** The overlay's file. */
  readonly store: BlockBackend;
  readonly layout: OverlayLayout;
  /** Fills the bitmap from the file, which is `BITMAP_OFFSET` bytes in. */
  readonly loadBitmap: (bits: Uint8Array) => void;
  readonly allocate?: HostAllocator;
}

/** An overlay over any base, in any store. */
export class OverlayBackend implements BlockBackend {
  readonly concurrent = false;
  readonly readOnly: boolean;

  private layout: OverlayLayout;
  private readonly blockSize: number;
  private readonly bitmap: OverlayBitmap;
  private readonly parts: OverlayParts;
  private readonly flusher: OverlayFlush;
  private readonly reservations: OverlayReservations;
  private readonly reads: OverlayReads;
  private readonly writes: OverlayWrites;
  private readonly free: OverlayOperation[] = [];
  private operations = 0;
  private host!: BlockBackendHost;

  constructor(private readonly options: OverlayOptions) {
    const { base, store, layout, allocate } = options;
    this.layout = layout;
    this.blockSize = layout.blockSize;
    this.readOnly = store.readOnly;
    this.bitmap = new OverlayBitmap(blockCount(layout), BITMAP_BYTES, allocate);
    options.loadBitmap(this.bitmap.bytes);
    this.parts = new OverlayParts(base, store, (operation) => this.settle(operation));
    this.flusher = new OverlayFlush(this.bitmap, this.parts, BITMAP_OFFSET, (operation, result) =>
      this.finish(operation, result),
    );
    this.reservations = new OverlayReservations(this.bitmap, this.blockSize, allocate);
    this.reads = new OverlayReads(this.bitmap, this.parts, layout);
    this.writes = new OverlayWrites(
      this.bitmap,
      this.parts,
      this.reservations,
      this.flusher,
      layout,
      (operation) => this.ended(operation),
    );
  }

  get capacity(): number {
    return this.layout.capacity;
  }

  attach(host: BlockBackendHost): void {
    this.host = host;
    this.parts.attach(host);
  }

  read(segments: BlockSegments, offset: number, token: number): boolean {
    const operation = this.take(OverlayKind.Read, segments, offset, segments.length, token, false);
    if (operation === undefined) return false;
    operation.pending = 1;
    this.settle(operation);
    return true;
  }

  write(segments: BlockSegments, offset: number, token: number, stable: boolean): boolean {
    const { length } = segments;
    const operation = this.take(OverlayKind.Write, segments, offset, length, token, stable);
    if (operation !== undefined) this.writes.start(operation);
    return operation !== undefined;
  }

  flush(token: number): boolean {
    const operation = this.take(OverlayKind.Flush, undefined, 0, 0, token, false);
    if (operation !== undefined) this.flusher.join(operation);
    return operation !== undefined;
  }

  /** Whole blocks become zero and need no storage; what is not a whole block is kept. */
  discard(offset: number, length: number, token: number): boolean {
    const start = Math.ceil(offset / this.blockSize) * this.blockSize;
    const end = Math.floor((offset + length) / this.blockSize) * this.blockSize;
    if (end <= start) {
      this.host.complete(token, 0);
      return true;
    }
    return this.writeZeroes(start, end - start, token, true, false);
  }

  writeZeroes(
    offset: number,
    length: number,
    token: number,
    unmap: boolean,
    stable: boolean,
  ): boolean {
    const kind = unmap ? OverlayKind.Unmap : OverlayKind.Zero;
    const operation = this.take(kind, undefined, offset, length, token, stable);
    if (operation !== undefined) this.writes.start(operation);
    return operation !== undefined;
  }

  submit(): void {
    this.parts.submit();
  }

  private take(
    kind: OverlayKind,
    segments: BlockSegments | undefined,
    offset: number,
    length: number,
    token: number,
    stable: boolean,
  ): OverlayOperation | undefined {
    let operation = this.free.pop();
    if (operation === undefined) {
      if (this.operations === OPERATIONS) return undefined;
      operation = new OverlayOperation();
      this.operations++;
    }
    operation.kind = kind;
    operation.segments = segments;
    operation.offset = operation.position = offset;
    operation.end = offset + length;
    operation.token = token;
    operation.stable = stable;
    operation.first = Math.floor(offset / this.blockSize);
    operation.last = Math.max(operation.first, Math.ceil(operation.end / this.blockSize) - 1);
    operation.error = 0;
    operation.pending = 0;
    operation.next = undefined;
    return operation;
  }

  private finish(operation: OverlayOperation, result: number): void {
    const { token, done } = operation;
    operation.segments = undefined;
    if (done !== undefined) {
      done(result);
      return;
    }
    this.free.push(operation);
    this.host.complete(token, result);
  }

  /** A part of an operation has ended, or all of them have been issued. */
  private settle(operation: OverlayOperation): void {
    operation.pending--;
    if (operation.issuing) return;
    if (operation.kind === OverlayKind.Read) this.reads.issue(operation);
    if (operation.pending > 0) return;
    const { next } = operation;
    operation.next = undefined;
    if (next === undefined) this.ended(operation);
    else next(operation);
  }

  private ended(operation: OverlayOperation): void {
    const { error } = operation;
    if (operation.allocating) this.reservations.release(operation);
    // Bits that the file does not know make a stable write wait for a flush.
    if (error === 0 && operation.stable) this.flusher.join(operation);
    else this.finish(operation, error);
    this.writes.resume();
  }

  /**
   * Makes the disk larger; what is added is zero.
   * @throws VexitError ERR_DISK for a smaller one, and for one that the overlay has no room for
   */
  async resize(capacity: number): Promise<void> {
    const layout = { ...this.layout, capacity };
    if (capacity < this.layout.capacity || blockCount(layout) > MAX_BLOCKS) {
      throw new VexitError(
        'ERR_DISK',
        `an overlay of ${formatSize(this.capacity)} cannot have ${formatSize(capacity)}`,
        'it can grow, to twice its first size at least, and not shrink',
      );
    }
    await this.options.store.resize?.(overlayFileSize(layout));
    this.bitmap.grow(blockCount(layout));
    const memory = new HostMemory(HEADER_BYTES, this.options.allocate);
    try {
      memory.bytes.set(encodeHeader(layout));
      await this.internal((operation) => {
        operation.pending = 1;
        const part = this.parts.take(PartKind.Write, operation, 0);
        part.own.append(memory, 0, HEADER_BYTES);
        this.parts.issue(part);
        operation.stable = true;
        this.settle(operation);
      });
    } finally {
      memory.release();
    }
    this.layout = layout;
  }

  /** Flushes, then closes the base and the file. */
  async close(): Promise<void> {
    if (!this.readOnly) await this.internal((operation) => this.flusher.join(operation));
    await this.options.base.close();
    await this.options.store.close();
    this.bitmap.staging.release();
    this.reservations.close();
  }

  /** An operation of our own. */
  private internal(start: (operation: OverlayOperation) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const operation = new OverlayOperation();
      operation.kind = OverlayKind.Flush;
      operation.done = (result) => {
        if (result === 0) resolve();
        else reject(new VexitError('ERR_DISK', `the overlay cannot be written (error ${-result})`));
      };
      start(operation);
      this.parts.submit();
    });
  }
}
