/**
 * A TCP connection with the guest: the states and the processing of segments of RFC 9293, 3.10.7,
 * with the answers of RFC 5961 to segments that somebody may have forged. What is at the other side,
 * usually a socket of the host, is a {@link TcpUser}.
 */
import type { Flow } from '../flow-table.js';
import { Timer } from '../timers.js';
import type { IpAddress } from '../wire/address.js';
import type { MacAddress } from '../wire/mac.js';
import { LifeStage, Lifetime, type Mortal } from './lifetime.js';
import { TcpFlag, type Segment } from './segment.js';
import type { SegmentRoute } from './segment-writer.js';
import { SendQueue } from './send-queue.js';
import { seqAdd, seqDiff } from './sequence.js';
import { TcpReceiver, WINDOW_SCALE, type ReceiverSink } from './tcp-receiver.js';
import { TcpSender, type SenderLink } from './tcp-sender.js';
import type { TcpStack } from './tcp-stack.js';
import type { TcpFailure, TcpUser } from './tcp-user.js';

/** States of RFC 9293, 3.3.2, and one before: the guest's SYN waits for the other side. */
export enum TcpState {
  Pending,
  SynSent,
  SynReceived,
  Established,
  FinWait1,
  FinWait2,
  Closing,
  TimeWait,
  CloseWait,
  LastAck,
  Closed,
}

const NO_PAYLOAD = new Uint8Array(0);

/** Other end of a flow, and its station. */
export interface TcpEnds extends Flow {
  mac: MacAddress;
}

export class TcpConnection implements TcpEnds, SegmentRoute, SenderLink, Mortal {
  state = TcpState.Pending;
  readonly guestAddress: IpAddress;
  readonly guestPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort: number;
  mac: MacAddress;
  readonly sender: TcpSender;
  receiver: TcpReceiver;
  /** Set by whoever answers the SYN; before, segments have nowhere to go. */
  user: TcpUser | undefined;
  /** An acknowledgement is owed at the end of the batch. */
  owesAck = false;

  private readonly v4: boolean;
  private readonly timer: Timer;
  private readonly life: Lifetime;
  private initial: number;
  private offeredScale: number | undefined;
  /** The other side had ended before the handshake was complete. */
  private endsEarly = false;

  constructor(
    private readonly stack: TcpStack,
    ends: TcpEnds,
  ) {
    this.guestAddress = ends.guestAddress;
    this.guestPort = ends.guestPort;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.mac = ends.mac;
    this.v4 = ends.guestAddress.isIpv4;
    this.timer = new Timer(() => this.onTimer());
    this.life = new Lifetime(stack.timers, this);
    this.initial = stack.initialSequence();
    const queue = new SendQueue(stack.pool);
    this.sender = new TcpSender(queue, this, stack.timers, this.timer, this.initial);
    this.sender.mss = stack.writer.mss(this.v4);
    this.receiver = new TcpReceiver(0, NO_SINK);
  }

  // The route to the guest, for the segment writer.
  get source(): IpAddress {
    return this.remoteAddress;
  }
  get destination(): IpAddress {
    return this.guestAddress;
  }
  get sourcePort(): number {
    return this.remotePort;
  }
  get destinationPort(): number {
    return this.guestPort;
  }

  get blocked(): boolean {
    return !this.stack.writer.hasRoom;
  }
  get largestPayload(): number {
    return this.stack.writer.largest(this.v4, this.sender.mss);
  }

  /** A SYN has come: remembers what it says until {@link accept} or {@link refuse}. */
  begin(syn: Segment): void {
    this.initial = syn.seq;
    this.noteOptions(syn);
    this.sender.setWindow(syn.window, syn.seq, 0);
  }

  /** Sequence number of the guest's SYN, which ICMP errors quote. */
  get guestInitial(): number {
    return this.initial;
  }

  /** The other side is there: the SYN is answered. */
  accept(user: TcpUser): void {
    this.user = user;
    this.stack.notPending(this);
    this.receiver = new TcpReceiver(seqAdd(this.initial, 1), user);
    if (this.offeredScale !== undefined) this.receiver.scale = WINDOW_SCALE;
    this.state = TcpState.SynReceived;
    this.sender.synSent();
    this.sendSyn();
    this.life.begin(LifeStage.Handshake);
  }

  /** The other side is not there. `reset`: the guest is told by a RST. */
  refuse(reset: boolean): void {
    if (this.state !== TcpState.Pending) return;
    if (reset) {
      const ack = seqAdd(this.initial, 1);
      this.stack.writer.control(this, TcpFlag.Rst | TcpFlag.Ack, 0, ack, 0);
    }
    this.remove();
  }

  /** Opens a connection to the guest. */
  connect(user: TcpUser): void {
    this.user = user;
    this.receiver = new TcpReceiver(0, user);
    this.state = TcpState.SynSent;
    this.sender.synSent();
    this.sendSyn();
    this.life.begin(LifeStage.Handshake);
  }

