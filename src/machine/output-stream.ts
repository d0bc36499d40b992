/** What a guest writes to a port, as a Node.js stream with bounded memory. */
import { Readable } from 'node:stream';

/** Kept for a reader that comes later; older output is dropped. */
const BACKLOG_LIMIT = 256 * 1024;
/** The backlog's unit: a guest that writes byte by byte must not cost an object for each byte. */
const BLOCK_SIZE = 16 * 1024;

/** Bytes moved in one turn of the event loop. */
const TURN_LIMIT = 1024 * 1024;

/**
 * A guest that writes less than this at a time is let gather more for a while: waking this thread and
 * writing a log for every 16 bytes of a UART's FIFO costs more than the guest spends on them.
 */
const SMALL = 1024;
const GATHER_MS = 4;

interface Block {
  readonly bytes: Uint8Array;
  used: number;
}

/** The host side of a device that writes. */
export interface OutputSource {
  /** All output so far, as bytes of the caller's own. */
  take(): Uint8Array;
}

/**
 * Bytes from a device. Once somebody reads, nothing is lost: when the reader is slow the device is
 * no longer drained and the guest waits. Before anybody reads, the guest is not held up and the
 * last 256 KiB are kept.
 */
export class OutputStream extends Readable {
  private readonly backlog: Block[] = [];
  private backlogBytes = 0;
  private wanted = false;
  private attached = false;
  private gathering: NodeJS.Timeout | undefined;
  /** Bytes dropped because nobody read. */
  dropped = 0;

  /** @param drain called when the reader wants more: move what the device holds to {@link deliver} */
  constructor(private readonly drain: () => void) {
    super({ highWaterMark: 64 * 1024 });
  }

  /** True when output should be fetched from the device now. */
  get accepting(): boolean {
    return this.wanted || !this.attached;
  }

  /**
   * Moves what the device holds to the reader, as long as the reader accepts. A guest that writes
   * faster than this gets no more of the event loop than a turn's worth at a time. The first bytes after
   * a pause are moved at once.
   */
  drainFrom(device: OutputSource): void {
    if (this.gathering !== undefined) return;
    for (let moved = 0; this.accepting && moved < TURN_LIMIT;) {
      const bytes = device.take();
      if (bytes.length === 0) return;
      this.deliver(bytes);
      moved += bytes.length;
      if (bytes.length < SMALL) {
        this.gather();
        return;
      }
    }
    if (this.accepting) setImmediate(() => this.drain());
  }

  private gather(): void {
    this.gathering = setTimeout(() => {
      this.gathering = undefined;
      this.drain();
    }, GATHER_MS);
  }

  /** Ends a time of gathering: what the device holds is moved now, as long as the reader accepts. */
  hasten(): void {
    clearTimeout(this.gathering);
    this.gathering = undefined;
    this.drain();
  }

  /** Takes everything the device still holds, however far behind the reader is. */
  flushFrom(device: OutputSource): void {
    for (let bytes = device.take(); bytes.length > 0; bytes = device.take()) this.deliver(bytes);
  }

  /** Output from the device; the bytes are the stream's from now on. */
  deliver(bytes: Uint8Array): void {
    if (this.attached) {
      this.wanted = this.push(bytes);
      return;
    }
    this.keep(bytes);
  }

  private keep(bytes: Uint8Array): void {
    let block = this.backlog.at(-1);
    if (block === undefined || block.bytes.length - block.used < bytes.length) {
      block = { bytes: new Uint8Array(Math.max(BLOCK_SIZE, bytes.length)), used: 0 };
      this.backlog.push(block);
    }
    block.bytes.set(bytes, block.used);
    block.used += bytes.length;
    this.backlogBytes += bytes.length;
    while (this.backlogBytes > BACKLOG_LIMIT && this.backlog.length > 1) {
      const oldest = this.backlog.shift()!;
      this.backlogBytes -= oldest.used;
      this.dropped += oldest.used;
    }
  }

  /** The device will write no more. */
  end(): void {
    clearTimeout(this.gathering);
    this.flushBacklog();
    this.push(null);
  }

  private flushBacklog(): void {
    for (const { bytes, used } of this.backlog.splice(0)) this.push(bytes.subarray(0, used));
    this.backlogBytes = 0;
  }

  override _read(): void {
    this.attached = true;
    this.wanted = true;
    if (this.backlog.length > 0) this.flushBacklog();
    else this.drain();
  }
}
