/**
 * Writes and zeroes of an overlay. Where all their blocks are here, they go straight to the file.
 * Otherwise: what the request leaves of its first and last block is read from the base, all blocks
 * are written whole, and only then the bitmap has them.
 */
import type { OverlayBitmap } from './overlay-bitmap.js';
import type { OverlayFlush } from './overlay-flush.js';
import { DATA_OFFSET, type OverlayLayout } from './overlay-format.js';
import { OverlayKind, PartKind, type OverlayOperation } from './overlay-operation.js';
import type { OverlayParts } from './overlay-parts.js';
import type { OverlayReservations } from './overlay-reservations.js';

/** Makes writes, and the blocks that they need. */
export class OverlayWrites {
  private readonly blockSize: number;
  private readonly baseLimit: number;
  /** Requests that wait for blocks others make, or for memory to copy. */
  private readonly waiting: OverlayOperation[] = [];

  /** @param ended called for a request that ends; it gives back what that has reserved */
  constructor(
    private readonly bitmap: OverlayBitmap,
    private readonly parts: OverlayParts,
    private readonly reservations: OverlayReservations,
    private readonly flusher: OverlayFlush,
    layout: OverlayLayout,
    private readonly ended: (operation: OverlayOperation) => void,
  ) {
    this.blockSize = layout.blockSize;
    this.baseLimit = layout.baseLimit;
  }

  /** Begins a request, now or when its blocks are free. */
  start(operation: OverlayOperation): void {
    if (this.ready(operation)) this.begin(operation);
    else this.waiting.push(operation);
  }

  /** Begins what has waited for blocks that are here now, or free. */
  resume(): void {
    for (let i = 0; i < this.waiting.length; i++) {
      const operation = this.waiting[i]!;
      if (!this.ready(operation)) continue;
      this.waiting.splice(i--, 1);
      this.begin(operation);
    }
  }

  /** All blocks are here already, or those of the request are reserved for it. */
  private ready(operation: OverlayOperation): boolean {
    const { bitmap, reservations } = this;
    return bitmap.hasAll(operation.first, operation.last) || reservations.take(operation);
  }

  private begin(operation: OverlayOperation): void {
    if (operation.allocating) this.copyEdges(operation);
    else this.overwrite(operation);
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
    this.parts.settle(operation);
  }

  /** Reads the blocks of which the request has only a part. */
  private copyEdges(operation: OverlayOperation): void {
    operation.pending = 1;
    operation.next = this.writeBlocks;
    if (operation.head >= 0) this.readEdge(operation, operation.head, 0);
    if (operation.tail >= 0) this.readEdge(operation, operation.tail, this.blockSize);
    this.parts.settle(operation);
  }

  private readEdge(operation: OverlayOperation, block: number, at: number): void {
    const { blockSize, parts } = this;
    const edges = operation.edges!;
    const start = block * blockSize;
    const there = Math.max(0, Math.min(blockSize, this.baseLimit - start));
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
    this.parts.settle(operation);
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
}

function partKind(kind: OverlayKind): PartKind {
  if (kind === OverlayKind.Write) return PartKind.Write;
  return kind === OverlayKind.Unmap ? PartKind.Unmap : PartKind.Zero;
}
