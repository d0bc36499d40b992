/**
 * What each member of a LAN does for its own guest, so that nobody has to be there for the others:
 * DHCP with the address that the member has, a name server that knows the members, and a prefix for
 * IPv6. It has one address on all LANs' links, and none of its frames ever leave the process.
 */
import { Arp } from '../arp.js';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpServer } from '../dhcp.js';
import { errorAnswer, parseQuery, ResponseCode } from '../dns/dns-message.js';
import { DNS_PORT } from '../dns/dns-service.js';
import { IcmpAnswers } from '../icmp.js';
import { EtherType, IpOutput } from '../ip-output.js';
import { Link } from '../link.js';
import { Ndp } from '../ndp.js';
import { Neighbors } from '../neighbors.js';
import type { FrameMeta, FrameSource, GuestPort } from '../net-backend.js';
import type { NetworkAddresses } from '../addresses.js';
import { SYSTEM_CLOCK, TimerQueue } from '../timers.js';
import { checkUdp, sendUdp, UDP_HEADER } from '../udp.js';
import { IpAddress, readIpv6 } from '../wire/address.js';
import { get16, get32 } from '../wire/bytes.js';
import { parseIpv4 } from '../wire/ipv4.js';
import { parseIpv6 } from '../wire/ipv6.js';
import { MacAddress } from '../wire/mac.js';
import { ETHERNET_HEADER, Packet, Protocol } from '../wire/packet.js';
import { Reassembler } from '../wire/reassembler.js';
import { lanAddresses } from './lan-options.js';
import { LAN_DOMAIN, LanNames, type LanListing } from './lan-names.js';

const BROADCAST = new MacAddress(0xffff, -1);
const ROUTER_SOLICITATION = 133;
const NEIGHBOR_SOLICITATION = 135;
const ECHO = 8;
const ECHO_6 = 128;

export class LanService {
  private readonly addresses: NetworkAddresses;
  private readonly timers = new TimerQueue(SYSTEM_CLOCK);
  private readonly link = new Link(() => undefined);
  private readonly ip: IpOutput;
  private readonly arp: Arp;
  private readonly ndp: Ndp;
  private readonly icmp: IcmpAnswers;
  private readonly dhcp: DhcpServer;
  private readonly names: LanNames;
  private readonly reassembler = new Reassembler(SYSTEM_CLOCK);
  private readonly packet = new Packet();

  constructor(lan: LanListing & { readonly host: number; readonly mtu: number }) {
    const addresses = lanAddresses(lan.lan, lan.host);
    this.addresses = addresses;
    this.ip = new IpOutput(this.link, addresses.mac, lan.mtu);
    const neighbors = new Neighbors();
    this.arp = new Arp(this.ip, addresses, neighbors);
    this.ndp = new Ndp(this.ip, addresses, neighbors, this.timers, 0);
    const gateways = { v4: addresses.v4.gateway, v6: addresses.v6.gateway };
    this.icmp = new IcmpAnswers(this.ip, gateways, SYSTEM_CLOCK);
    this.dhcp = new DhcpServer(addresses, { mtu: lan.mtu, domain: LAN_DOMAIN, router: false });
    this.names = new LanNames([lan]);
  }

  /** The address of a card that all services have. */
  get mac(): MacAddress {
    return this.addresses.mac;
  }

  attach(port: GuestPort): void {
    this.link.attach(port);
    this.ndp.advertiseToAll();
  }

  onRoom(): void {
    this.link.roomAgain();
  }

  close(): void {
    this.link.attach(undefined);
    this.timers.close();
  }

  /**
   * Looks at a frame from the guest; true when it was for the service, and nobody else is to see it.
   * @param head its Ethernet header
   */
  takes(head: Uint8Array, frame: FrameSource, meta: Readonly<FrameMeta>): boolean {
    const { packet } = this;
    const direct = this.addresses.mac.equals(head, 0);
    if (!direct && (head[0]! & 1) === 0) return false;
    if (!packet.load(frame, meta)) return direct;
    switch (get16(packet.header, 12)) {
      case EtherType.Arp:
        return this.takesArp() || direct;
      case EtherType.Ipv4:
        return direct ? this.takesIpv4() : this.asksForAddress() && this.takesIpv4();
      case EtherType.Ipv6:
        return (direct || this.concernsService()) && this.takesIpv6();
      default:
        return direct;
    }
  }

