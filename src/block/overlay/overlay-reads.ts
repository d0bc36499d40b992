/** Reads of an overlay: every run of blocks from where it is. */
import type { OverlayBitmap } from './overlay-bitmap.js';
import { DATA_OFFSET, type OverlayLayout } from './overlay-format.js';
import { PartKind, type OverlayOperation } from './overlay-operation.js';
import type { OverlayParts } from './overlay-parts.js';

/** Parts of one read at once: a request of 4 GiB may have a million of them. */
const READ_PARTS = 32;

/** Issues the parts of reads. */
export class OverlayReads {
  private readonly blockSize: number;
  private readonly baseLimit: number;

  constructor(
    private readonly bitmap: OverlayBitmap,
    private readonly parts: OverlayParts,
    layout: OverlayLayout,
  ) {
    this.blockSize = layout.blockSize;
    this.baseLimit = layout.baseLimit;
  }

  /** Issues what is left of a read, a bounded number of parts at a time. */
  issue(operation: OverlayOperation): void {
    const { bitmap, blockSize, baseLimit, parts } = this;
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
}
