/**
 * Who may make which blocks of an overlay: one request a block at a time, with memory for the blocks
 * that have to be copied because it has only a part of them.
 */
import { HostMemory, type HostAllocator } from '../host-memory.js';
import type { OverlayBitmap } from './overlay-bitmap.js';
import type { OverlayOperation } from './overlay-operation.js';

/** Requests at once that copy blocks; each may hold two. */
const COPIES = 16;

/** Reservations of blocks that are not in the overlay yet. */
export class OverlayReservations {
  /** Requests that make blocks. */
  private readonly holders: OverlayOperation[] = [];
  private readonly edges: HostMemory[] = [];
  private edgeCount = 0;

  constructor(
    private readonly bitmap: OverlayBitmap,
    private readonly blockSize: number,
    private readonly allocate?: HostAllocator,
  ) {}

  /**
   * Reserves the blocks of a request, and memory for those that are copied.
   * @returns false when another request makes one of them, or too many copy: again after a release
   */
  take(operation: OverlayOperation): boolean {
    if (this.blocked(operation)) return false;
    this.findEdges(operation);
    if (operation.head >= 0 || operation.tail >= 0) {
      const edges = this.edges.pop() ?? this.makeEdges();
      if (edges === undefined) return false;
      operation.edges = edges;
    }
    operation.allocating = true;
    this.holders.push(operation);
    return true;
  }

  /** Another request makes a block that this one touches. */
  private blocked(operation: OverlayOperation): boolean {
    return this.holders.some(
      ({ first, last }) => first <= operation.last && operation.first <= last,
    );
  }

  /** The blocks at the ends of a request that it does not cover, and that are not here. */
  private findEdges(operation: OverlayOperation): void {
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
  }

  private makeEdges(): HostMemory | undefined {
    if (this.edgeCount === COPIES) return undefined;
    this.edgeCount++;
    return new HostMemory(2 * this.blockSize, this.allocate);
  }

  release(operation: OverlayOperation): void {
    operation.allocating = false;
    this.holders.splice(this.holders.indexOf(operation), 1);
    if (operation.edges !== undefined) this.edges.push(operation.edges);
    operation.edges = undefined;
  }

  /** Gives the memory back; nothing is reserved any more. */
  close(): void {
    for (const memory of this.edges) memory.release();
  }
}
