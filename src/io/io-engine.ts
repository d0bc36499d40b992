/** Asynchronous I/O of files, straight to and from host memory: what devices and backends see. */

/** A list of pieces of host memory; the arrays may be longer than `count` and be used again. */
export interface IoSegments {
  /** At most `MAX_SEGMENTS`. */
  count: number;
  /** Addresses in this process, exact because they are below 2^47. */
  readonly addresses: Float64Array;
  /** Bytes. */
  readonly lengths: Uint32Array;
}

/** IOV_MAX: what readv(2) takes. */
export const MAX_SEGMENTS = 1024;

/** The result of a request: bytes transferred (0 where none are), or a negative errno. */
export type IoCompletion = (token: number, result: number) => void;

export type IoEngineKind = 'io_uring' | 'threads';

/** A file of an engine, see {@link IoEngine.register}. */
export interface IoFile {
  /** Its place in the table of fixed files; -1 once it is no longer registered. */
  readonly slot: number;
}

/**
 * Requests on regular files and block devices, of one thread. Everything is called from the thread
 * that created it, and completions are delivered there.
 *
 * - Requests are not ordered among each other. A flush covers the writes that have completed.
 * - Lists of segments are copied; the memory they name has to stay until the completion.
 * - A read is shorter than asked at the end of the file, a write where the space ends; both may
 *   be shorter for other reasons, and at most 2^31 - 4096 bytes. The caller asks for the rest.
 * - Every request accepted completes exactly once, also when the engine is closed.
 * - An offset that is negative, or not an exact integer, throws a RangeError.
 */
export interface IoEngine {
  readonly kind: IoEngineKind;
  /** How many requests there can be between their acceptance and their completion. */
  readonly capacity: number;
  readonly inFlight: number;

  /**
   * Queues a read into the segments.
   * @returns false when there is no room, or the engine is closed; try again after a completion
   */
  readv(file: IoFile, segments: IoSegments, offset: number, token: number): boolean;
  /**
   * Queues a write of the segments.
   * @param dataSync completes when the data is on stable storage (RWF_DSYNC)
   */
  writev(
    file: IoFile,
    segments: IoSegments,
    offset: number,
    token: number,
    dataSync?: boolean,
  ): boolean;
  /** Queues an fdatasync(2). */
  fdatasync(file: IoFile, token: number): boolean;
  /** Queues a fallocate(2) with FALLOC_FL_* in `mode`. */
  fallocate(file: IoFile, mode: number, offset: number, length: number, token: number): boolean;

  /** Hands all queued requests over; completions come through the event loop. */
  submit(): void;
  /**
   * Hands all queued requests over and takes the completions that are there: what the page cache
   * has needs no trip through the event loop.
   * @returns completions taken
   */
  submitAndReap(): number;
  /** Takes the completions that are there, without waiting; 0 from within a completion. */
  reap(): number;

  /**
   * Puts an open file into the table. It is kept open until it is taken out and its requests are
   * done, whatever becomes of `fd`.
   * @throws VexitError ERR_IO when the table is full or `fd` is not open
   */
  register(fd: number): IoFile;
  /** Takes a file out. Requests in flight go on; new ones fail with -EBADF. */
  unregister(file: IoFile): void;

  /**
   * Accepts nothing any more and cancels what can be cancelled (-ECANCELED); resolves when the
   * last completion is in and everything is given back.
   */
  close(): Promise<void>;
}

export interface IoEngineOptions {
  /** Without it io_uring where the host allows it, threads elsewhere. */
  readonly kind?: IoEngineKind;
  /** Requests in flight at most: 1 to 4096, 256 unless told. */
  readonly entries?: number;
  /** Files registered at most: 64 unless told. */
  readonly files?: number;
  /** Threads of the pool at most, started when needed: 8 unless told. */
  readonly threads?: number;
  /**
   * Guest memories (ids of the addon) that requests point into: they stay mapped as long as a
   * request can touch them, also when the thread ends without closing the engine.
   */
  readonly memories?: readonly number[];
  /** Called for every completion, never within the call that queued the request. */
  readonly onCompletion: IoCompletion;
  /**
   * Called when the event loop has delivered completions, after the last of them: the place to
   * publish them together and to submit what they led to.
   */
  readonly onBatch?: () => void;
}
