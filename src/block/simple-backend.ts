/**
 * A backend from a few asynchronous functions, for those who write one: blocks over HTTP ranges, an
 * object store, something generated. It copies; for I/O at full speed implement `BlockBackend`.
 */
import { constants } from 'node:os';
import { errorMessage, systemCode } from '../util/errors.js';
import { BlockError, SECTOR, type BlockBackend, type BlockBackendHost } from './backend.js';
import type { BlockSegments } from './segments.js';

/** What a simple disk can do. Whatever is thrown or rejected is an I/O error to the guest. */
export interface SimpleDisk {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  /** Fills the buffer with the bytes from `offset` on; at most 1 MiB. */
  read(offset: number, buffer: Buffer): Promise<void>;
  /** Takes the bytes of the buffer, which is used again later. Without it the disk is read-only. */
  write?(offset: number, buffer: Buffer): Promise<void>;
  /** Puts what has been written before on persistent storage. */
  flush?(): Promise<void>;
  close?(): Promise<void>;
}

/** Bytes of one call of `read` or `write`. */
const STEP = 2 ** 20;
/** Requests at once, and so buffers. */
const REQUESTS = 64;

/**
 * A backend over simple functions.
 * @throws RangeError when the size is not a multiple of 512
 */
export function simpleBackend(disk: SimpleDisk): BlockBackend {
  return new SimpleBackend(disk);
}

class SimpleBackend implements BlockBackend {
  readonly concurrent = false;
  readonly capacity: number;
  readonly readOnly: boolean;
  private host!: BlockBackendHost;
  private running = 0;

  constructor(private readonly disk: SimpleDisk) {
    if (!Number.isSafeInteger(disk.size) || disk.size < 0 || disk.size % SECTOR !== 0) {
      throw new RangeError(`a disk of ${disk.size} bytes: the size has to be a multiple of 512`);
    }
    this.capacity = disk.size;
    this.readOnly = disk.write === undefined;
  }

  attach(host: BlockBackendHost): void {
    this.host = host;
  }

  read(segments: BlockSegments, offset: number, token: number): boolean {
    return this.run(token, async () => {
      await this.steps(segments.length, async (done, buffer) => {
        await this.disk.read(offset + done, buffer);
        segments.copyIn(done, buffer, 0, buffer.length);
      });
    });
  }

  write(segments: BlockSegments, offset: number, token: number, stable: boolean): boolean {
    return this.run(token, async () => {
      await this.steps(segments.length, async (done, buffer) => {
        segments.copyOut(done, buffer, 0, buffer.length);
        await this.disk.write?.(offset + done, buffer);
      });
      if (stable) await this.disk.flush?.();
    });
  }

  flush(token: number): boolean {
    return this.run(token, async () => this.disk.flush?.());
  }

  discard(_offset: number, _length: number, token: number): boolean {
    this.host.complete(token, 0);
    return true;
  }

  writeZeroes(
    offset: number,
    length: number,
    token: number,
    _unmap: boolean,
    stable: boolean,
  ): boolean {
    return this.run(token, async () => {
      await this.steps(length, async (done, buffer) => {
        await this.disk.write?.(offset + done, buffer.fill(0));
      });
      if (stable) await this.disk.flush?.();
    });
  }

  submit(): void {
    // Every request starts at once.
  }

  async close(): Promise<void> {
    await this.disk.close?.();
  }

  private async steps(
    length: number,
    step: (done: number, buffer: Buffer) => Promise<void>,
  ): Promise<void> {
    const buffer = Buffer.alloc(Math.min(STEP, length));
    for (let done = 0; done < length; done += STEP) {
      await step(done, buffer.subarray(0, Math.min(STEP, length - done)));
    }
  }

  private run(token: number, work: () => Promise<void>): boolean {
    if (this.running >= REQUESTS) return false;
    this.running++;
    work().then(
      () => this.end(token, 0),
      (error: unknown) => {
        this.host.warn('block-backend', `the disk's backend failed: ${errorMessage(error)}`);
        this.end(token, errnoOf(error));
      },
    );
    return true;
  }

  private end(token: number, result: number): void {
    this.running--;
    this.host.complete(token, result);
  }
}

function errnoOf(error: unknown): number {
  const known: Readonly<Record<string, number>> = constants.errno;
  const number = known[systemCode(error) ?? ''];
  return number === undefined ? BlockError.EIO : -number;
}
