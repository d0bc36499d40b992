/**
 * What a network card does for a driver that negotiates less than the sender of a frame did: computes
 * the checksum that was left out, and cuts long frames into TCP segments (as Linux's skb_checksum_help
 * and skb_gso_segment do).
 */
import type { OutgoingFrame } from './link.js';
import { GsoType, plainMeta, type FrameMeta, type NetOffloads } from './net-backend.js';
import { get16, get32, put16, put32 } from './wire/bytes.js';
import { finishSum, foldSum, sumBytes } from './wire/checksum.js';
import { ETHERNET_HEADER, Protocol } from './wire/packet.js';

const VLAN_TPID = 0x8100;
const VLAN_TAG = 4;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
const TCP_SHORTEST = 20;
/** Headers of one frame: Ethernet, IPv6 with extensions, TCP with options. */
const LONGEST_HEADERS = 200;
/** Linux sends none shorter (TCP_MIN_SND_MSS); one frame could stand for too many otherwise. */
const SHORTEST_SEGMENT = 48;
/** FIN and PSH belong to the last segment, CWR to the first (RFC 3168, 6.1.2). */
const LAST_ONLY = 0x09;
const FIRST_ONLY = 0x80;

/** Computes the checksum that `meta` describes; `bytes` is changed. */
function completeChecksum(
  bytes: Uint8Array,
  start: number,
  length: number,
  { csumStart, csumOffset }: Readonly<FrameMeta>,
): void {
  // The field has the sum of the pseudo-header.
  const value = finishSum(sumBytes(bytes, start + csumStart, length - csumStart));
  // A UDP checksum of 0 would mean that there is none (RFC 768).
  put16(bytes, start + csumStart + csumOffset, value || (csumOffset === UDP_CHECKSUM ? 0xffff : 0));
}

/** Makes of one frame after the other what a driver takes. */
export class FrameFinisher {
  private bytes: Uint8Array = new Uint8Array(0);
  private start = 0;
  private length = 0;
  private meta: FrameMeta = plainMeta();
  private partial = false;
  /** The frame is passed on whole. */
  private whole = true;
  private done = true;
  private network = 0;
  private transport = 0;
  private headers = 0;
  private v4 = true;
  /** Payload bytes that have been passed on. */
  private sent = 0;

  /**
   * Begins with a frame, whose bytes may be changed.
   * @param meta as `readVnetHeader` accepts it
   * @returns false for a frame that cannot be made into anything
   */
  begin(
    bytes: Uint8Array,
    start: number,
    length: number,
    meta: Readonly<FrameMeta>,
    offloads: NetOffloads,
  ): boolean {
    this.bytes = bytes;
    this.start = start;
    this.length = length;
    Object.assign(this.meta, meta);
    this.sent = 0;
    this.whole = true;
    this.done = false;
    const { gsoType } = meta;
    const taken = gsoType === GsoType.Tcp4 ? offloads.tso4 : offloads.tso6;
    if (gsoType === GsoType.None || (offloads.csum && taken)) {
      if (meta.needsCsum && !offloads.csum) {
        completeChecksum(bytes, start, length, meta);
        this.meta.needsCsum = false;
      }
      return true;
    }
    this.whole = false;
    this.partial = offloads.csum;
    return this.parse();
  }

  /** Puts the next piece into `frame`; false when there is none. Call {@link advance} when it went. */
  current(frame: OutgoingFrame): boolean {
    if (this.done) return false;
    if (this.whole) {
      frame.headerLength = 0;
      frame.setPayload(this.bytes, this.start, this.length);
      Object.assign(frame.meta, this.meta);
    } else {
      this.segment(frame);
    }
    return true;
  }

  /** The current piece has been taken. */
  advance(): void {
    this.sent += this.meta.gsoSize;
    this.done = this.whole || this.sent >= this.length - this.headers;
  }

  /** Finds the headers; false when they are not what `meta` says. */
  private parse(): boolean {
    const { bytes, start, meta, length } = this;
    if (meta.gsoSize < SHORTEST_SEGMENT || meta.csumOffset !== TCP_CHECKSUM) return false;
    const tagged = get16(bytes, start + 12) === VLAN_TPID;
    this.network = ETHERNET_HEADER + (tagged ? VLAN_TAG : 0);
    this.transport = meta.csumStart;
    this.v4 = meta.gsoType === GsoType.Tcp4;
    const at = start + this.network;
    const least = this.network + (this.v4 ? 20 : 40);
    if (this.transport < least || this.transport + TCP_SHORTEST > length) return false;
    const type = get16(bytes, at - 2);
    if (type !== (this.v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6)) return false;
    if (bytes[at]! >>> 4 !== (this.v4 ? 4 : 6)) return false;
    if (this.v4) {
      const end = this.network + (bytes[at]! & 15) * 4;
      if (end !== this.transport || bytes[at + 9] !== (Protocol.Tcp as number)) return false;
    }
    const tcp = (bytes[start + this.transport + 12]! >>> 4) * 4;
    this.headers = this.transport + tcp;
    return tcp >= TCP_SHORTEST && this.headers < length && this.headers <= LONGEST_HEADERS;
  }

  private segment(frame: OutgoingFrame): void {
    const { bytes, start, meta, network, transport, headers, sent } = this;
    const { header } = frame;
    const rest = this.length - headers - sent;
    const payload = Math.min(meta.gsoSize, rest);
    header.set(bytes.subarray(start, start + headers));
    const packet = headers - network + payload;
    if (this.v4) {
      const number = Math.floor(sent / meta.gsoSize);
      put16(header, network + 2, packet);
      put16(header, network + 4, (get16(header, network + 4) + number) & 0xffff);
      put16(header, network + 10, 0);
      put16(header, network + 10, finishSum(sumBytes(header, network, transport - network)));
    } else {
      put16(header, network + 4, packet - 40);
    }
    put32(header, transport + 4, (get32(header, transport + 4) + sent) | 0);
    if (payload < rest) header[transport + 13]! &= ~LAST_ONLY;
    if (sent > 0) header[transport + 13]! &= ~FIRST_ONLY;
    frame.headerLength = headers;
    frame.setPayload(bytes, start + headers + sent, payload);
    Object.assign(frame.meta, plainMeta());
    this.checksum(frame, payload);
  }

  private checksum(frame: OutgoingFrame, payload: number): void {
    const { bytes, start, network, transport, headers, sent } = this;
    const { header, meta } = frame;
    const [from, size] = this.v4 ? [network + 12, 8] : [network + 8, 32];
    const length = headers - transport + payload;
    const pseudo = sumBytes(header, from, size, Protocol.Tcp + length);
    const field = transport + TCP_CHECKSUM;
    if (this.partial) {
      put16(header, field, foldSum(pseudo));
      meta.needsCsum = true;
      meta.csumStart = transport;
      meta.csumOffset = TCP_CHECKSUM;
      return;
    }
    put16(header, field, 0);
    const sum = sumBytes(header, transport, headers - transport, pseudo);
    put16(header, field, finishSum(sumBytes(bytes, start + headers + sent, payload, sum)));
  }
}
