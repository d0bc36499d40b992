/** The receiving half of a connection: windows, order, and the copy into the buffer of a socket. */
import type { Chunk } from '../chunk-pool.js';
import { OutOfOrderQueue } from './out-of-order.js';
import { TcpFlag, type Segment } from './segment.js';
import { seqAdd, seqDiff } from './sequence.js';

/** Our shift count: windows up to 2 MiB. */
export const WINDOW_SCALE = 5;

/** A window that grows by less is not advertised, in bytes. */
const WORTH_TELLING = 2048;

/** Where bytes from the guest go. */
export interface ReceiverSink {
  /** Bytes that are welcome now. */
  readonly room: number;
  /** A buffer with room for `length` bytes at its end, or undefined when there is none. */
  reserve(length: number): Chunk | undefined;
  /** `length` bytes have been appended to what {@link reserve} gave. */
  commit(chunk: Chunk, length: number): void;
}

export class TcpReceiver {
  /** Next sequence number expected. */
  nxt: number;
  /** Shift count of the windows that go out. */
  scale = 0;
  /** The guest's FIN has been reached. */
  ended = false;

  /** Right edge of the window that was promised. */
  private edge: number;
  private fin: number | undefined;
  private readonly early = new OutOfOrderQueue();

  constructor(
    initial: number,
    private readonly sink: ReceiverSink,
  ) {
    this.nxt = initial;
    this.edge = initial;
  }

  /** Bytes of segments that wait for others. */
  get bytesWaiting(): number {
    return this.early.bytes;
  }

  /** True when the segment has a byte in the window, or is an empty one there (3.10.7.4). */
  acceptable(seq: number, span: number): boolean {
    const window = seqDiff(this.edge, this.nxt);
    const offset = seqDiff(seq, this.nxt);
    // A full window still takes acknowledgements and resets.
    if (offset === 0) return true;
    if (span === 0) return offset > 0 && offset < window;
    return offset < window && offset + span > 0;
  }

  /**
   * The window field for a segment that goes out now. The right edge never moves back, and moves
   * forward only in steps worth telling (3.8.6.2.2).
   */
  advertise(mss: number): number {
    const { room } = this.sink;
    const promised = seqDiff(this.edge, this.nxt);
    const most = Math.min(room, 0xffff << this.scale);
    if (most - promised >= Math.min(mss, WORTH_TELLING)) {
      this.edge = seqAdd(this.nxt, most);
    }
    return Math.min(0xffff, seqDiff(this.edge, this.nxt) >>> this.scale);
  }

  /** The window field of a SYN, which is never scaled (RFC 7323, 2.2). */
  advertiseUnscaled(): number {
    const window = Math.min(this.sink.room, 0xffff);
    this.edge = seqAdd(this.nxt, window);
    return window;
  }

  /** True when telling the window would let a waiting guest go on. */
  hasNews(mss: number): boolean {
    const promised = seqDiff(this.edge, this.nxt);
    const gain = Math.min(this.sink.room, 0xffff << this.scale) - promised;
    return gain >= 2 * mss && gain > promised;
  }

  /**
   * Takes payload and FIN of an acceptable segment. True when it was the next in order and nothing
   * is missing: the acknowledgement may wait for the end of the batch.
   */
  take(segment: Segment): boolean {
    const offset = seqDiff(segment.seq, this.nxt);
    const window = seqDiff(this.edge, this.nxt);
    const skip = offset < 0 ? -offset : 0;
    const length = Math.min(segment.length, window - offset) - skip;
    const whole = skip + Math.max(0, length) === segment.length;
    if (segment.has(TcpFlag.Fin) && whole) this.fin ??= seqAdd(segment.seq, segment.length);
    if (offset > 0) {
      this.keep(segment, length);
      return false;
    }
    if (length > 0 && !this.deliver(segment, skip, length)) return false;
    const inOrder = this.early.isEmpty && skip === 0 && whole;
    this.deliverEarly();
    if (this.fin === this.nxt && !this.ended) {
      this.ended = true;
      this.nxt = seqAdd(this.nxt, 1);
      if (seqDiff(this.edge, this.nxt) < 0) this.edge = this.nxt;
      this.early.clear();
      return false;
    }
    return inOrder;
  }

  close(): void {
    this.early.clear();
  }

  private deliver(segment: Segment, skip: number, length: number): boolean {
    const chunk = this.sink.reserve(length);
    if (chunk === undefined) return false;
    segment.packet.copy(segment.headerLength + skip, chunk.bytes, chunk.end, length);
    this.sink.commit(chunk, length);
    this.nxt = seqAdd(this.nxt, length);
    return true;
  }

  private keep(segment: Segment, length: number): void {
    if (length <= 0 || !this.early.hasRoom(length)) return;
    const bytes = new Uint8Array(length);
    segment.packet.copy(segment.headerLength, bytes, 0, length);
    this.early.add(segment.seq, bytes);
  }

  private deliverEarly(): void {
    for (;;) {
      const bytes = this.early.take(this.nxt);
      if (bytes === undefined) return;
      const chunk = this.sink.reserve(bytes.length);
      if (chunk === undefined) {
        this.early.putBack(this.nxt, bytes);
        return;
      }
      chunk.bytes.set(bytes, chunk.end);
      this.sink.commit(chunk, bytes.length);
      this.nxt = seqAdd(this.nxt, bytes.length);
    }
  }
}
