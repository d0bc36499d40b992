/** The records of requests to an overlay and of their parts; pooled, none is made twice. */
import type { HostMemory } from '../host-memory.js';
import { BlockSegments } from '../segments.js';

export enum OverlayKind {
  Read,
  Write,
  /** Reads as zeroes afterwards; its storage may be given back or not. */
  Unmap,
  Zero,
  Flush,
}

/** A request. */
export class OverlayOperation {
  kind = OverlayKind.Read;
  token = 0;
  segments: BlockSegments | undefined;
  offset = 0;
  end = 0;
  stable = false;
  /** Blocks it touches. */
  first = 0;
  last = 0;
  /** How far its parts have been issued. */
  position = 0;
  /** Parts in flight, and one while they are being issued. */
  pending = 0;
  /** Parts are being issued: those that end meanwhile do not end the operation. */
  issuing = false;
  /** The first error of a part. */
  error = 0;
  /** What is done when no part is pending any more. */
  next: ((operation: OverlayOperation) => void) | undefined;
  /** For operations of the overlay's own, which have no token. */
  done: ((result: number) => void) | undefined;
  /** It makes blocks of the overlay, which others have to wait for. */
  allocating = false;
  /** Memory for blocks that are copied from the base because a part of them is written. */
  edges: HostMemory | undefined;
  /** Blocks in {@link edges}, or -1. */
  head = -1;
  tail = -1;
}

/** Which of the two disks below a part goes to, and what it does there. */
export enum PartKind {
  ReadBase,
  ReadStore,
  Write,
  Unmap,
  Zero,
  Flush,
}

/** A part of a request: one request to the base or to the file. */
export class OverlayPart {
  kind = PartKind.ReadBase;
  operation: OverlayOperation | undefined;
  /** Of the base, or of the file. */
  offset = 0;
  length = 0;
  stable = false;
  readonly own = new BlockSegments();
  /** Its own list, or that of the whole request. */
  segments = this.own;

  constructor(readonly id: number) {}
}
