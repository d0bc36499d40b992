/** Standard streams of a program in the guest, each with a window of its own. */
import { Readable, Writable } from 'node:stream';

/** Bytes of output that may be on their way or unread. */
export const OUTPUT_WINDOW = 256 * 1024;
/** Less than this is not worth a frame. */
const GRANT_MIN = OUTPUT_WINDOW / 4;
/** What the guest may grant at most. */
const CREDIT_LIMIT = 1 << 20;
const INPUT_CHUNK = 32_768;

/** What the program writes. The guest sends no more than it was granted. */
export class ProcessOutput extends Readable {
  private credit = OUTPUT_WINDOW;
  private done = false;

  /** @param grant tells the guest that so many more bytes may come */
  constructor(private readonly grant: (bytes: number) => void) {
    super();
  }

  /** Bytes of the guest; false when they are more than it was granted. */
  deliver(bytes: Buffer): boolean {
    if (this.done || this.destroyed) return true;
    if (bytes.length > this.credit) return false;
    this.credit -= bytes.length;
    this.push(bytes);
    this.replenish();
    return true;
  }

  /** No more will come. */
  end(): void {
    if (this.done) return;
    this.done = true;
    this.push(null);
  }

  // What is taken out of the buffer goes through here, or through push with a flowing stream.
  override read(size?: number): unknown {
    const bytes = super.read(size) as unknown;
    this.replenish();
    return bytes;
  }

  override _read(): void {
    // What was granted comes by itself.
  }

  private replenish(): void {
    const more = OUTPUT_WINDOW - this.credit - this.readableLength;
    if (this.done || more < GRANT_MIN) return;
    this.credit += more;
    this.grant(more);
  }

  /** Nobody reads any more: what comes is thrown away, so that the program goes on. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.done) {
      // As far as the guest is concerned there is always room.
      this.grant(0xffff_ffff - OUTPUT_WINDOW);
      this.done = true;
    }
    callback(error);
  }
}

/** What the program reads: bytes wait here until the guest has room for them. */
export class ProcessInput extends Writable {
  private credit = 0;
  private waiting: { bytes: Buffer; done: () => void } | undefined;
  private closed_ = false;

  /** @param send hands bytes to the guest; none are the end of file */
  constructor(private readonly send: (bytes: Buffer) => void) {
    super({ decodeStrings: true });
  }

  /** The guest takes so many more bytes. */
  addCredit(bytes: number): void {
    this.credit = Math.min(this.credit + bytes, CREDIT_LIMIT);
    this.pump();
  }

  /** The program is gone: what is written goes nowhere. */
  discard(): void {
    this.closed_ = true;
    this.pump();
  }

  private pump(): void {
    while (this.waiting !== undefined) {
      const { bytes, done } = this.waiting;
      if (this.closed_ || bytes.length === 0) {
        this.waiting = undefined;
        done();
        return;
      }
      const count = Math.min(bytes.length, this.credit, INPUT_CHUNK);
      if (count === 0) return;
      this.credit -= count;
      this.waiting = { bytes: bytes.subarray(count), done };
      this.send(bytes.subarray(0, count));
    }
  }

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.waiting = { bytes: chunk, done: callback };
    this.pump();
  }

  override _final(callback: () => void): void {
    if (!this.closed_) this.send(Buffer.alloc(0));
    callback();
  }
}
