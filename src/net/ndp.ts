/**
 * Neighbour discovery (RFC 4861) as a router: answers solicitations for its own addresses, advertises
 * the prefix for autoconfiguration (RFC 4862) and itself as DNS server (RFC 8106).
 */
import type { NetworkAddresses } from './addresses.js';
import { checksumDatagram, type IpOutput, type Route } from './ip-output.js';
import type { Neighbors } from './neighbors.js';
import { Timer, type TimerQueue } from './timers.js';
import { IpAddress, readIpv6 } from './wire/address.js';
import { put16, put32 } from './wire/bytes.js';
import { isStation, MacAddress } from './wire/mac.js';
import { Protocol, type Packet } from './wire/packet.js';

enum Type {
  RouterSolicitation = 133,
  RouterAdvertisement = 134,
  NeighborSolicitation = 135,
  NeighborAdvertisement = 136,
}

enum Option {
  SourceLinkLayer = 1,
  TargetLinkLayer = 2,
  Prefix = 3,
  Mtu = 5,
  RecursiveDns = 25,
}

/** Packets from beyond the link arrive with less (6.1.1, 7.1.1). */
const HOP_LIMIT = 255;
const SOLICITED = 0x4000_0000;
const OVERRIDE = 0x2000_0000;
const ROUTER = 0x8000_0000;
const ON_LINK_AUTONOMOUS = 0xc0;

const ROUTER_LIFETIME_S = 1800;
const VALID_S = 86_400;
const PREFERRED_S = 14_400;
/** Often enough that nothing runs out (6.2.1: MaxRtrAdvInterval). */
const INTERVAL_MS = 600_000;

const ALL_NODES = IpAddress.of('ff02::1');
const ALL_NODES_MAC = new MacAddress(0x3333, 1);

export class Ndp {
  private readonly timer = new Timer(() => this.advertiseToAll());

  constructor(
    private readonly ip: IpOutput,
    private readonly addresses: NetworkAddresses,
    private readonly neighbors: Neighbors,
    private readonly timers: TimerQueue,
    /** Seconds that the guest may use us as router and DNS server; 0 for prefixes only. */
    private readonly routerLifetime = ROUTER_LIFETIME_S,
  ) {}

  /** True for an ICMPv6 message of neighbour discovery, which has been dealt with. */
  input(packet: Packet): boolean {
    const { header, transport } = packet;
    const type = header[transport]!;
    if (type < Type.RouterSolicitation || type > 137) return false;
    if (packet.ttl !== HOP_LIMIT || header[transport + 1] !== 0) return true;
    const source = IpAddress.from(packet.source);
    if (type === Type.RouterSolicitation && packet.has(8)) {
      this.onRouterSolicitation(packet, source);
    } else if (type === Type.NeighborSolicitation && packet.has(24)) {
      this.onNeighborSolicitation(packet, source);
    } else if (type === Type.NeighborAdvertisement && packet.has(24)) {
      const target = readTarget(packet);
      if (this.addresses.isGuest(target)) this.neighbors.learn(target, packet.mac);
    }
    return true;
  }

  /** Sends a router advertisement to everybody, now and from time to time. */
  advertiseToAll(): void {
    this.advertise(ALL_NODES_MAC, ALL_NODES);
    this.timers.set(this.timer, INTERVAL_MS);
  }

  private onRouterSolicitation(packet: Packet, source: IpAddress): void {
    if (this.addresses.isGuest(source)) {
      this.neighbors.learn(source, packet.mac);
      this.advertise(packet.mac, source);
    } else {
      this.advertise(ALL_NODES_MAC, ALL_NODES);
    }
    if (!this.timer.isSet) this.timers.set(this.timer, INTERVAL_MS);
  }

  private onNeighborSolicitation(packet: Packet, source: IpAddress): void {
    const target = readTarget(packet);
    // From the unspecified address: the guest looks whether its own address is free (RFC 4862, 5.4).
    const unspecified = source.w0 === 0 && source.w1 === 0 && source.w2 === 0 && source.w3 === 0;
    if (!unspecified && !this.addresses.isGuest(source)) return;
    if (!unspecified) this.neighbors.learn(source, linkLayer(packet) ?? packet.mac);
    if (!this.addresses.isGateway(target)) return;
    const bytes = new Uint8Array(32);
    bytes[0] = Type.NeighborAdvertisement;
    put32(bytes, 4, ROUTER | OVERRIDE | (unspecified ? 0 : SOLICITED));
    target.write(bytes, 8);
    this.linkLayerOption(bytes, 24, Option.TargetLinkLayer);
    const destination = unspecified ? ALL_NODES : source;
    this.send({ mac: packet.mac, source: target, destination }, bytes);
  }

  private advertise(mac: MacAddress, destination: IpAddress): void {
    const bytes = new Uint8Array(16 + 8 + 8 + 32 + 24);
    bytes[0] = Type.RouterAdvertisement;
    bytes[4] = 64;
    put16(bytes, 6, this.routerLifetime);
    this.linkLayerOption(bytes, 16, Option.SourceLinkLayer);
    bytes[24] = Option.Mtu;
    bytes[25] = 1;
    put32(bytes, 28, this.ip.mtu);
    bytes[32] = Option.Prefix;
    bytes[33] = 4;
    bytes[34] = 64;
    bytes[35] = ON_LINK_AUTONOMOUS;
    put32(bytes, 36, VALID_S);
    put32(bytes, 40, PREFERRED_S);
    this.addresses.v6.range.base.write(bytes, 48);
    bytes[64] = Option.RecursiveDns;
    bytes[65] = 3;
    put32(bytes, 68, this.routerLifetime);
    this.addresses.v6.gateway.write(bytes, 72);
    this.send({ mac, source: this.addresses.linkLocal, destination }, bytes);
  }

  private linkLayerOption(bytes: Uint8Array, at: number, kind: Option): void {
    bytes[at] = kind;
    bytes[at + 1] = 1;
    this.addresses.mac.write(bytes, at + 2);
  }

  private send(route: Route, bytes: Uint8Array): void {
    checksumDatagram(route, Protocol.Icmpv6, bytes, 2);
    this.ip.datagram(route, Protocol.Icmpv6, bytes, HOP_LIMIT);
  }
}

function readTarget(packet: Packet): IpAddress {
  const words = new Int32Array(4);
  readIpv6(packet.header, packet.transport + 8, words);
  return IpAddress.from(words);
}

/** The source link-layer address option, when it is the first. */
function linkLayer(packet: Packet): MacAddress | undefined {
  const at = packet.transport + 24;
  const { header } = packet;
  if (!packet.has(32) || header[at] !== Option.SourceLinkLayer || header[at + 1] !== 1)
    return undefined;
  return isStation(header, at + 2) ? MacAddress.read(header, at + 2) : undefined;
}