  /** Nothing more will be put into the sender's queue. */
  end(): void {
    if (this.state === TcpState.SynReceived || this.state === TcpState.SynSent) {
      this.endsEarly = true;
      return;
    }
    if (this.state === TcpState.Established) {
      this.state = TcpState.FinWait1;
    } else if (this.state === TcpState.CloseWait) {
      this.state = TcpState.LastAck;
    } else {
      return;
    }
    this.sender.end();
  }

  /** Ends the connection at once; the guest is told by a RST. */
  abort(): void {
    if (this.state === TcpState.Closed) return;
    if (this.state === TcpState.Pending) {
      this.refuse(true);
      return;
    }
    if (this.state !== TcpState.SynSent && this.state !== TcpState.TimeWait) {
      this.stack.writer.control(
        this,
        TcpFlag.Rst | TcpFlag.Ack,
        this.sender.nxt,
        this.receiver.nxt,
        0,
      );
    }
    this.user = undefined;
    this.remove();
  }

  /** The guest has room again, or the other side has put bytes into the queue. */
  resume(): void {
    if (this.synchronized) this.sender.output();
    if (this.owesAck) this.sendAck();
  }

  /** The other side has taken bytes: says so when the guest waits for that. */
  windowOpened(): void {
    if (this.synchronized && this.receiver.hasNews(this.sender.mss)) this.sendAck();
  }

  /** A segment of this connection. */
  input(segment: Segment): void {
    this.life.hear();
    switch (this.state) {
      case TcpState.Pending:
        this.inputPending(segment);
        return;
      case TcpState.SynSent:
        this.inputSynSent(segment);
        return;
      case TcpState.Closed:
        return;
      default:
        this.inputSynchronized(segment);
    }
  }

  emit(flags: number, seq: number, bytes: Uint8Array, start: number, length: number): boolean {
    const window = this.receiver.advertise(this.sender.mss);
    const { nxt } = this.receiver;
    const { mss } = this.sender;
    const { writer } = this.stack;
    if (writer.trySend(this, flags, seq, nxt, window, bytes, start, length, mss)) {
      this.owesAck = false;
      return true;
    }
    this.stack.waitForRoom(this);
    return false;
  }

  onTimeout(): void {
    this.fail('timeout');
  }

  onAcknowledged(): void {
    this.user?.onAcknowledged();
  }

  /** Acknowledges now, or as soon as the guest has room. */
  sendAck(): void {
    this.owesAck = true;
    this.emit(TcpFlag.Ack, this.sender.nxt, NO_PAYLOAD, 0, 0);
  }

  /** Makes room for another connection. */
  evict(): void {
    this.fail('evicted');
  }

  private get synchronized(): boolean {
    return this.state >= TcpState.Established && this.state !== TcpState.Closed;
  }

  private inputPending(segment: Segment): void {
    // Only a RST for the SYN means something while there is no answer (3.10.7.4 by RFC 5961).
    if (segment.has(TcpFlag.Rst) && segment.seq === seqAdd(this.initial, 1)) this.fail('reset');
  }

  private inputSynSent(segment: Segment): void {
    const hasAck = segment.has(TcpFlag.Ack);
    const acceptable = hasAck && segment.ack === this.sender.nxt;
    if (hasAck && !acceptable) {
      if (!segment.has(TcpFlag.Rst)) this.stack.reset(segment);
      return;
    }
    if (segment.has(TcpFlag.Rst)) {
      if (acceptable) this.fail('reset');
      return;
    }
    if (!segment.has(TcpFlag.Syn)) return;
    this.initial = segment.seq;
    this.receiver.nxt = seqAdd(segment.seq, 1);
    this.noteOptions(segment);
    if (this.offeredScale !== undefined) this.receiver.scale = WINDOW_SCALE;
    this.receiver.advertiseUnscaled();
    this.sender.setWindow(segment.window, segment.seq, segment.ack);
    if (acceptable) {
      this.established();
      this.sendAck();
      this.sender.output();
    } else {
      // Both have opened at the same time (3.5, figure 7).
      this.state = TcpState.SynReceived;
      this.sendSyn();
    }
  }

  private inputSynchronized(segment: Segment): void {
    const { receiver, sender } = this;
    if (this.state === TcpState.TimeWait && this.reopens(segment)) return;
    if (!receiver.acceptable(segment.seq, segment.span)) {
      if (segment.has(TcpFlag.Rst)) return;
      if (this.state === TcpState.TimeWait) this.life.begin(LifeStage.TimeWait);
      if (segment.has(TcpFlag.Syn) && this.state === TcpState.SynReceived) this.sendSyn();
      else this.challenge();
      return;
    }
    if (segment.has(TcpFlag.Rst)) {
      // RFC 5961, 3.2: the exact number, or a challenge.
      if (segment.seq === receiver.nxt) this.fail('reset');
      else this.challenge();
      return;
    }
    if (segment.has(TcpFlag.Syn)) {
      this.challenge();
      return;
    }
    if (!segment.has(TcpFlag.Ack)) return;
    if (this.state === TcpState.SynReceived) {
      if (segment.ack !== sender.nxt) {
        this.stack.reset(segment);
        return;
      }
      this.established();
    }
    // RFC 5961, 5.2: acknowledgements of what was never sent, or too old, are forged.
    const ahead = seqDiff(segment.ack, sender.max);
    if (ahead > 0 || seqDiff(segment.ack, sender.una) < -Math.max(sender.maxWindow, 0xffff)) {
      this.challenge();
      return;
    }
    const pure = segment.span === 0;
    sender.acknowledge(segment.ack, segment.seq, segment.window << sender.scale, pure);
    if (!this.afterAck()) return;
    if (!pure) this.inputText(segment);
  }

