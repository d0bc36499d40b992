/**
 * The way to the guest. What cannot be sent again (datagrams, answers) waits in a bounded queue while
 * the guest has no buffers; TCP keeps its own data and is told when to go on.
 */
import {
  plainMeta,
  NO_OFFLOADS,
  type FrameMeta,
  type GuestFrame,
  type GuestPort,
  type NetOffloads,
} from './net-backend.js';

/** Longest headers: Ethernet with a tag, IPv6 with extensions, TCP with options. */
const HEADER_BYTES = 14 + 40 + 60 + 86;
const MOST_FRAMES = 256;
const MOST_BYTES = 1 << 20;
const NOTHING = new Uint8Array(0);

/** Sees the frames of both directions. */
export interface FrameTap {
  toGuest(frame: GuestFrame): void;
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly meta: FrameMeta;
}

/** The frame that is being made; one object for all. */
export class OutgoingFrame implements GuestFrame {
  readonly header = new Uint8Array(HEADER_BYTES);
  headerLength = 0;
  payload: Uint8Array = NOTHING;
  payloadStart = 0;
  payloadLength = 0;
  meta: FrameMeta = plainMeta();

  setPayload(bytes: Uint8Array, start: number, length: number): void {
    this.payload = bytes;
    this.payloadStart = start;
    this.payloadLength = length;
  }
}

export class Link {
  readonly frame = new OutgoingFrame();
  tap: FrameTap | undefined;
  /** Frames that had no place to wait in. */
  dropped = 0;

  private port: GuestPort | undefined;
  private readonly waiting: Waiting[] = [];
  private waitingBytes = 0;
  private full = false;

  /** @param onRoom is called when frames can be sent again */
  constructor(private readonly onRoom: () => void) {}

  get offloads(): NetOffloads {
    return this.port?.offloads ?? NO_OFFLOADS;
  }

  /** False while the guest has no buffers. */
  get hasRoom(): boolean {
    return !this.full;
  }

  attach(port: GuestPort | undefined): void {
    this.port = port;
    this.waiting.length = 0;
    this.waitingBytes = 0;
    this.full = false;
    if (port !== undefined) this.onRoom();
  }

  /** Sends {@link frame} now; false when the guest has no buffer for it. */
  trySend(): boolean {
    if (this.port === undefined || this.full) return false;
    if (!this.port.receive(this.frame)) {
      this.full = true;
      return false;
    }
    this.tap?.toGuest(this.frame);
    return true;
  }

  /** Sends {@link frame} now or when there is room, or drops it. */
  send(): void {
    if (this.port === undefined || this.trySend()) return;
    const { header, headerLength, payload, payloadStart, payloadLength, meta } = this.frame;
    const length = headerLength + payloadLength;
    if (this.waiting.length >= MOST_FRAMES || this.waitingBytes + length > MOST_BYTES) {
      this.dropped++;
      return;
    }
    const bytes = new Uint8Array(length);
    bytes.set(header.subarray(0, headerLength));
    bytes.set(payload.subarray(payloadStart, payloadStart + payloadLength), headerLength);
    this.waiting.push({ bytes, meta: { ...meta } });
    this.waitingBytes += length;
  }

  /** The guest has buffers: what waits goes first, then whoever makes new frames. */
  roomAgain(): void {
    if (!this.full) return;
    this.full = false;
    const { frame } = this;
    let sent = 0;
    for (const { bytes, meta } of this.waiting) {
      frame.headerLength = 0;
      frame.setPayload(bytes, 0, bytes.length);
      Object.assign(frame.meta, meta);
      if (!this.trySend()) break;
      this.waitingBytes -= bytes.length;
      sent++;
    }
    this.waiting.splice(0, sent);
    if (this.hasRoom) this.onRoom();
  }
}
