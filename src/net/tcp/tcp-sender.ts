/**
 * The sending half of a connection to the guest (RFC 9293, RFC 6298, RFC 6582).
 *
 * There is no congestion window in normal operation: the link is the guest's receive ring, which says
 * when it is full. After a time-out, when the guest has been dropping, sending starts slowly.
 */
import type { Chunk } from '../chunk-pool.js';
import type { Timer, TimerQueue } from '../timers.js';
import { RttEstimator } from './rtt.js';
import { TcpFlag } from './segment.js';
import type { SendQueue } from './send-queue.js';
import { seqAdd, seqDiff } from './sequence.js';

/** Retransmissions of one byte, or probes in a row, without an answer: some minutes. */
const MOST_RETRANSMISSIONS = 12;
const DUPLICATE_ACKS = 3;
const UNLIMITED = 2 ** 30;
const NO_PAYLOAD = new Uint8Array(0);

/** What a sender needs of its connection. */
export interface SenderLink {
  /** Sends a segment with the current acknowledgement; false when the guest has no room. */
  emit(flags: number, seq: number, bytes: Uint8Array, start: number, length: number): boolean;
  /** The guest has no room: {@link emit} would say no. */
  readonly blocked: boolean;
  /** The most payload for a frame. */
  readonly largestPayload: number;
  /** The guest does not answer any more. */
  onTimeout(): void;
  /** Bytes have been acknowledged. */
  onAcknowledged(): void;
}

export class TcpSender {
  /** First sequence number that is not acknowledged. */
  una: number;
  /** Next to send; goes back for a retransmission. */
  nxt: number;
  /** One after the highest that was ever sent. */
  max: number;
  mss = 536;
  /** Shift count of the windows that come. */
  scale = 0;
  /** The guest's window in bytes, and the largest it ever was. */
  window = 0;
  maxWindow = 0;
  readonly rtt = new RttEstimator();

  private windowSeq = 0;
  private windowAck = 0;
  private congestion = UNLIMITED;
  private duplicates = 0;
  /** End of the data that was out when a loss was noticed (RFC 6582). */
  private recover: number | undefined;
  private finQueued = false;
  private finSent = false;
  private attempts = 0;
  private timedSeq = 0;
  private timedSince = -1;

  constructor(
    readonly queue: SendQueue,
    private readonly link: SenderLink,
    private readonly timers: TimerQueue,
    private readonly timer: Timer,
    initial: number,
  ) {
    this.una = initial;
    this.nxt = initial;
    this.max = initial;
  }

  /** Bytes of sequence space that are out. */
  get flight(): number {
    return seqDiff(this.max, this.una);
  }

  /** Everything, FIN included, has been acknowledged. */
  get finished(): boolean {
    return this.finSent && this.una === this.max && this.queue.length === 0;
  }

  /** Nothing will be queued any more: a FIN follows the data. */
  end(): void {
    this.finQueued = true;
    this.output();
  }

  /** The SYN has been sent: it takes one sequence number. */
  synSent(): void {
    this.nxt = seqAdd(this.una, 1);
    this.max = this.nxt;
    this.startTiming();
    this.timers.set(this.timer, this.rtt.rto);
  }

  /** The SYN has been acknowledged. */
  synAcknowledged(): void {
    this.una = this.nxt;
    this.stopTiming(this.una);
    this.attempts = 0;
    this.timers.clear(this.timer);
  }

  /** First window of the connection. */
  setWindow(window: number, seq: number, ack: number): void {
    this.window = window;
    this.maxWindow = Math.max(this.maxWindow, window);
    this.windowSeq = seq;
    this.windowAck = ack;
  }

  /** Sends what the window lets out. */
  output(): void {
    for (;;) {
      const offset = seqDiff(this.nxt, this.una);
      const waiting = this.queue.length - offset;
      if (waiting <= 0) {
        const finIsOut = this.finSent && this.nxt === this.max;
        if (waiting === 0 && this.finQueued && !finIsOut) this.sendFin();
        return;
      }
      const usable = Math.min(this.window, this.congestion) - offset;
      if (usable <= 0) {
        // Zero window: somebody has to ask when it opens.
        if (this.flight === 0 && !this.timer.isSet) this.timers.set(this.timer, this.rtt.rto);
        return;
      }
      this.queue.locate(offset);
      const chunk = this.queue.chunk!;
      const most = Math.min(this.link.largestPayload, waiting, usable);
      const length = Math.min(most, chunk.end - this.queue.position);
      // Silly windows (RFC 9293, 3.8.6.2.1): no small segment because the window is nearly full.
      const small = length < this.mss && length === usable && length < waiting;
      if (small && this.flight > 0 && usable < this.maxWindow / 2) return;
      if (!this.sendData(chunk, length, length === waiting)) return;
    }
  }

