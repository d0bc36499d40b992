/** A disk in memory of the process: chunks that exist once they are written. */
import type { BlockBackend, BlockBackendHost } from './backend.js';
import type { BlockSegments } from './segments.js';

const CHUNK = 65536;

/** A disk whose content ends with the process. Requests end within their call. */
export class MemoryBackend implements BlockBackend {
  readonly concurrent = false;
  readonly readOnly = false;
  private readonly chunks = new Map<number, Uint8Array>();
  private host!: BlockBackendHost;

  /** @param capacity bytes, a multiple of 512 */
  constructor(public capacity: number) {}

  attach(host: BlockBackendHost): void {
    this.host = host;
  }

  read(segments: BlockSegments, offset: number, token: number): boolean {
    this.each(offset, segments.length, (chunk, at, done, length) => {
      const bytes = this.chunks.get(chunk);
      if (bytes === undefined) segments.zero(done, length);
      else segments.copyIn(done, bytes, at, length);
    });
    this.host.complete(token, 0);
    return true;
  }

  write(segments: BlockSegments, offset: number, token: number): boolean {
    this.each(offset, segments.length, (chunk, at, done, length) => {
      let bytes = this.chunks.get(chunk);
      if (bytes === undefined) this.chunks.set(chunk, (bytes = new Uint8Array(CHUNK)));
      segments.copyOut(done, bytes, at, length);
    });
    this.host.complete(token, 0);
    return true;
  }

  flush(token: number): boolean {
    this.host.complete(token, 0);
    return true;
  }

  discard(offset: number, length: number, token: number): boolean {
    return this.writeZeroes(offset, length, token);
  }

  writeZeroes(offset: number, length: number, token: number): boolean {
    this.each(offset, length, (chunk, at, _, count) => {
      if (count === CHUNK) this.chunks.delete(chunk);
      else this.chunks.get(chunk)?.fill(0, at, at + count);
    });
    this.host.complete(token, 0);
    return true;
  }

  submit(): void {
    // Nothing is collected.
  }

  resize(capacity: number): Promise<void> {
    this.each(capacity, Math.max(0, this.capacity - capacity), (chunk, at, _, count) => {
      this.chunks.get(chunk)?.fill(0, at, at + count);
    });
    this.capacity = capacity;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.chunks.clear();
    return Promise.resolve();
  }

  /** Bytes of memory in use. */
  get used(): number {
    return this.chunks.size * CHUNK;
  }

  private each(
    offset: number,
    length: number,
    visit: (chunk: number, at: number, done: number, length: number) => void,
  ): void {
    for (let done = 0; done < length;) {
      const at = (offset + done) % CHUNK;
      const count = Math.min(CHUNK - at, length - done);
      visit((offset + done - at) / CHUNK, at, done, count);
      done += count;
    }
  }
}