  /** Changes of state that an acknowledged FIN brings. False when the connection is gone. */
  private afterAck(): boolean {
    if (this.isClosed) return false;
    if (!this.sender.finished) return true;
    if (this.state === TcpState.FinWait1) this.state = TcpState.FinWait2;
    else if (this.state === TcpState.Closing) this.timeWait();
    else if (this.state === TcpState.LastAck) {
      this.remove();
      return false;
    }
    return true;
  }

  private inputText(segment: Segment): void {
    const { receiver } = this;
    if (receiver.ended) {
      // The guest has not seen the acknowledgement of its FIN.
      if (this.state === TcpState.TimeWait) this.life.begin(LifeStage.TimeWait);
      this.sendAck();
      return;
    }
    const inOrder = receiver.take(segment);
    this.stack.needsFlush(this);
    if (this.receiver.ended) this.guestEnded();
    if (this.isClosed) return;
    if (inOrder) this.owesAck = true;
    else this.sendAck();
  }

  private get isClosed(): boolean {
    return this.state === TcpState.Closed;
  }

  private guestEnded(): void {
    this.user?.onEnd();
    if (this.state === TcpState.Established) this.state = TcpState.CloseWait;
    else if (this.state === TcpState.FinWait1) this.state = TcpState.Closing;
    else if (this.state === TcpState.FinWait2) this.timeWait();
  }

  private timeWait(): void {
    this.state = TcpState.TimeWait;
    this.sender.close();
    this.life.begin(LifeStage.TimeWait);
    this.stack.restsNow(this);
    const { user } = this;
    this.user = undefined;
    user?.onFlush();
    user?.onClosed();
  }

  /** A new connection over the ends of one that rests (3.6.1). */
  private reopens(segment: Segment): boolean {
    const isNew =
      segment.has(TcpFlag.Syn) && !segment.has(TcpFlag.Ack) && !segment.has(TcpFlag.Rst);
    if (!isNew || seqDiff(segment.seq, this.receiver.nxt) <= 0) return false;
    this.remove();
    this.stack.input(segment);
    return true;
  }

  private established(): void {
    this.state = TcpState.Established;
    this.sender.synAcknowledged();
    this.life.begin(LifeStage.Established);
    this.user?.onConnected();
    if (this.endsEarly) this.end();
  }

  private noteOptions(syn: Segment): void {
    this.sender.mss = Math.min(syn.mss, this.stack.writer.mss(this.v4));
    this.offeredScale = syn.scale;
    this.sender.scale = syn.scale ?? 0;
  }

  private sendSyn(): void {
    const { sender, receiver, state } = this;
    const answers = state === TcpState.SynReceived;
    // Offered in a first SYN, repeated in an answer only if the guest has offered it.
    const scale = answers && this.offeredScale === undefined ? undefined : WINDOW_SCALE;
    const flags = answers ? TcpFlag.Syn | TcpFlag.Ack : TcpFlag.Syn;
    this.stack.writer.control(this, flags, sender.una, receiver.nxt, receiver.advertiseUnscaled(), {
      mss: this.stack.writer.mss(this.v4),
      scale,
    });
  }

  private challenge(): void {
    if (this.stack.mayChallenge()) this.sendAck();
  }

  private onTimer(): void {
    const { state, sender } = this;
    if (state !== TcpState.SynSent && state !== TcpState.SynReceived) {
      sender.expired();
      return;
    }
    sender.rtt.expired();
    this.stack.timers.set(this.timer, sender.rtt.rto);
    this.sendSyn();
  }

  probe(): void {
    this.sender.probe();
  }

  onSilence(): void {
    this.fail('timeout');
  }

  onRested(): void {
    this.remove();
  }

  /** The connection is broken: the other side hears of it, and the guest unless it has done it. */
  private fail(failure: TcpFailure): void {
    const { user } = this;
    this.user = undefined;
    if (failure !== 'reset' && this.synchronized) this.abort();
    else this.remove();
    if (user === undefined) this.stack.abandoned(this);
    else user.onClosed(failure);
  }

  private remove(): void {
    if (this.state === TcpState.Closed) return;
    const { user } = this;
    this.state = TcpState.Closed;
    this.user = undefined;
    this.sender.close();
    this.receiver.close();
    this.life.end();
    this.stack.forget(this);
    user?.onFlush();
    user?.onClosed();
  }
}

const NO_SINK: ReceiverSink = {
  room: 0,
  reserve: () => undefined,
  commit: () => undefined,
};
