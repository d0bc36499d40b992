/**
 * A second TCP, small and simple, for tests: go back N, everything received in order kept, out of order
 * kept by sequence number. It shares nothing with the code under test.
 */
import { ACK, FIN, PSH, RST, SYN, tcpFrame, type SeenSegment } from './frames.js';
import type { Clock } from '../../../src/net/timers.js';

const MSS = 1460;
const RTO = 300;

const diff = (a: number, b: number): number => (a - b) | 0;

export interface PeerOptions {
  readonly sourcePort: number;
  readonly port: number;
  readonly seq: number;
  /** Shift count of its windows; undefined: no scaling. */
  readonly scale?: number;
  readonly destination?: string;
  readonly mss?: number;
}

export class TcpPeer {
  state: 'closed' | 'listen' | 'syn-sent' | 'syn-received' | 'open' | 'reset' = 'closed';
  received = Buffer.alloc(0);
  /** Bytes it takes at the most beyond what it has acknowledged. */
  window = 60_000;
  remoteEnded = false;
  retransmissions = 0;
  /** Segments it has seen. */
  readonly seen: SeenSegment[] = [];
  keepSeen = false;

  private sending = Buffer.alloc(0);
  private ending = false;
  private una: number;
  private nxt: number;
  private max: number;
  private start: number;
  private expected = 0;
  private remoteWindow = 0;
  private remoteScale = 0;
  private readonly early = new Map<number, { payload: Buffer; fin: boolean }>();
  private timer: object | undefined;
  private remotePort: number;

  constructor(
    private readonly options: PeerOptions,
    private readonly clock: Clock,
    private readonly send: (frame: Buffer) => void,
  ) {
    this.una = options.seq;
    this.nxt = options.seq;
    this.max = options.seq;
    this.start = options.seq + 1;
    this.remotePort = options.port;
  }

  connect(): void {
    this.state = 'syn-sent';
    this.sendSyn(SYN);
  }

  listen(): void {
    this.state = 'listen';
  }

  write(bytes: Buffer): void {
    this.sending = Buffer.concat([this.sending, bytes]);
    this.output();
  }

  end(): void {
    this.ending = true;
    this.output();
  }

  reset(): void {
    this.emit(RST | ACK, this.nxt);
    this.state = 'reset';
  }

  /** Everything sent, FIN included, has been acknowledged. */
  get sentAll(): boolean {
    const total = this.sending.length + (this.ending ? 1 : 0);
    return diff(this.una, this.start + total) === 0;
  }

  setWindow(window: number): void {
    this.window = window;
    this.emit(ACK, this.nxt);
  }

  input(segment: SeenSegment): void {
    if (this.keepSeen) this.seen.push(segment);
    const { flags } = segment;
    if ((flags & RST) !== 0) {
      if (this.state !== 'listen') this.state = 'reset';
      return;
    }
    if (this.state === 'listen' && (flags & SYN) !== 0) {
      this.remotePort = segment.sourcePort;
      this.takeSyn(segment);
      this.state = 'syn-received';
      this.sendSyn(SYN | ACK);
      return;
    }
    if (this.state === 'syn-sent') {
      if ((flags & (SYN | ACK)) !== (SYN | ACK)) return;
      this.takeSyn(segment);
      this.state = 'open';
      this.acknowledged(segment);
      this.emit(ACK, this.nxt);
      this.output();
      return;
    }
    if (this.state === 'closed' || this.state === 'reset') return;
    if (this.state === 'syn-received' && (flags & SYN) === 0) this.state = 'open';
    if ((flags & SYN) !== 0) {
      this.emit(this.state === 'syn-received' ? SYN | ACK : ACK, this.una);
      return;
    }
    this.acknowledged(segment);
    this.take(segment);
    this.output();
  }

  private takeSyn(segment: SeenSegment): void {
    this.expected = segment.seq + 1;
    this.remoteWindow = segment.window;
    const at = segment.options.indexOf(Buffer.from([3, 3]));
    this.remoteScale = at >= 0 && this.options.scale !== undefined ? segment.options[at + 2]! : 0;
  }

  private acknowledged(segment: SeenSegment): void {
    const advance = diff(segment.ack, this.una);
    if (advance > 0 && diff(segment.ack, this.max) <= 0) {
      this.una = segment.ack;
      if (diff(this.nxt, this.una) < 0) this.nxt = this.una;
      this.arm();
    }
    const shift = (segment.flags & SYN) !== 0 ? 0 : this.remoteScale;
    this.remoteWindow = segment.window << shift;
  }

