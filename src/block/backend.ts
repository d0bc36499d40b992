/**
 * What holds the blocks of a disk: a file, an overlay over another backend, memory, or something a
 * user of the library writes. Most of those are best written with `simpleBackend`
 * (simple-backend.ts), which copies; this interface is for I/O straight to and from guest memory.
 *
 * Every request has a token of its caller's choosing and ends with one `complete(token, result)`:
 * within the call or later, in any order. Offsets and lengths are bytes, multiples of 512 and within
 * the capacity; the device has checked them. Segments belong to the caller and hold still until the
 * request has ended. Nothing may throw for what happens to a request: a failure is a result.
 */
import type { BlockSegments } from './segments.js';

/** Where a backend reports to. All calls come on the thread of the backend. */
export interface BlockBackendHost {
  /** A request has ended: 0, or a negative errno. */
  complete(token: number, result: number): void;
  /** A request that was refused may be accepted now. Completions say the same. */
  retry(): void;
  /** The capacity has changed other than by {@link BlockBackend.resize}; bytes. */
  resized(capacity: number): void;
  /** Something for the machine's log. `site` is a constant: lines from one place are limited. */
  warn(site: string, line: string): void;
}

/** A source and sink of blocks. */
export interface BlockBackend {
  /** Bytes, a multiple of 512. */
  readonly capacity: number;
  readonly readOnly: boolean;
  /**
   * True when several threads may each have a backend object over the same disk. False: all queues
   * of the disk are served by one thread.
   */
  readonly concurrent: boolean;

  /** Called once, before anything else. */
  attach(host: BlockBackendHost): void;
  /** Fills the segments from `offset` on. False refuses: as many requests as there can be. */
  read(segments: BlockSegments, offset: number, token: number): boolean;
  /** @param stable ends only when the data is on persistent storage */
  write(segments: BlockSegments, offset: number, token: number, stable: boolean): boolean;
  /** Puts all writes that have ended before on persistent storage. */
  flush(token: number): boolean;
  /** The content of a range is not needed any more. What it reads as is not defined. */
  discard(offset: number, length: number, token: number): boolean;
  /** A range reads as zeroes. @param unmap its storage may be given back */
  writeZeroes(
    offset: number,
    length: number,
    token: number,
    unmap: boolean,
    stable: boolean,
  ): boolean;
  /** The caller has no more requests for now: those that have been collected start. */
  submit(): void;
  /**
   * Changes the capacity; the device is told by its caller.
   * @throws VexitError ERR_DISK when it cannot be that
   */
  resize?(capacity: number): Promise<void>;
  /** No request is in flight, and none follows. Flushes what the backend keeps to itself. */
  close(): Promise<void>;
}

/** Results other than 0 that backends make up themselves: negative errno. */
export const BlockError = { EIO: -5, EINTR: -4, EAGAIN: -11, EOPNOTSUPP: -95 } as const;

/** Bytes of a sector, the unit of everything in virtio-blk whatever the block size. */
export const SECTOR = 512;
