/** The records of requests to a raw disk; pooled, none is made twice. */
import { BlockSegments } from '../segments.js';

export enum RawKind {
  Read,
  Write,
  Flush,
  Discard,
  /** Write zeroes, whose storage may be given back or not. */
  Unmap,
  Zero,
  /** Write zeroes by writing them, where the file system knows nothing better. */
  ZeroWrite,
  /** The flush of a stable write-zeroes. */
  ZeroFlush,
}

/** A request, which may take several system calls. */
export class RawOperation {
  kind = RawKind.Read;
  token = 0;
  segments: BlockSegments | undefined;
  offset = 0;
  length = 0;
  /** Bytes that have been transferred. */
  done = 0;
  stable = false;
  retries = 0;
  /** What the next call transfers, if not all segments. */
  private part: BlockSegments | undefined;

  constructor(readonly id: number) {}

  /** The segments from `done` on. */
  remaining(): BlockSegments {
    const segments = this.segments!;
    if (this.done === 0) return segments;
    return this.slice(segments, this.done, this.length - this.done);
  }

  /** As much of `source` as is left to write, if it has that much. */
  remainingOf(source: BlockSegments): BlockSegments {
    return this.slice(source, 0, Math.min(source.length, this.length - this.done));
  }

  private slice(source: BlockSegments, from: number, length: number): BlockSegments {
    this.part ??= new BlockSegments();
    this.part.clear();
    this.part.appendSlice(source, from, length);
    return this.part;
  }
}
