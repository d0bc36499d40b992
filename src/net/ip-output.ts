/** Writes packets to the guest: Ethernet and IP headers, checksums or what stands for them. */
import type { Link } from './link.js';
import { GsoType } from './net-backend.js';
import type { IpAddress } from './wire/address.js';
import { put16, put32 } from './wire/bytes.js';
import { finishSum, foldSum, sumBytes } from './wire/checksum.js';
import type { MacAddress } from './wire/mac.js';
import { ETHERNET_HEADER, Protocol } from './wire/packet.js';

export enum EtherType {
  Ipv4 = 0x0800,
  Arp = 0x0806,
  Ipv6 = 0x86dd,
}

const NOTHING = new Uint8Array(0);
const TTL = 64;
const DONT_FRAGMENT = 0x4000;
const FRAGMENT_HEADER = 8;

/** Where a packet goes, and whom it comes from. */
export interface Route {
  readonly mac: MacAddress;
  readonly source: IpAddress;
  readonly destination: IpAddress;
}

export class IpOutput {
  /** Headers are written here, at the offsets that `begin` returns. */
  readonly header: Uint8Array;
  private identification = 0;
  private pseudoSum = 0;
  private transport = 0;

  constructor(
    readonly link: Link,
    private readonly gatewayMac: MacAddress,
    readonly mtu: number,
  ) {
    this.header = link.frame.header;
  }

  /** Ethernet header; returns the offset of what follows. */
  ethernet(mac: MacAddress, type: EtherType): number {
    const { header } = this;
    mac.write(header, 0);
    this.gatewayMac.write(header, 6);
    put16(header, 12, type);
    const { meta } = this.link.frame;
    meta.needsCsum = false;
    meta.gsoType = GsoType.None;
    meta.gsoSize = 0;
    return ETHERNET_HEADER;
  }

  /**
   * Headers up to IP for one packet. Returns the offset of the transport header.
   * @param length bytes of transport header and payload
   */
  begin(route: Route, protocol: Protocol, length: number, hopLimit = TTL): number {
    const { source, destination } = route;
    const v4 = source.isIpv4;
    const at = this.ethernet(route.mac, v4 ? EtherType.Ipv4 : EtherType.Ipv6);
    this.pseudoSum = source.sum + destination.sum + protocol + length;
    this.transport = v4
      ? this.ipv4Header(at, source, destination, protocol, length, DONT_FRAGMENT, hopLimit)
      : this.ipv6Header(at, source, destination, protocol, length, hopLimit);
    return this.transport;
  }

  /**
   * Sets payload and checksum of the packet begun, which is then ready to be sent.
   * @param headerLength bytes of the transport header
   * @param csumOffset where its checksum is
   * @param offload whether the guest may finish the checksum
   */
  finish(
    headerLength: number,
    csumOffset: number,
    payload: Uint8Array = NOTHING,
    start = 0,
    length = 0,
    offload = true,
  ): void {
    const { header, transport, link } = this;
    const { frame } = link;
    frame.headerLength = transport + headerLength;
    frame.setPayload(payload, start, length);
    const field = transport + csumOffset;
    if (offload && link.offloads.csum) {
      put16(header, field, foldSum(this.pseudoSum));
      frame.meta.needsCsum = true;
      frame.meta.csumStart = transport;
      frame.meta.csumOffset = csumOffset;
      return;
    }
    put16(header, field, 0);
    const sum = sumBytes(header, transport, headerLength, this.pseudoSum);
    // Never 0, which would mean no checksum in UDP (RFC 768); for TCP it is the same value.
    put16(header, field, finishSum(sumBytes(payload, start, length, sum)) || 0xffff);
  }

  /** Makes the packet begun one that stands for several TCP segments. */
  segment(gsoSize: number): void {
    const { frame } = this.link;
    const { meta } = frame;
    meta.gsoType = this.header[12] === EtherType.Ipv4 >>> 8 ? GsoType.Tcp4 : GsoType.Tcp6;
    meta.gsoSize = gsoSize;
    meta.headerLength = frame.headerLength;
  }

