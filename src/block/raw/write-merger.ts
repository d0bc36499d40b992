/**
 * Makes one write of writes that continue each other and are queued together: one request of the
 * kernel, whose worker then wakes us once and not for every piece, and one journal commit where writes
 * have to be stable.
 *
 * Nothing is held back: what has been collected goes to the backend with `submit`, at the latest.
 */
import { MAX_SEGMENTS } from '../../io/io-engine.js';
import type { BlockBackend, BlockBackendHost } from '../backend.js';
import { BlockSegments } from '../segments.js';

/** Bytes of a merged write: the first of the requests in it waits for all. */
const MERGE_BYTES = 16 * 2 ** 20;

/** Writes that follow one another. Objects and their arrays are used again. */
class Group {
  count = 0;
  readonly segments: BlockSegments[] = [];
  readonly offsets: number[] = [];
  readonly tokens: number[] = [];
  readonly merged = new BlockSegments();
  stable = false;
  /** Where the next write would begin, and the pieces of memory so far. */
  private end = 0;
  private pieces = 0;

  constructor(readonly index: number) {}

  begin(stable: boolean): void {
    this.count = 0;
    this.pieces = 0;
    this.stable = stable;
  }

  add(segments: BlockSegments, offset: number, token: number): void {
    this.segments[this.count] = segments;
    this.offsets[this.count] = offset;
    this.tokens[this.count] = token;
    this.count++;
    this.pieces += segments.count;
    this.end = offset + segments.length;
  }

  /** True when a write can become part of the group. */
  takes(segments: BlockSegments, offset: number, stable: boolean): boolean {
    if (offset !== this.end || stable !== this.stable) return false;
    const bytes = offset + segments.length - this.offsets[0]!;
    return this.pieces + segments.count <= MAX_SEGMENTS && bytes <= MERGE_BYTES;
  }

  /** The memory of all writes. */
  merge(): BlockSegments {
    this.merged.clear();
    for (let i = 0; i < this.count; i++) this.merged.appendAll(this.segments[i]!);
    return this.merged;
  }
}

/** A write of a group that failed. */
interface Part {
  readonly segments: BlockSegments;
  readonly offset: number;
  readonly token: number;
  readonly stable: boolean;
}

/** A backend over another one, whose tokens are not negative. */
export class WriteMerger implements BlockBackend {
  readonly readOnly: boolean;
  readonly concurrent: boolean;
  private host!: BlockBackendHost;
  private readonly groups: Group[] = [];
  private readonly free: Group[] = [];
  private collecting: Group | undefined;
  /** To be made one by one. */
  private readonly apart: Part[] = [];
  private scheduled = false;

  constructor(private readonly inner: BlockBackend) {
    this.readOnly = inner.readOnly;
    this.concurrent = inner.concurrent;
  }

  get capacity(): number {
    return this.inner.capacity;
  }

  attach(host: BlockBackendHost): void {
    this.host = host;
    this.inner.attach({
      complete: (token, result) => {
        if (token < 0) this.ended(this.groups[-1 - token]!, result);
        else host.complete(token, result);
      },
      retry: () => host.retry(),
      resized: (capacity) => host.resized(capacity),
      warn: (site, line) => host.warn(site, line),
    });
  }

  read(segments: BlockSegments, offset: number, token: number): boolean {
    return this.inner.read(segments, offset, token);
  }

  write(segments: BlockSegments, offset: number, token: number, stable: boolean): boolean {
    const { collecting } = this;
    if (collecting !== undefined) {
      if (collecting.takes(segments, offset, stable)) {
        collecting.add(segments, offset, token);
        return true;
      }
      if (!this.issueCollected()) return false;
    }
    const group = this.take();
    group.begin(stable);
    group.add(segments, offset, token);
    this.collecting = group;
    return true;
  }

  flush(token: number): boolean {
    return this.inner.flush(token);
  }

  discard(offset: number, length: number, token: number): boolean {
    return this.inner.discard(offset, length, token);
  }

  writeZeroes(
    offset: number,
    length: number,
    token: number,
    unmap: boolean,
    stable: boolean,
  ): boolean {
    return this.inner.writeZeroes(offset, length, token, unmap, stable);
  }

  submit(): void {
    this.issueApart();
    this.issueCollected();
    this.inner.submit();
  }

  async resize(capacity: number): Promise<void> {
    await this.inner.resize?.(capacity);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  private take(): Group {
    const group = this.free.pop();
    if (group !== undefined) return group;
    const fresh = new Group(this.groups.length);
    this.groups.push(fresh);
    return fresh;
  }

  /**
   * Gives the collected writes to the backend. False: it has no room; it says when it has, and then
   * whoever drives the disk comes here again.
   */
  private issueCollected(): boolean {
    const group = this.collecting;
    if (group === undefined) return true;
    const { count, stable } = group;
    const offset = group.offsets[0]!;
    const segments = count === 1 ? group.segments[0]! : group.merge();
    const token = count === 1 ? group.tokens[0]! : -1 - group.index;
    if (!this.inner.write(segments, offset, token, stable)) return false;
    this.collecting = undefined;
    if (count === 1) this.free.push(group);
    return true;
  }

  /** A merged write has ended. Which part of one that failed is to blame, only the parts can tell. */
  private ended(group: Group, result: number): void {
    const { count, stable } = group;
    for (let i = 0; i < count; i++) {
      const token = group.tokens[i]!;
      if (result >= 0) this.host.complete(token, 0);
      else
        this.apart.push({ segments: group.segments[i]!, offset: group.offsets[i]!, token, stable });
    }
    this.free.push(group);
    if (result >= 0 || this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.submit();
    });
  }

  private issueApart(): void {
    for (let write = this.apart[0]; write !== undefined; write = this.apart[0]) {
      const { segments, offset, token, stable } = write;
      if (!this.inner.write(segments, offset, token, stable)) return;
      this.apart.shift();
    }
  }
}
