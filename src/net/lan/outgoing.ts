/**
 * The way to one other member: a connected socket that keeps order and loses nothing. While the other
 * side takes nothing, a few packets wait here and the guest sends no more; a member that is stuck for
 * too long is sent nothing until it reads again, so that it does not hold the others up.
 */
import { constants } from 'node:os';
import { native, type WatchHandle } from '../../kvm/native.js';
import { BATCH_PACKETS, type PacketBatch } from './packet-batch.js';

const { EAGAIN, ENOBUFS } = constants.errno;
const READABLE = 1;
const WRITABLE = 2;
/** How often a socket that is full is tried: it counts as writable only when it is three quarters empty. */
const RETRY_MS = 10;

/** What becomes of a connection. */
export interface OutgoingOwner {
  /** How long a member may take nothing while others wait for it. */
  readonly stallMs: number;
  /** The connection has ended. */
  ended(outgoing: Outgoing): void;
  /** Packets no longer wait. */
  unblocked(): void;
}

export class Outgoing {
  /** Packets that a stuck member has not been sent. */
  dropped = 0;
  /** Packets wait, in this order, before any others. */
  private backlog: Uint8Array[] = [];
  private readonly numbers = new Uint32Array(BATCH_PACKETS);
  private readonly numberBytes = new Uint8Array(this.numbers.buffer);
  private count = 0;
  private stuck = false;
  private readonly watch: WatchHandle;
  private timer: NodeJS.Timeout | undefined;
  /** When the member last took something, while packets wait. */
  private progress = 0;
  private closed = false;

  /** @param fd connected, and closed by this object */
  constructor(
    readonly host: number,
    private readonly fd: number,
    private readonly owner: OutgoingOwner,
  ) {
    // Nothing is ever sent the other way: it is readable when it has ended.
    this.watch = native().watchReadable(fd, () => this.onEvent());
  }

  get blocked(): boolean {
    return this.backlog.length > 0;
  }

  /** Has a packet of the batch sent at the next {@link flush}. */
  queue(number: number): void {
    if (this.stuck) this.dropped++;
    else this.numbers[this.count++] = number;
  }

  /** Sends what was queued, or keeps copies of it. */
  flush(batch: PacketBatch): void {
    const { count } = this;
    this.count = 0;
    let at = 0;
    while (!this.closed && !this.blocked && at < count) {
      const sent = native().packetSendBatch(this.fd, batch.bytes, this.numberBytes, at, count - at);
      if (sent > 0) at += sent;
      else if (isFull(sent)) break;
      else this.end();
    }
    if (this.closed || at === count) return;
    if (!this.blocked) this.block();
    for (; at < count; at++) this.backlog.push(batch.copy(this.numbers[at]!));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    this.backlog = [];
    native().unwatch(this.watch);
    native().fsClose(this.fd);
  }

  private end(): void {
    this.close();
    this.owner.ended(this);
  }

  private block(): void {
    this.progress = performance.now();
    this.timer = setInterval(() => this.retry(), RETRY_MS);
    native().watchEvents(this.watch, READABLE | WRITABLE);
  }

  private unblock(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    native().watchEvents(this.watch, READABLE | (this.stuck ? WRITABLE : 0));
    this.owner.unblocked();
  }

  private onEvent(): void {
    if (this.blocked) {
      this.retry();
    } else if (this.stuck && !this.hasEnded()) {
      this.stuck = false;
      native().watchEvents(this.watch, READABLE);
    } else if (this.hasEnded()) {
      this.end();
    }
  }

  private hasEnded(): boolean {
    const length = new Uint8Array(4);
    return !isFull(native().packetReceive(this.fd, new Uint8Array(1), 1, length));
  }

  private retry(): void {
    let sent = 0;
    for (const packet of this.backlog) {
      const result = native().packetSend(this.fd, packet);
      if (isFull(result)) break;
      if (result < 0) {
        this.end();
        return;
      }
      sent++;
    }
    this.backlog.splice(0, sent);
    const now = performance.now();
    if (sent > 0) this.progress = now;
    if (now - this.progress >= this.owner.stallMs) {
      this.dropped += this.backlog.length;
      this.backlog = [];
      this.stuck = true;
    }
    if (!this.blocked) this.unblock();
  }
}

function isFull(result: number): boolean {
  return result === -EAGAIN || result === -ENOBUFS;
}
