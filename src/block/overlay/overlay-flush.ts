/**
 * Flushes of an overlay, one at a time: data first, then the bits that vouch for it, then those.
 * Requests that come while a flush is going on share the next one.
 */
import { PAGE, type OverlayBitmap } from './overlay-bitmap.js';
import { OverlayKind, OverlayOperation, PartKind } from './overlay-operation.js';
import type { OverlayParts } from './overlay-parts.js';

/** Puts an overlay on storage. */
export class OverlayFlush {
  private readonly carrier = new OverlayOperation();
  private readonly runs: { page: number; count: number }[] = [];
  private current: OverlayOperation[] = [];
  private joining: OverlayOperation[] = [];
  private active = false;

  /**
   * @param bitmapOffset where the bitmap is in the file
   * @param finish called for each operation that joined
   */
  constructor(
    private readonly bitmap: OverlayBitmap,
    private readonly parts: OverlayParts,
    private readonly bitmapOffset: number,
    private readonly finish: (operation: OverlayOperation, result: number) => void,
  ) {
    this.carrier.kind = OverlayKind.Flush;
  }

  /** True when all bits are on storage. */
  get settled(): boolean {
    return !this.active && this.bitmap.clean;
  }

  /** Ends an operation when everything that has been written before it is on storage. */
  join(operation: OverlayOperation): void {
    this.joining.push(operation);
    if (!this.active) this.start();
  }

  private start(): void {
    this.active = true;
    const joined = this.joining;
    this.joining = this.current;
    this.current = joined;
    this.bitmap.stage(this.runs);
    this.flushStore(this.runs.length === 0 ? this.end : this.writePages);
  }

  private flushStore(next: () => void): void {
    const { carrier, parts } = this;
    carrier.error = 0;
    carrier.pending = 1;
    carrier.next = next;
    parts.issue(parts.take(PartKind.Flush, carrier, 0));
    parts.settle(carrier);
  }

  private readonly writePages = (): void => {
    const { carrier, parts, bitmap } = this;
    if (carrier.error !== 0) {
      this.end();
      return;
    }
    carrier.pending = 1;
    carrier.next = this.flushPages;
    for (const { page, count } of this.runs) {
      const part = parts.take(PartKind.Write, carrier, this.bitmapOffset + page * PAGE);
      part.own.append(bitmap.staging, page * PAGE, count * PAGE);
      parts.issue(part);
    }
    parts.settle(carrier);
  };

  private readonly flushPages = (): void => {
    if (this.carrier.error !== 0) this.end();
    else this.flushStore(this.end);
  };

  private readonly end = (): void => {
    const { error } = this.carrier;
    if (error !== 0) this.bitmap.unstage(this.runs);
    // Whoever joins from within these calls is in the next round.
    for (const operation of this.current.splice(0)) this.finish(operation, error);
    if (this.joining.length > 0) this.start();
    else this.active = false;
  };
}