  /** An acknowledgement that is in the acceptable range. `pure`: without payload, SYN or FIN. */
  acknowledge(ack: number, seq: number, window: number, pure: boolean): void {
    const advance = seqDiff(ack, this.una);
    if (advance > 0) {
      this.advance(ack, advance);
    } else if (advance === 0) {
      const duplicate = pure && this.flight > 0 && window === this.window;
      if (duplicate && ++this.duplicates === DUPLICATE_ACKS) this.fastRetransmit();
    }
    this.attempts = 0;
    this.rtt.answered();
    const fresh = seqDiff(seq, this.windowSeq);
    if (fresh > 0 || (fresh === 0 && seqDiff(ack, this.windowAck) >= 0)) {
      const opened = window > this.window;
      this.setWindow(window, seq, ack);
      if (opened && this.flight === 0) this.timers.clear(this.timer);
    }
    this.output();
    if (advance > 0) this.link.onAcknowledged();
  }

  /** The retransmission or persist timer has fired. */
  expired(): void {
    // What the guest had no buffer for is not lost, and no reason to give up.
    if (this.link.blocked) {
      this.timers.set(this.timer, this.rtt.rto);
      return;
    }
    if (++this.attempts > MOST_RETRANSMISSIONS) {
      this.link.onTimeout();
      return;
    }
    this.rtt.expired();
    this.timers.set(this.timer, this.rtt.rto);
    this.timedSince = -1;
    if (this.flight === 0 || this.window === 0) {
      this.probe();
      return;
    }
    this.duplicates = 0;
    this.recover = undefined;
    this.nxt = this.una;
    this.congestion = this.mss;
    this.output();
  }

  /** Makes the guest say where it is: an old sequence number has to be answered (3.10.7.4). */
  probe(): void {
    this.link.emit(TcpFlag.Ack, seqAdd(this.una, -1), NO_PAYLOAD, 0, 0);
  }

  close(): void {
    this.queue.close();
    this.timers.remove(this.timer);
  }

  private advance(ack: number, count: number): void {
    this.una = ack;
    if (seqDiff(this.nxt, ack) < 0) this.nxt = ack;
    this.stopTiming(ack);
    this.queue.consume(Math.min(count, this.queue.length));
    this.duplicates = 0;
    if (this.congestion < UNLIMITED) {
      this.congestion += count;
      if (this.congestion > this.maxWindow) this.congestion = UNLIMITED;
    }
    if (this.recover !== undefined) {
      if (seqDiff(ack, this.recover) >= 0) this.recover = undefined;
      else this.resend();
    }
    if (this.flight === 0) this.timers.clear(this.timer);
    else this.timers.set(this.timer, this.rtt.rto);
  }

  private fastRetransmit(): void {
    if (this.recover !== undefined) return;
    this.recover = this.max;
    this.resend();
  }

  /** Sends the first segment that is not acknowledged once more. */
  private resend(): void {
    this.timedSince = -1;
    if (this.queue.length === 0) {
      if (this.finSent) this.emitFin(this.una);
      return;
    }
    this.queue.locate(0);
    const { position } = this.queue;
    const chunk = this.queue.chunk!;
    const sent = seqDiff(this.max, this.una);
    const length = Math.min(this.mss, chunk.end - position, sent);
    if (length > 0) this.link.emit(TcpFlag.Ack, this.una, chunk.bytes, position, length);
  }

  private sendData(chunk: Chunk, length: number, last: boolean): boolean {
    const fin = last && this.finQueued;
    const flags = TcpFlag.Ack | (last ? TcpFlag.Psh : 0) | (fin ? TcpFlag.Fin : 0);
    const { nxt } = this;
    if (!this.link.emit(flags, nxt, chunk.bytes, this.queue.position, length)) return false;
    this.finSent ||= fin;
    this.sent(seqAdd(nxt, length + (fin ? 1 : 0)));
    return true;
  }

  private sendFin(): void {
    if (!this.emitFin(this.nxt)) return;
    this.finSent = true;
    this.sent(seqAdd(this.nxt, 1));
  }

  private emitFin(seq: number): boolean {
    return this.link.emit(TcpFlag.Fin | TcpFlag.Ack, seq, NO_PAYLOAD, 0, 0);
  }

  private sent(next: number): void {
    const isNew = seqDiff(next, this.max) > 0;
    this.nxt = next;
    if (isNew) {
      this.max = next;
      if (this.timedSince < 0) this.startTiming();
    }
    if (!this.timer.isSet) this.timers.set(this.timer, this.rtt.rto);
  }

  private startTiming(): void {
    this.timedSeq = this.nxt;
    this.timedSince = this.timers.now();
  }

  private stopTiming(ack: number): void {
    if (this.timedSince < 0 || seqDiff(ack, this.timedSeq) < 0) return;
    this.rtt.sample(this.timers.now() - this.timedSince);
    this.timedSince = -1;
  }
}
