/**
 * Frames from other members to the guest. While the guest has no buffers they wait in the sockets;
 * when it takes none for too long, as before its driver has started, they are dropped, as a card does.
 */
import { constants } from 'node:os';
import { native } from '../../kvm/native.js';
import { FrameFinisher } from '../finish-frame.js';
import { OutgoingFrame } from '../link.js';
import { NO_OFFLOADS, plainMeta, type GuestPort, type NetOffloads } from '../net-backend.js';
import { LONGEST_FRAME, readVnetHeader, VNET_HEADER_BYTES } from '../vnet-header.js';
import type { Incoming } from './incoming.js';

const { EAGAIN } = constants.errno;
const SLOTS = 32;
const SLOT_BYTES = (VNET_HEADER_BYTES + LONGEST_FRAME + 63) & ~63;

/** Who decides about frames, and hears of the receiver. */
export interface ReceiverOwner {
  readonly mtu: number;
  /** How long frames wait for a guest that takes none. */
  readonly stallMs: number;
  /** Looks at a frame's addresses; false drops it. */
  accepts(bytes: Uint8Array, at: number, host: number): boolean;
  /** Packets are to wait in their sockets, or not. */
  hold(held: boolean): void;
}

export class Receiver {
  /** Frames that nobody could make sense of. */
  invalid = 0;
  /** Frames that the guest had no buffers for. */
  dropped = 0;

  private port: GuestPort | undefined;
  private readonly slots = new Uint8Array(SLOTS * SLOT_BYTES);
  private readonly lengths = new Uint32Array(SLOTS);
  private readonly lengthBytes = new Uint8Array(this.lengths.buffer);
  private readonly finisher = new FrameFinisher();
  private readonly frame = new OutgoingFrame();
  private readonly meta = plainMeta();
  private count = 0;
  private at = 0;
  private host = 0;
  /** The frame at `at` is in the finisher. */
  private begun = false;
  private held = false;
  /** The guest takes nothing: frames are not waited with. */
  private draining = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly owner: ReceiverOwner) {}

  attach(port: GuestPort): void {
    this.port = port;
  }

  /** Receives from a connection. */
  receive(incoming: Incoming): void {
    if (this.held) return;
    const count = native().packetReceive(incoming.fd, this.slots, SLOT_BYTES, this.lengthBytes);
    if (count === -EAGAIN) return;
    const lengths = count > 0 ? this.lengths.subarray(0, count) : new Uint32Array(0);
    const end = lengths.findIndex((length) => length === 0);
    this.count = end < 0 ? lengths.length : end;
    this.at = 0;
    this.host = incoming.host;
    this.deliver();
    if (count < 0 || end >= 0) incoming.end();
  }

  /** The guest has buffers again. */
  onRoom(): void {
    if (this.held) this.deliver();
  }

  close(): void {
    clearTimeout(this.timer);
    this.port = undefined;
    this.count = 0;
  }

  /** Delivers what has been received, and holds the senders back when it has to wait. */
  private deliver(): void {
    const { port } = this;
    const before = this.at;
    let offloads: NetOffloads | undefined;
    while (this.at < this.count) {
      if (!this.begun) {
        offloads ??= port?.offloads ?? NO_OFFLOADS;
        if (!this.begin(offloads)) {
          this.at++;
          continue;
        }
      }
      if (!this.passOn(port) && !this.draining) {
        this.wait(this.at > before);
        return;
      }
      this.begun = false;
      this.at++;
    }
    if (!this.held) return;
    this.held = false;
    clearTimeout(this.timer);
    this.owner.hold(false);
  }

  /** Hands the pieces of the current frame over; false when the guest has no buffer for one. */
  private passOn(port: GuestPort | undefined): boolean {
    while (this.finisher.current(this.frame)) {
      if (port?.receive(this.frame) !== true) {
        if (this.draining) this.dropped++;
        return false;
      }
      this.draining = false;
      this.finisher.advance();
    }
    return true;
  }

  private begin(offloads: NetOffloads): boolean {
    const { slots, at, meta, owner } = this;
    const start = at * SLOT_BYTES;
    const length = this.lengths[at]! - VNET_HEADER_BYTES;
    const frame = start + VNET_HEADER_BYTES;
    // A packet that is longer than its slot has been cut.
    const whole = length + VNET_HEADER_BYTES <= SLOT_BYTES;
    if (!whole || !readVnetHeader(slots, start, length, owner.mtu, meta)) {
      this.invalid++;
      return false;
    }
    if (!owner.accepts(slots, frame, this.host)) return false;
    this.begun = this.finisher.begin(slots, frame, length, meta, offloads);
    if (!this.begun) this.invalid++;
    return this.begun;
  }

  private wait(progress: boolean): void {
    if (!this.held) this.owner.hold(true);
    if (this.held && !progress) return;
    this.held = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.draining = true;
      this.deliver();
    }, this.owner.stallMs);
    this.timer.unref();
  }
}