  private take(segment: SeenSegment): void {
    const fin = (segment.flags & FIN) !== 0;
    if (segment.payload.length === 0 && !fin) {
      // A probe has an old sequence number and wants an answer.
      if (diff(segment.seq, this.expected) < 0) this.emit(ACK, this.nxt);
      return;
    }
    const room = this.window;
    const offset = diff(segment.seq, this.expected);
    if (offset < room || (room === 0 && offset === 0 && segment.payload.length === 0)) {
      this.early.set(segment.seq | 0, { payload: Buffer.from(segment.payload), fin });
    }
    for (let again = true; again;) {
      again = false;
      for (const [seq, { payload, fin: last }] of this.early) {
        const skip = diff(this.expected, seq);
        if (skip < 0) continue;
        this.early.delete(seq);
        if (skip > payload.length || (skip === payload.length && !last)) continue;
        if (this.remoteEnded) continue;
        this.received = Buffer.concat([this.received, payload.subarray(skip)]);
        this.expected = seq + payload.length;
        if (last) {
          this.remoteEnded = true;
          this.expected++;
        }
        again = true;
      }
    }
    this.emit(ACK, this.nxt);
  }

  private output(): void {
    if (this.state !== 'open') return;
    const total = this.sending.length;
    for (;;) {
      const at = diff(this.nxt, this.start);
      if (at < 0) return;
      const usable = this.remoteWindow - diff(this.nxt, this.una);
      const length = Math.min(this.options.mss ?? MSS, total - at, usable);
      const fin = this.ending && at + Math.max(0, length) === total && at <= total;
      if (length <= 0 && !(fin && at === total)) break;
      const size = Math.max(0, length);
      this.emit(ACK | PSH | (fin ? FIN : 0), this.nxt, this.sending.subarray(at, at + size));
      this.nxt += size + (fin ? 1 : 0);
      if (diff(this.nxt, this.max) > 0) this.max = this.nxt;
      if (this.timer === undefined) this.arm();
    }
    if (this.timer === undefined && !this.sentAll) this.arm();
  }

  private arm(): void {
    if (this.timer !== undefined) this.clock.cancel(this.timer);
    this.timer = undefined;
    const outstanding = this.state === 'open' ? !this.sentAll : this.state.startsWith('syn');
    if (outstanding) this.timer = this.clock.after(RTO, () => this.expired());
  }

  private expired(): void {
    this.timer = undefined;
    this.retransmissions++;
    if (this.state === 'syn-sent') this.sendSyn(SYN);
    else if (this.state === 'syn-received') this.sendSyn(SYN | ACK);
    else if (this.state === 'open') {
      this.nxt = this.una;
      if (this.remoteWindow === 0 && diff(this.nxt, this.start) < this.sending.length) {
        // A probe of one byte.
        const at = diff(this.nxt, this.start);
        this.emit(ACK | PSH, this.nxt, this.sending.subarray(at, at + 1));
        this.nxt++;
        if (diff(this.nxt, this.max) > 0) this.max = this.nxt;
        this.arm();
        return;
      }
      this.output();
    }
  }

  private sendSyn(flags: number): void {
    const { scale, mss = MSS } = this.options;
    const options = [2, 4, mss >> 8, mss & 255];
    if (scale !== undefined) options.push(1, 3, 3, scale);
    this.nxt = this.options.seq + 1;
    this.max = this.nxt;
    this.emit(flags, this.options.seq, Buffer.alloc(0), Buffer.from(options));
    this.arm();
  }

  private emit(flags: number, seq: number, payload?: Buffer, options?: Buffer): void {
    const shift = (flags & SYN) !== 0 ? 0 : (this.options.scale ?? 0);
    const frame = tcpFrame(
      {
        sourcePort: this.options.sourcePort,
        port: this.remotePort,
        seq,
        ack: (flags & ACK) !== 0 ? this.expected : 0,
        flags,
        window: Math.min(0xffff, this.window >> shift),
        ...(payload === undefined ? {} : { payload }),
        ...(options === undefined ? {} : { options }),
      },
      this.options.destination === undefined ? {} : { destination: this.options.destination },
    );
    this.send(frame);
  }
}
