/**
 * A pair of queues whose network hands frames over one by one (a {@link NetBackend}), in the thread that
 * serves it. Payloads are copied once, by the backend out of the guest's buffers or by the receiver into
 * them.
 */
import {
  GsoType,
  plainMeta,
  type GuestFrame,
  type GuestPort,
  type NetBackend,
  type NetOffloads,
} from '../../../net/net-backend.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { ChainFrame } from './chain-frame.js';
import { KeptFrames } from './kept-frames.js';
import { readHeader, type TxOffloads } from './net-header.js';
import { Counter, HEADER_BYTES } from './net-layout.js';
import { Direction } from './net-limits.js';
import { Delivery, NetReceiver } from './net-receiver.js';
import type { NetState } from './net-state.js';
import type { QueuePair } from './queue-pair.js';

/** Ethernet header with a tag, before the packet that the MTU counts. */
const LINK_BYTES = 18;

/**
 * Turns of transmit queues in one thread. No other turn can begin in one, so that what backends answer in
 * it comes to the guest after it.
 */
export class TransmitTurns {
  /** A turn goes on. */
  sending = false;
  private readonly answered = new Set<BackendPair>();
  private settling = false;

  /** Gives a pair a turn after the one that goes on: frames were kept for it, or refused. */
  answer(pair: BackendPair): void {
    this.answered.add(pair);
  }

  /** After a turn of any queue. */
  settle(): void {
    if (this.settling || this.answered.size === 0) return;
    this.settling = true;
    try {
      for (const pair of this.answered) pair.settle();
      this.answered.clear();
    } finally {
      this.settling = false;
    }
  }
}

/** One pair. */
export class BackendPair implements QueuePair, GuestPort {
  private readonly chain: DescriptorChain;
  private readonly receiver: NetReceiver;
  private readonly kept = new KeptFrames();
  private readonly frame = new ChainFrame();
  private readonly meta = plainMeta();
  private readonly header = new Uint8Array(HEADER_BYTES);
  private readonly headerView = new DataView(this.header.buffer);
  /** The receive queue while it has its turn. */
  private turn: VirtQueue | undefined;
  /** The backend has been told in a transmit turn that there is no room. */
  private refused = false;
  private held = false;
  private readonly fillTurn = (queue: VirtQueue): void => this.fill(queue);

  constructor(
    private readonly state: NetState,
    private readonly turns: TransmitTurns,
    private readonly backend: NetBackend,
    private readonly pair: number,
  ) {
    const { context } = state;
    this.chain = context.createChain();
    this.receiver = new NetReceiver(context, 0);
    backend.attach(this);
  }

  get offloads(): NetOffloads {
    return this.state.guestOffloads;
  }

  send(queue: VirtQueue): void {
    const { backend, chain, state, turns } = this;
    const { limits, txOffloads } = state;
    turns.sending = true;
    try {
      while (backend.busy !== true && queue.pop(chain)) {
        const { length } = chain.readable;
        const wait = limits.delay(Direction.Tx, length);
        if (wait > 0) {
          queue.unpop(chain);
          state.context.processLater(queue.index, wait);
          break;
        }
        limits.charge(Direction.Tx, length);
        this.sendOne(txOffloads);
        queue.push(chain.token, 0);
      }
      backend.flush();
    } finally {
      turns.sending = false;
    }
  }

  private sendOne(offloads: TxOffloads): void {
    const { backend, chain, header, meta, state } = this;
    const { counters } = state;
    const { readable } = chain;
    const whole = readable.read(header) === HEADER_BYTES;
    const { length } = readable;
    if (!whole || !readHeader(this.headerView, length, offloads, meta) || !state.linkUp) {
      counters[Counter.TxDropped]!++;
      return;
    }
    if (meta.gsoType === GsoType.None && length > backend.mtu + LINK_BYTES) {
      counters[Counter.TxDropped]!++;
      return;
    }
    this.frame.set(readable);
    backend.transmit(this.frame, meta);
    counters[Counter.TxPackets]!++;
    counters[Counter.TxBytes]! += length;
  }

  /** The guest has buffers, or may have: first for what is kept. */
  fill(queue: VirtQueue): void {
    this.turn = queue;
    try {
      const none = this.kept.deliver(queue.epoch, (frame) => this.deliver(frame));
      if (none) this.backend.onRoom();
    } finally {
      this.turn = undefined;
    }
  }

  /** The transmit turn is over in which this pair was answered. */
  settle(): void {
    this.refused = false;
    this.state.context.runQueue(2 * this.pair, this.fillTurn);
  }

  resumeTransmit(): void {
    this.state.context.processLater(2 * this.pair + 1, 0);
  }

  receive(frame: GuestFrame): boolean {
    const { state } = this;
    if (this.held) return false;
    if (!state.linkUp || this.pair >= state.pairsInUse) return this.count(Counter.RxDropped);
    if (!state.wantsFrame(frame)) return this.count(Counter.RxFiltered);
    if (this.turns.sending) return this.keep(frame);
    return !this.kept.any && this.deliver(frame);
  }

  private keep(frame: GuestFrame): boolean {
    this.turns.answer(this);
    if (!this.refused && this.kept.keep(frame)) return true;
    this.refused = true;
    return false;
  }

  private deliver(frame: GuestFrame): boolean {
    const { state, receiver, turn } = this;
    const { context, limits, mergeable } = state;
    const queueIndex = 2 * this.pair;
    const length = frame.headerLength + frame.payloadLength;
    const wait = limits.delay(Direction.Rx, length);
    if (wait > 0) {
      context.processLater(queueIndex, wait);
      return false;
    }
    let result = Delivery.NoRoom;
    if (turn !== undefined) {
      result = receiver.deliver(turn, frame, mergeable);
    } else {
      context.runQueue(queueIndex, (queue) => {
        result = receiver.deliver(queue, frame, mergeable);
      });
    }
    if (result === Delivery.NoRoom) return false;
    limits.charge(Direction.Rx, length);
    if (result === Delivery.Dropped) return this.count(Counter.RxDropped);
    state.counters[Counter.RxPackets]!++;
    state.counters[Counter.RxBytes]! += length;
    return true;
  }

  private count(counter: Counter): true {
    this.state.counters[counter]!++;
    return true;
  }

  hold(): void {
    this.held = true;
  }

  release(): void {
    this.held = false;
  }
}
