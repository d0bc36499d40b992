/** Parts of requests on their way to the base and to the overlay's file. */
import type { BlockBackend, BlockBackendHost } from '../backend.js';
import { OverlayPart, PartKind, type OverlayOperation } from './overlay-operation.js';

/** Issues parts, keeps those that were refused in order, and counts those that end. */
export class OverlayParts {
  private readonly parts: OverlayPart[] = [];
  private readonly free: OverlayPart[] = [];
  private readonly stalledBase: OverlayPart[] = [];
  private readonly stalledStore: OverlayPart[] = [];
  private submitting = false;

  /** @param settle called for each part that has ended */
  constructor(
    private readonly base: BlockBackend,
    private readonly store: BlockBackend,
    readonly settle: (operation: OverlayOperation) => void,
  ) {}

  attach(host: BlockBackendHost): void {
    const warn = (site: string, line: string): void => host.warn(site, line);
    const resized = (): void => undefined; // neither size is the size of the disk
    this.base.attach({
      complete: (id, result) => this.completed(id, result, this.stalledBase),
      retry: () => this.resume(this.stalledBase),
      resized,
      warn,
    });
    this.store.attach({
      complete: (id, result) => this.completed(id, result, this.stalledStore),
      retry: () => this.resume(this.stalledStore),
      resized,
      warn,
    });
  }

  /** A part of an operation, to be filled and issued. */
  take(kind: PartKind, operation: OverlayOperation, offset: number): OverlayPart {
    let part = this.free.pop();
    if (part === undefined) {
      part = new OverlayPart(this.parts.length);
      this.parts.push(part);
    }
    part.kind = kind;
    part.operation = operation;
    part.offset = offset;
    part.length = 0;
    part.stable = false;
    part.own.clear();
    part.segments = part.own;
    operation.pending++;
    return part;
  }

  issue(part: OverlayPart): void {
    const stalled = part.kind === PartKind.ReadBase ? this.stalledBase : this.stalledStore;
    if (stalled.length > 0 || !this.start(part)) stalled.push(part);
  }

  private start(part: OverlayPart): boolean {
    const { base, store } = this;
    const { kind, segments, offset, length, id, stable } = part;
    switch (kind) {
      case PartKind.ReadBase:
        return base.read(segments, offset, id);
      case PartKind.ReadStore:
        return store.read(segments, offset, id);
      case PartKind.Write:
        return store.write(segments, offset, id, stable);
      case PartKind.Unmap:
      case PartKind.Zero:
        return store.writeZeroes(offset, length, id, kind === PartKind.Unmap, stable);
      case PartKind.Flush:
        return store.flush(id);
    }
  }

  private completed(id: number, result: number, stalled: OverlayPart[]): void {
    const part = this.parts[id]!;
    const operation = part.operation!;
    part.operation = undefined;
    if (!(result >= 0) && operation.error === 0) operation.error = result;
    this.free.push(part);
    this.settle(operation);
    this.resume(stalled);
    this.submitLater();
  }

  private resume(stalled: OverlayPart[]): void {
    while (stalled.length > 0) {
      const part = stalled.shift()!;
      if (this.start(part)) continue;
      stalled.unshift(part);
      return;
    }
  }

  submit(): void {
    this.base.submit();
    this.store.submit();
  }

  /** Parts that follow from a completion start without the device's doing. */
  private submitLater(): void {
    if (this.submitting) return;
    this.submitting = true;
    queueMicrotask(() => {
      this.submitting = false;
      this.submit();
    });
  }
}
