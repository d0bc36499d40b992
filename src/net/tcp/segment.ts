/** TCP headers (RFC 9293, 3.1): parsing those of the guest. */
import { get16, get32 } from '../wire/bytes.js';
import type { Packet } from '../wire/packet.js';

export const TCP_HEADER = 20;
export const TCP_CHECKSUM = 16;

export enum TcpFlag {
  Fin = 1,
  Syn = 2,
  Rst = 4,
  Psh = 8,
  Ack = 16,
}

export enum TcpOption {
  End = 0,
  Nop = 1,
  MaximumSegmentSize = 2,
  WindowScale = 3,
}

/** RFC 7323, 2.3: larger shift counts are used as this one. */
export const LARGEST_SCALE = 14;
/** RFC 9293, 3.7.1: what a peer takes that does not say. */
export const DEFAULT_MSS = 536;
/** A smaller one would only make work: what Linux refuses to go below. */
const SMALLEST_MSS = 88;

/** A segment from the guest; one object, used for every segment. */
export class Segment {
  seq = 0;
  ack = 0;
  flags = 0;
  /** As it is in the header, not scaled. */
  window = 0;
  headerLength = 0;
  /** Bytes of payload. */
  length = 0;
  /** From the options of a SYN; {@link DEFAULT_MSS} without. */
  mss = DEFAULT_MSS;
  /** Shift count from the options of a SYN; undefined without. */
  scale: number | undefined;

  constructor(readonly packet: Packet) {}

  /** Reads the header of the packet. False when it is cut short or its checksum is wrong. */
  parse(): boolean {
    const { packet } = this;
    if (!packet.has(TCP_HEADER) || !packet.verify(true)) return false;
    const { header, transport: at } = packet;
    this.headerLength = (header[at + 12]! >>> 4) * 4;
    if (this.headerLength < TCP_HEADER || !packet.has(this.headerLength)) return false;
    this.seq = get32(header, at + 4);
    this.ack = get32(header, at + 8);
    this.flags = header[at + 13]!;
    this.window = get16(header, at + 14);
    this.length = packet.transportLength - this.headerLength;
    if ((this.flags & TcpFlag.Syn) !== 0) this.parseOptions(header, at);
    return true;
  }

  has(flag: TcpFlag): boolean {
    return (this.flags & flag) !== 0;
  }

  /** Bytes of sequence space. */
  get span(): number {
    const { flags } = this;
    return this.length + (flags & TcpFlag.Fin ? 1 : 0) + (flags & TcpFlag.Syn ? 1 : 0);
  }

  private parseOptions(header: Uint8Array, start: number): void {
    this.mss = DEFAULT_MSS;
    this.scale = undefined;
    const end = start + this.headerLength;
    let at = start + TCP_HEADER;
    while (at < end) {
      const kind = header[at]!;
      if (kind === TcpOption.End) return;
      if (kind === TcpOption.Nop) {
        at++;
        continue;
      }
      const length = at + 1 < end ? header[at + 1]! : 0;
      if (length < 2 || at + length > end) return;
      if (kind === TcpOption.MaximumSegmentSize && length === 4) {
        this.mss = Math.max(SMALLEST_MSS, get16(header, at + 2));
      } else if (kind === TcpOption.WindowScale && length === 3) {
        this.scale = Math.min(LARGEST_SCALE, header[at + 2]!);
      }
      at += length;
    }
  }
}
