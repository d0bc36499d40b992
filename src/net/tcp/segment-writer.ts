/** Writes TCP segments to the guest. */
import type { IpOutput, Route } from '../ip-output.js';
import { put16, put32 } from '../wire/bytes.js';
import { Protocol } from '../wire/packet.js';
import { TCP_CHECKSUM, TCP_HEADER, TcpFlag, TcpOption } from './segment.js';

const LARGEST_PACKET = 65535;
const SYN_OPTIONS = 8;
const NOTHING = new Uint8Array(0);

/** Addresses and ports of a segment. */
export interface SegmentRoute extends Route {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Fields that the SYN of a connection carries. */
export interface SynOptions {
  readonly mss: number;
  /** Undefined: no window scaling. */
  readonly scale: number | undefined;
}

export class SegmentWriter {
  constructor(private readonly ip: IpOutput) {}

  get hasRoom(): boolean {
    return this.ip.link.hasRoom;
  }

  /** Payload of one segment on a link of this MTU. */
  mss(v4: boolean): number {
    return this.ip.mtu - (v4 ? 20 : 40) - TCP_HEADER;
  }

  /** The most payload for one frame: a whole number of segments where the guest takes those. */
  largest(v4: boolean, mss: number): number {
    const { csum, tso4, tso6 } = this.ip.link.offloads;
    if (!csum || !(v4 ? tso4 : tso6)) return mss;
    return Math.max(1, Math.floor((LARGEST_PACKET - 40 - TCP_HEADER) / mss)) * mss;
  }

  /** A segment with payload, or an ACK; false when the guest has no room. */
  trySend(
    route: SegmentRoute,
    flags: number,
    seq: number,
    ack: number,
    window: number,
    payload: Uint8Array = NOTHING,
    start = 0,
    length = 0,
    mss = 0,
  ): boolean {
    this.write(route, flags, seq, ack, window, TCP_HEADER, payload, start, length);
    if (length > mss) this.ip.segment(mss);
    return this.ip.link.trySend();
  }

  /** A segment without payload that waits for room in the link's queue. */
  control(
    route: SegmentRoute,
    flags: number,
    seq: number,
    ack: number,
    window: number,
    options?: SynOptions,
  ): void {
    const headerLength = TCP_HEADER + (options === undefined ? 0 : SYN_OPTIONS);
    this.write(route, flags, seq, ack, window, headerLength, NOTHING, 0, 0, options);
    this.ip.link.send();
  }

  private write(
    route: SegmentRoute,
    flags: number,
    seq: number,
    ack: number,
    window: number,
    headerLength: number,
    payload: Uint8Array,
    start: number,
    length: number,
    options?: SynOptions,
  ): void {
    const at = this.ip.begin(route, Protocol.Tcp, headerLength + length);
    const { header } = this.ip;
    put16(header, at, route.sourcePort);
    put16(header, at + 2, route.destinationPort);
    put32(header, at + 4, seq);
    put32(header, at + 8, (flags & TcpFlag.Ack) !== 0 ? ack : 0);
    header[at + 12] = (headerLength / 4) << 4;
    header[at + 13] = flags;
    put16(header, at + 14, window);
    put16(header, at + 18, 0);
    if (options !== undefined) {
      put32(header, at + 20, (TcpOption.MaximumSegmentSize << 24) | (4 << 16) | options.mss);
      const { scale } = options;
      // Padded with no-operations, so that the header ends on a word.
      const word =
        scale === undefined
          ? 0x0101_0101
          : (TcpOption.Nop << 24) | (TcpOption.WindowScale << 16) | (3 << 8) | scale;
      put32(header, at + 24, word);
    }
    this.ip.finish(headerLength, TCP_CHECKSUM, payload, start, length);
  }
}
