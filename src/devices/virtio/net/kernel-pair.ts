/**
 * A pair of queues whose network is the host's kernel (a TAP device), in the thread that serves it:
 * when the file is watched, and what happens when it is gone.
 */
import type { NetOffloads } from '../../../net/net-backend.js';
import { BATCH_BUFFERS, type KernelNetwork, type KernelPort } from '../../../net/kernel-network.js';
import type { DeviceContext } from '../device.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { Filled, KernelReceiver } from './kernel-receiver.js';
import { KernelSender } from './kernel-sender.js';
import type { NetLimits } from './net-limits.js';
import type { NetState } from './net-state.js';
import type { QueuePair } from './queue-pair.js';

/** What moving frames needs of the pair and its device. */
export interface KernelPairHost {
  readonly context: DeviceContext;
  readonly counters: Float64Array<SharedArrayBuffer>;
  readonly limits: NetLimits;
  readonly linkUp: boolean;
  readonly guestOffloads: NetOffloads;
  /** Whether the driver's filter lets a frame through whose first bytes are `head`. */
  wants(head: Uint8Array, at: number, bytes: number): boolean;
  /** Writing says that the network is gone. */
  gone(error: number): void;
  readFailed(error: number): void;
  warnDown(): void;
}

/** EBADFD: the queue belongs to no device, any more or for now. */
const NO_DEVICE = -77;

/** One pair. */
export class KernelPair implements QueuePair, KernelPort, KernelPairHost {
  private readonly sender: KernelSender;
  private readonly receiver: KernelReceiver;
  private reading = false;
  private writing = false;
  private held = false;
  private lost = false;
  /** What the network has been told. */
  private toldOffloads: NetOffloads | undefined;
  private toldPairs = 0;
  private readonly fillTurn = (queue: VirtQueue): void => this.fill(queue);

  constructor(
    private readonly state: NetState,
    private readonly network: KernelNetwork,
    private readonly pair: number,
  ) {
    this.sender = new KernelSender(this, network);
    this.receiver = new KernelReceiver(this, network);
    network.attach(this);
  }

  get context(): DeviceContext {
    return this.state.context;
  }

  get counters(): Float64Array<SharedArrayBuffer> {
    return this.state.counters;
  }

  get limits(): NetLimits {
    return this.state.limits;
  }

  get linkUp(): boolean {
    return this.state.linkUp && !this.lost;
  }

  get guestOffloads(): NetOffloads {
    return this.state.guestOffloads;
  }

  wants(head: Uint8Array, at: number, bytes: number): boolean {
    return this.state.wants(head, at, bytes);
  }

  /** A turn of the transmit queue. */
  send(queue: VirtQueue): void {
    const sent = this.sender.send(queue, this.state.txOffloads);
    this.watch(this.reading, !sent && !this.lost);
  }

  /** A turn of the receive queue: because of a kick, or because there are frames. */
  fill(queue: VirtQueue): void {
    if (this.lost) return;
    this.sync();
    const filled = this.receiver.fill(queue);
    this.watch(filled === Filled.Watch, this.writing);
  }

  readable(): void {
    if (this.pair >= this.state.pairsInUse) {
      this.watch(false, this.writing);
      return;
    }
    this.context.runQueue(2 * this.pair, this.fillTurn, BATCH_BUFFERS);
  }

  writable(): void {
    this.watch(this.reading, false);
    this.context.runQueue(2 * this.pair + 1, (queue) => this.send(queue));
  }

  private watch(reading: boolean, writing: boolean): void {
    this.reading = reading;
    this.writing = writing;
    const on = !this.held && !this.lost;
    this.network.watch(on && reading, on && writing);
  }

  /** What concerns the whole network is said by the first pair. */
  sync(): void {
    if (this.pair !== 0 || this.lost) return;
    const { guestOffloads, pairsInUse } = this.state;
    if (guestOffloads !== this.toldOffloads) {
      this.toldOffloads = guestOffloads;
      this.network.setOffloads(guestOffloads);
    }
    if (pairsInUse !== this.toldPairs) {
      this.toldPairs = pairsInUse;
      this.network.usePairs(pairsInUse);
    }
  }

  /** The network is told before the driver's change is seen by other threads. */
  usePairs(pairs: number): void {
    this.toldPairs = pairs;
    this.network.usePairs(pairs);
  }

  readFailed(error: number): void {
    // A pair that has just been taken out of use.
    if (error === NO_DEVICE && this.pair >= this.state.pairsInUse) return;
    if (error === NO_DEVICE) this.gone(error);
    else this.context.log.warn('net-read', `${this.network.name}: reading fails: errno ${-error}`);
  }

  gone(error: number): void {
    if (this.lost || (error === NO_DEVICE && this.pair >= this.state.pairsInUse)) return;
    this.lost = true;
    this.watch(false, false);
    const { name } = this.network;
    this.context.log.warn('net-gone', `${name} is gone: the link of the guest's interface is down`);
    // A turn of a queue is going on, in which the device cannot be locked.
    queueMicrotask(() => this.state.setLink(false));
  }

  warnDown(): void {
    const { name } = this.network;
    this.context.log.warn('net-down', `${name} is down on the host: ip link set ${name} up`);
  }

  hold(): void {
    this.held = true;
    this.watch(this.reading, this.writing);
  }

  release(): void {
    this.held = false;
    this.watch(this.reading, this.writing);
  }
}
