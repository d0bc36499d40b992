/** A request of the guest on its way through the server. */
import type { Addressable } from '../io-vectors.js';
import type { Caller } from '../file-system.js';

/** Where a request is read from; `ReadableSegments` of a virtqueue is one. */
export interface Source extends Addressable {
  /** Bytes left. */
  readonly length: number;
  /**
   * Takes bytes off the front; returns how many there were.
   * @param words the same memory as `target`, which may help to be quicker
   */
  read(target: Uint8Array, offset?: number, length?: number, words?: Uint32Array): number;
}

/** Where its answer goes; `WritableSegments` is one. */
export interface Sink extends Addressable {
  readonly length: number;
  write(source: Uint8Array, offset?: number, length?: number, words?: Uint32Array): number;
}

/**
 * One request. Whoever receives requests owns the object and can use it again when it is done;
 * until then source and sink belong to the server.
 */
export class FuseRequest implements Caller {
  opcode = 0;
  nodeId = 0;
  uid = 0;
  gid = 0;
  pid = 0;
  /** The number of the request, 64 bits. */
  uniqueLow = 0;
  uniqueHigh = 0;
  /** The request has been answered, or needs no answer. */
  done = false;

  /** @param completed called once, with the bytes written; perhaps within `FuseServer.handle` */
  constructor(
    readonly source: Source,
    readonly sink: Sink,
    private readonly completed: (request: FuseRequest, written: number) => void,
  ) {}

  /** Nobody is there any more who could take an answer, and its memory may be used for other things. */
  isAbandoned(): boolean {
    return false;
  }

  /** For the server. */
  begin(): void {
    this.done = false;
  }

  /** For the server. */
  complete(written: number): void {
    if (this.done) return;
    this.done = true;
    this.completed(this, written);
  }
}