  /**
   * Sends a whole datagram, in fragments when it is longer than the MTU. Only for what has the
   * checksum in it.
   */
  datagram(route: Route, protocol: Protocol, bytes: Uint8Array, hopLimit = TTL): void {
    const v4 = route.source.isIpv4;
    const ipHeader = v4 ? 20 : 40;
    if (ipHeader + bytes.length <= this.mtu) {
      const at = this.begin(route, protocol, bytes.length, hopLimit);
      this.link.frame.headerLength = at;
      this.link.frame.setPayload(bytes, 0, bytes.length);
      this.link.send();
      return;
    }
    this.identification = (this.identification + 1) & 0xffff;
    const extra = v4 ? 0 : FRAGMENT_HEADER;
    const most = (this.mtu - ipHeader - extra) & ~7;
    for (let offset = 0; offset < bytes.length; offset += most) {
      const length = Math.min(most, bytes.length - offset);
      const more = offset + length < bytes.length;
      const at = this.ethernet(route.mac, v4 ? EtherType.Ipv4 : EtherType.Ipv6);
      this.link.frame.headerLength = v4
        ? this.ipv4Fragment(at, route, protocol, length, offset, more)
        : this.ipv6Fragment(at, route, protocol, length, offset, more);
      this.link.frame.setPayload(bytes, offset, length);
      this.link.send();
    }
  }

  private ipv4Fragment(
    at: number,
    { source, destination }: Route,
    protocol: number,
    length: number,
    offset: number,
    more: boolean,
  ): number {
    const field = (more ? 0x2000 : 0) | (offset / 8);
    return this.ipv4Header(at, source, destination, protocol, length, field, TTL);
  }

  private ipv6Fragment(
    at: number,
    { source, destination }: Route,
    protocol: number,
    length: number,
    offset: number,
    more: boolean,
  ): number {
    const { header } = this;
    const next = this.ipv6Header(at, source, destination, 44, length + FRAGMENT_HEADER, TTL);
    header[next] = protocol;
    header[next + 1] = 0;
    put16(header, next + 2, offset | (more ? 1 : 0));
    put32(header, next + 4, this.identification);
    return next + FRAGMENT_HEADER;
  }

  private ipv4Header(
    at: number,
    source: IpAddress,
    destination: IpAddress,
    protocol: number,
    length: number,
    fragment: number,
    ttl: number,
  ): number {
    const { header } = this;
    header[at] = 0x45;
    header[at + 1] = 0;
    put16(header, at + 2, 20 + length);
    put16(header, at + 4, this.identification);
    put16(header, at + 6, fragment);
    header[at + 8] = ttl;
    header[at + 9] = protocol;
    put16(header, at + 10, 0);
    put32(header, at + 12, source.w3);
    put32(header, at + 16, destination.w3);
    put16(header, at + 10, finishSum(sumBytes(header, at, 20)));
    return at + 20;
  }

  private ipv6Header(
    at: number,
    source: IpAddress,
    destination: IpAddress,
    nextHeader: number,
    length: number,
    hopLimit: number,
  ): number {
    const { header } = this;
    put32(header, at, 0x6000_0000);
    put16(header, at + 4, length);
    header[at + 6] = nextHeader;
    header[at + 7] = hopLimit;
    source.write(header, at + 8);
    destination.write(header, at + 24);
    return at + 40;
  }
}

/** Fills in the checksum of a datagram that lies in one array. */
export function checksumDatagram(
  route: Route,
  protocol: Protocol,
  bytes: Uint8Array,
  field: number,
): void {
  put16(bytes, field, 0);
  const pseudo =
    protocol === Protocol.Icmp
      ? 0
      : route.source.sum + route.destination.sum + protocol + bytes.length;
  const value = finishSum(sumBytes(bytes, 0, bytes.length, pseudo));
  // A UDP checksum of 0 would mean that there is none (RFC 768).
  put16(bytes, field, value === 0 && protocol === Protocol.Udp ? 0xffff : value);
}