  private takesArp(): boolean {
    const { header } = this.packet;
    if (get32(header, ETHERNET_HEADER + 24) !== this.addresses.v4.gateway.w3) return false;
    this.arp.input(this.packet);
    return true;
  }

  /** True for a message to DHCP servers in a broadcast: they are whole datagrams. */
  private asksForAddress(): boolean {
    const { header } = this.packet;
    const udp = ETHERNET_HEADER + (header[ETHERNET_HEADER]! & 15) * 4;
    const isUdp = header[ETHERNET_HEADER + 9] === (Protocol.Udp as number);
    return isUdp && get16(header, udp + 2) === DHCP_SERVER_PORT;
  }

  private takesIpv4(): true {
    const { packet, addresses } = this;
    if (!parseIpv4(packet, this.reassembler)) return true;
    const source = IpAddress.from(packet.source);
    if (packet.protocol === (Protocol.Udp as number)) {
      if (checkUdp(packet)) this.inputUdp(source);
    } else if (packet.protocol === (Protocol.Icmp as number) && addresses.isGuest(source)) {
      if (!packet.has(8) || !packet.verify(false)) return true;
      if (packet.header[packet.transport] === ECHO) this.echo(source);
    }
    return true;
  }

  private inputUdp(source: IpAddress): void {
    const { packet, addresses } = this;
    if (packet.destinationPort === DHCP_SERVER_PORT) {
      this.inputDhcp();
    } else if (packet.destinationPort === DNS_PORT && addresses.isGuest(source)) {
      if (IpAddress.from(packet.destination).equals(addresses.v4.gateway)) this.inputDns(source);
    }
  }

  private inputDhcp(): void {
    const { packet, addresses } = this;
    if (packet.sourcePort !== DHCP_CLIENT_PORT) return;
    const reply = this.dhcp.input(packet.payload(UDP_HEADER));
    if (reply === undefined) return;
    const route = {
      mac: reply.broadcast ? BROADCAST : packet.mac,
      source: addresses.v4.gateway,
      destination: reply.broadcast ? IpAddress.v4(-1) : reply.address,
    };
    sendUdp(this.ip, route, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, reply.bytes);
  }

  private inputDns(source: IpAddress): void {
    const { packet } = this;
    const bytes = packet.payload(UDP_HEADER);
    const query = parseQuery(bytes);
    if (query === undefined) return;
    const answer =
      typeof query === 'number'
        ? errorAnswer(bytes, query)
        : (this.names.answer(query) ?? errorAnswer(bytes, ResponseCode.NameError, query.end));
    const route = { mac: packet.mac, source: this.addresses.v4.gateway, destination: source };
    sendUdp(this.ip, route, DNS_PORT, packet.sourcePort, answer);
  }

  private echo(source: IpAddress): void {
    const { packet, addresses } = this;
    const destination = IpAddress.from(packet.destination);
    if (!addresses.isGateway(destination)) return;
    this.icmp.echo(packet, { mac: packet.mac, source: destination, destination: source });
  }

  /** True for what neighbour discovery asks routers, or about the service. */
  private concernsService(): boolean {
    const { header } = this.packet;
    const at = ETHERNET_HEADER + 40;
    if (header[ETHERNET_HEADER + 6] !== (Protocol.Icmpv6 as number)) return false;
    if (header[at] === ROUTER_SOLICITATION) return true;
    if (header[at] !== NEIGHBOR_SOLICITATION) return false;
    const target = new Int32Array(4);
    readIpv6(header, at + 8, target);
    return this.addresses.isGateway(IpAddress.from(target));
  }

  private takesIpv6(): true {
    const { packet, addresses } = this;
    if (!parseIpv6(packet, this.reassembler)) return true;
    if (packet.protocol !== (Protocol.Icmpv6 as number)) return true;
    if (!packet.has(8) || !packet.verify(true) || this.ndp.input(packet)) return true;
    const source = IpAddress.from(packet.source);
    if (packet.header[packet.transport] === ECHO_6 && addresses.isGuest(source)) this.echo(source);
    return true;
  }
}
