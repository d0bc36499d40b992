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
  DATA_OFFSET,
  HEADER_BYTES,
  MAX_BLOCKS,
  blockCount,
  encodeHeader,
  overlayFileSize,
  type OverlayLayout,
} from './overlay-format.js';
import { OverlayKind, OverlayOperation, PartKind } from './overlay-operation.js';
import { OverlayParts } from './overlay-parts.js';

/** Requests at once. */
const OPERATIONS = 256;
/** Requests at once that copy blocks; each may hold two. */
const COPIES = 16;
/** Parts of one read at once: a request of 4 GiB may have a million of them. */
const READ_PARTS = 32;

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
  private readonly free: OverlayOperation[] = [];
  private operations = 0;
  /** Requests that make blocks, and those that wait for them. */
  private readonly allocating: OverlayOperation[] = [];
  private readonly waiting: OverlayOperation[] = [];
  private readonly edges: HostMemory[] = [];
  private edgeCount = 0;
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
    if (operation !== undefined) this.change(operation);
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
    if (operation !== undefined) this.change(operation);
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
    if (operation.kind === OverlayKind.Read) this.issueReads(operation);
    if (operation.pending > 0) return;
    const { next } = operation;
    operation.next = undefined;
    if (next === undefined) this.ended(operation);
    else next(operation);
  }

  private ended(operation: OverlayOperation): void {
    const { error } = operation;
    if (operation.allocating) this.release(operation);
    // Bits that the file does not know make a stable write wait for a flush.
    if (error === 0 && operation.stable) this.flusher.join(operation);
    else this.finish(operation, error);
    this.resumeWaiting();
  }

  /** Reads runs of blocks from where they are, a bounded number at a time. */
  private issueReads(operation: OverlayOperation): void {
    const { bitmap, blockSize, parts } = this;
    const { baseLimit } = this.layout;
    const { end } = operation;
    const segments = operation.segments!;
    operation.issuing = true;
    while (operation.position < end && operation.pending < READ_PARTS && operation.error === 0) {
      const { position } = operation;
      let block = Math.floor(position / blockSize);
      const here = bitmap.has(block);
      while (++block <= operation.last && bitmap.has(block) === here);
      let stop = Math.min(end, block * blockSize);
      const at = position - operation.offset;
      if (!here && position >= baseLimit) {
        segments.zero(at, stop - position);
      } else {
        if (!here) stop = Math.min(stop, baseLimit);
        const kind = here ? PartKind.ReadStore : PartKind.ReadBase;
        const part = parts.take(kind, operation, here ? DATA_OFFSET + position : position);
        if (stop - position === segments.length) part.segments = segments;
        else part.own.appendSlice(segments, at, stop - position);
        parts.issue(part);
      }
      operation.position = stop;
    }
    operation.issuing = false;
  }

  /** A write or zeroes: at once where all blocks are here already. */
  private change(operation: OverlayOperation): void {
    if (this.bitmap.hasAll(operation.first, operation.last)) {
      this.overwrite(operation);
    } else if (this.blocked(operation) || !this.acquire(operation)) {
      this.waiting.push(operation);
    } else {
      this.copyEdges(operation);
    }
  }

  private overwrite(operation: OverlayOperation): void {
    operation.pending = 1;
    const { kind } = operation;
    const part = this.parts.take(partKind(kind), operation, DATA_OFFSET + operation.offset);
    if (kind === OverlayKind.Write) part.segments = operation.segments!;
    else part.length = operation.end - operation.offset;
    // The file knows all bits: its own stable write is one.
    if (operation.stable && this.flusher.settled) {
      part.stable = true;
      operation.stable = false;
    }
    this.parts.issue(part);
    this.settle(operation);
  }

  /** Another request makes a block that this one touches. */
  private blocked(operation: OverlayOperation): boolean {
    return this.allocating.some(
      ({ first, last }) => first <= operation.last && operation.first <= last,
    );
  }

  /** Reserves the blocks of a request, and memory for those that are copied. */
  private acquire(operation: OverlayOperation): boolean {
    const { blockSize, bitmap } = this;
    const { first, last, offset, end } = operation;
    operation.head = offset % blockSize !== 0 && !bitmap.has(first) ? first : -1;
    operation.tail = end % blockSize !== 0 && !bitmap.has(last) ? last : -1;
    if (operation.tail === first && operation.head < 0) {
      operation.head = first;
      operation.tail = -1;
    } else if (operation.tail === operation.head) {
      operation.tail = -1;
    }
    if (operation.head >= 0 || operation.tail >= 0) {
      const edges = this.edges.pop() ?? this.makeEdges();
      if (edges === undefined) return false;
      operation.edges = edges;
    }
    operation.allocating = true;
    this.allocating.push(operation);
    return true;
  }

  private makeEdges(): HostMemory | undefined {
    if (this.edgeCount === COPIES) return undefined;
    this.edgeCount++;
    return new HostMemory(2 * this.blockSize, this.options.allocate);
  }

  private release(operation: OverlayOperation): void {
    operation.allocating = false;
    this.allocating.splice(this.allocating.indexOf(operation), 1);
    if (operation.edges !== undefined) this.edges.push(operation.edges);
    operation.edges = undefined;
  }

  private resumeWaiting(): void {
    for (let i = 0; i < this.waiting.length; i++) {
      const operation = this.waiting[i]!;
      if (this.bitmap.hasAll(operation.first, operation.last)) {
        this.waiting.splice(i--, 1);
        this.overwrite(operation);
      } else if (!this.blocked(operation) && this.acquire(operation)) {
        this.waiting.splice(i--, 1);
        this.copyEdges(operation);
      }
    }
  }

  /** Reads the blocks of which the request has only a part. */
  private copyEdges(operation: OverlayOperation): void {
    operation.pending = 1;
    operation.next = this.writeBlocks;
    if (operation.head >= 0) this.readEdge(operation, operation.head, 0);
    if (operation.tail >= 0) this.readEdge(operation, operation.tail, this.blockSize);
    this.settle(operation);
  }

  private readEdge(operation: OverlayOperation, block: number, at: number): void {
    const { blockSize, parts } = this;
    const edges = operation.edges!;
    const start = block * blockSize;
    const there = Math.max(0, Math.min(blockSize, this.layout.baseLimit - start));
    edges.bytes.fill(0, at + there, at + blockSize);
    if (there === 0) return;
    const part = parts.take(PartKind.ReadBase, operation, start);
    part.own.append(edges, at, there);
    parts.issue(part);
  }

  /** Writes the request with the rest of its first and last block around it. */
  private readonly writeBlocks = (operation: OverlayOperation): void => {
    if (operation.error !== 0) {
      this.ended(operation);
      return;
    }
    operation.pending = 1;
    operation.next = this.madeBlocks;
    if (operation.kind === OverlayKind.Write) this.writeData(operation);
    else this.writeZeroBlocks(operation);
    this.settle(operation);
  };

  private writeData(operation: OverlayOperation): void {
    const { blockSize, parts } = this;
    const { offset, end, first, last, head, tail, edges } = operation;
    const segments = operation.segments!;
    const start = head >= 0 ? first * blockSize : offset;
    const part = parts.take(PartKind.Write, operation, DATA_OFFSET + start);
    if (head < 0 && tail < 0) {
      part.segments = segments;
    } else {
      if (head >= 0) part.own.append(edges!, 0, offset - start);
      part.own.appendSlice(segments, 0, segments.length);
      const rest = (last + 1) * blockSize - end;
      // One block with both edges was copied once, to the first half of the memory.
      const copy = tail >= 0 ? blockSize : first === last ? 0 : -1;
      if (copy >= 0) part.own.append(edges!, copy + blockSize - rest, rest);
    }
    parts.issue(part);
  }

  private writeZeroBlocks(operation: OverlayOperation): void {
    const { blockSize, parts } = this;
    const { offset, end, first, last, head, tail, edges } = operation;
    if (head >= 0) {
      const start = first * blockSize;
      edges!.bytes.fill(0, offset - start, Math.min(blockSize, end - start));
      this.writeEdge(operation, first, 0);
    }
    if (tail >= 0) {
      edges!.bytes.fill(0, blockSize, blockSize + end - last * blockSize);
      this.writeEdge(operation, last, blockSize);
    }
    const from = head >= 0 ? (first + 1) * blockSize : offset;
    const to = tail >= 0 ? last * blockSize : end;
    if (to <= from) return;
    const part = parts.take(partKind(operation.kind), operation, DATA_OFFSET + from);
    part.length = to - from;
    parts.issue(part);
  }

  private writeEdge(operation: OverlayOperation, block: number, at: number): void {
    const part = this.parts.take(PartKind.Write, operation, DATA_OFFSET + block * this.blockSize);
    part.own.append(operation.edges!, at, this.blockSize);
    this.parts.issue(part);
  }

  private readonly madeBlocks = (operation: OverlayOperation): void => {
    if (operation.error === 0) this.bitmap.set(operation.first, operation.last);
    this.ended(operation);
  };

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
    for (const memory of this.edges) memory.release();
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

function partKind(kind: OverlayKind): PartKind {
  if (kind === OverlayKind.Write) return PartKind.Write;
  return kind === OverlayKind.Unmap ? PartKind.Unmap : PartKind.Zero;
}
