/**
 * A packet from the guest while it is looked at. Its headers are a private copy, read from the frame
 * once; the payload stays where it is until somebody takes it.
 */
import { ArrayFrame, type FrameMeta, type FrameSource } from '../net-backend.js';
import { get16, get32 } from './bytes.js';
import { foldSum, sumBytes } from './checksum.js';
import { MacAddress } from './mac.js';

export const ETHERNET_HEADER = 14;

/** IP protocol numbers. */
export enum Protocol {
  Icmp = 1,
  Tcp = 6,
  Udp = 17,
  Icmpv6 = 58,
}

/** Headers are read as far as this; longer ones are refused. */
const HEADER_BYTES = 256;
const LARGEST = 65536;

/** One object, used for every packet. */
export class Packet {
  /** The first bytes of the frame. */
  readonly header = new Uint8Array(HEADER_BYTES);
  headerLength = 0;
  /** The station that sent it, which a reassembled packet still knows. */
  macHigh = 0;
  macLow = 0;
  version: 4 | 6 = 4;
  readonly source = new Int32Array(4);
  readonly destination = new Int32Array(4);
  protocol = 0;
  ttl = 0;
  /** Offset of the IP header in `header`; invalid in a reassembled packet. */
  network = ETHERNET_HEADER;
  /** Offset of the transport header in `header`. */
  transport = 0;
  /** Bytes of transport header and payload. */
  transportLength = 0;
  /** Where the payload is, and at which offset the transport header lies there. */
  data: FrameSource;
  dataStart = 0;
  /** The transport checksum needs no look. */
  checked = false;

  private readonly own = new ArrayFrame(new Uint8Array(LARGEST));

  constructor() {
    this.data = this.own;
  }

  /** Points at a frame and copies its headers. False for a frame without an Ethernet header. */
  load(frame: FrameSource, meta: Readonly<FrameMeta>): boolean {
    const length = frame.length;
    if (length < ETHERNET_HEADER) return false;
    this.data = frame;
    this.headerLength = Math.min(length, HEADER_BYTES);
    frame.copy(0, this.header, 0, this.headerLength);
    this.macHigh = get16(this.header, 6);
    this.macLow = get32(this.header, 8);
    this.checked = meta.needsCsum;
    return true;
  }

  /** Sets where the transport header is, both in `header` and in the frame. */
  setTransport(offset: number, length: number): void {
    this.transport = offset;
    this.dataStart = offset;
    this.transportLength = length;
  }

  /** Steps over an extension header. */
  advance(length: number): void {
    this.transport += length;
    this.dataStart += length;
    this.transportLength -= length;
  }

  /** Continues with a datagram that came in fragments. */
  setReassembled(bytes: Uint8Array): void {
    this.own.set(bytes, 0, bytes.length);
    this.data = this.own;
    this.dataStart = 0;
    this.transport = 0;
    this.transportLength = bytes.length;
    this.headerLength = Math.min(bytes.length, HEADER_BYTES);
    this.header.set(bytes.subarray(0, this.headerLength));
    this.checked = false;
  }

  /** True when `bytes` of the transport header are in `header`. */
  has(bytes: number): boolean {
    return this.transportLength >= bytes && this.transport + bytes <= this.headerLength;
  }

  /** Copies payload, by its offset from the transport header. */
  copy(from: number, target: Uint8Array, at: number, length: number): void {
    this.data.copy(this.dataStart + from, target, at, length);
  }

  /** A copy of the payload after a transport header of `from` bytes. */
  payload(from: number): Uint8Array {
    const bytes = new Uint8Array(this.transportLength - from);
    this.copy(from, bytes, 0, bytes.length);
    return bytes;
  }

  /**
   * Checks the checksum over pseudo-header, header and payload. What has been checked is a private
   * copy, which later reads come from.
   */
  verify(pseudoHeader: boolean): boolean {
    if (this.checked) return true;
    const length = this.transportLength;
    if (this.data !== this.own) {
      const bytes = this.scratch;
      this.data.copy(this.dataStart, bytes, 0, length);
      // What is decided on the header has to be what was checked.
      const header = Math.min(length, HEADER_BYTES - this.transport);
      this.header.set(bytes.subarray(0, header), this.transport);
      this.own.set(bytes, 0, length);
      this.data = this.own;
      this.dataStart = 0;
    }
    const { bytes } = this.own;
    const sum = sumBytes(bytes, this.dataStart, length, pseudoHeader ? this.pseudoSum() : 0);
    this.checked = foldSum(sum) === 0xffff;
    return this.checked;
  }

  private readonly scratch = this.own.bytes;

  private pseudoSum(): number {
    const { source, destination } = this;
    let sum = this.protocol + this.transportLength;
    for (let i = this.version === 4 ? 3 : 0; i < 4; i++) {
      sum += (source[i]! >>> 16) + (source[i]! & 0xffff);
      sum += (destination[i]! >>> 16) + (destination[i]! & 0xffff);
    }
    return sum;
  }

  get mac(): MacAddress {
    return new MacAddress(this.macHigh, this.macLow);
  }

  /** True when it comes from this station. */
  isFrom({ high, low }: MacAddress): boolean {
    return low === this.macLow && high === this.macHigh;
  }

  get sourcePort(): number {
    return get16(this.header, this.transport);
  }

  get destinationPort(): number {
    return get16(this.header, this.transport + 2);
  }
}
