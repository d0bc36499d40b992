/**
 * The user network: a gateway made of TypeScript between a guest's frames and sockets of the host. It
 * needs no privileges. This file puts the protocols together and hands packets to them.
 */
import { getServers } from 'node:dns';
import { Arp } from './arp.js';
import { Capture } from './capture/capture.js';
import { ChunkPool } from './chunk-pool.js';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpServer } from './dhcp.js';
import type { DnsQuery } from './dns/dns-message.js';
import { DNS_PORT, DnsService } from './dns/dns-service.js';
import { HostsFile } from './dns/hosts-file.js';
import { parseResolver, Upstream } from './dns/upstream.js';
import { EventSink, type NetEvent } from './events.js';
import { PingForwarder, type OpenPing } from './host/ping-forwarder.js';
import { Publisher } from './host/publisher.js';
import { Reach } from './host/reach.js';
import { TcpForwarder } from './host/tcp-forwarder.js';
import { UdpForwarder } from './host/udp-forwarder.js';
import { IcmpAnswers } from './icmp.js';
import { EtherType, IpOutput, type Route } from './ip-output.js';
import { Link } from './link.js';
import { Ndp } from './ndp.js';
import { Neighbors } from './neighbors.js';
import {
  NO_OFFLOADS,
  type FrameMeta,
  type FrameSource,
  type GuestPort,
  type NetBackend,
  type NetOffloads,
} from './net-backend.js';
import { NetworkAddresses } from './addresses.js';
import {
  checkNetOptions,
  DEFAULT_MTU,
  DEFAULT_NET,
  DEFAULT_NET6,
  type UserNetOptions,
} from './options.js';
import { Gate, type Decide } from './policy/gate.js';
import { NameCache } from './policy/name-cache.js';
import { Rules } from './policy/rules.js';
import { Segment } from './tcp/segment.js';
import { SegmentWriter } from './tcp/segment-writer.js';
import { TcpStack } from './tcp/tcp-stack.js';
import { SYSTEM_CLOCK, TimerQueue, type Clock } from './timers.js';
import { checkUdp, sendUdp, UDP_HEADER } from './udp.js';
import { Cidr, IpAddress } from './wire/address.js';
import { get16 } from './wire/bytes.js';
import { parseIpv4 } from './wire/ipv4.js';
import { parseIpv6 } from './wire/ipv6.js';
import { isStation, MacAddress } from './wire/mac.js';
import { Packet, Protocol } from './wire/packet.js';
import { Reassembler } from './wire/reassembler.js';

const DEFAULT_CONNECTIONS = 4096;
const PENDING_CONNECTIONS = 1024;
const UDP_SESSIONS = 1024;
/** Bytes that all TCP connections hold together, before they get little only. */
const POOL_BYTES = 64 << 20;
const TO_HOST_BYTES = 1 << 20;
const TO_GUEST_BYTES = 1 << 20;
const BROADCAST = new MacAddress(0xffff, -1);
const ANYBODY = IpAddress.v4(0);

/** What is not plain data. */
export interface UserNetSurroundings {
  /** Sees what the rules let through, and decides. */
  readonly decide?: Decide;
  readonly onEvent?: (event: NetEvent) => void;
  /** Opens a ping socket; without it only the gateway answers echo requests. */
  readonly openPing?: OpenPing;
  readonly clock?: Clock;
  /** `/etc/hosts` unless it is another file. */
  readonly hostsFile?: string;
  /** Takes lines about the host, repeated for as long as they are true. */
  readonly warn?: (line: string) => void;
  /** Answers about names of networks that the guest is also on; undefined for other names. */
  readonly knownNames?: (query: DnsQuery) => Uint8Array | undefined;
}

/** Counters for reports. */
export interface UserNetStatistics {
  readonly framesFromGuest: number;
  readonly framesDropped: number;
  readonly tcpConnections: number;
  readonly tcpOverflows: number;
  readonly udpSessions: number;
  readonly udpOverflows: number;
  /** Bytes in buffers of TCP connections. */
  readonly bufferedBytes: number;
  readonly reassemblyBytes: number;
}

export class UserNetwork implements NetBackend {
  readonly offloads: NetOffloads = { csum: true, tso4: true, tso6: true };
  readonly mtu: number;

  private readonly addresses: NetworkAddresses;
  private readonly timers: TimerQueue;
  private readonly link: Link;
  private readonly ip: IpOutput;
  private readonly neighbors = new Neighbors();
  private readonly arp: Arp;
  private readonly ndp: Ndp | undefined;
  private readonly icmp: IcmpAnswers;
  private readonly dhcp: DhcpServer;
  private readonly dns: DnsService;
  private readonly upstream: Upstream;
  private readonly tcp: TcpStack;
  private readonly pool = new ChunkPool(POOL_BYTES);
  private readonly forwarder: TcpForwarder;
  private readonly udp: UdpForwarder;
  private readonly pings: PingForwarder;
  private readonly publisher: Publisher;
  private readonly reassembler: Reassembler;
  private readonly capture: Capture | undefined;

  private readonly packet = new Packet();
  private readonly segment = new Segment(this.packet);
  private frames = 0;
  private closed = false;

  /** @throws VexitError ERR_CONFIG for options that make no sense */
  constructor(
    private readonly options: UserNetOptions,
    surroundings: UserNetSurroundings = {},
  ) {
    checkNetOptions(options);
    const { decide, onEvent, openPing, clock = SYSTEM_CLOCK } = surroundings;
    const { hostsFile = '/etc/hosts' } = surroundings;
    const { net = DEFAULT_NET, net6 = DEFAULT_NET6, hostName, domain } = options;
    const maxConnections = options.maxConnections ?? DEFAULT_CONNECTIONS;
    this.mtu = options.mtu ?? DEFAULT_MTU;
    const addresses = new NetworkAddresses(Cidr.of(net), Cidr.of(net6));
    this.addresses = addresses;
    const timers = new TimerQueue(clock);
    this.timers = timers;
    this.capture = options.pcap === undefined ? undefined : new Capture(options.pcap);
    this.link = new Link(() => this.tcp.roomAgain());
    this.link.tap = this.capture;
    const ip = new IpOutput(this.link, addresses.mac, this.mtu);
    this.ip = ip;
    this.reassembler = new Reassembler(clock);
    const events = new EventSink(onEvent, clock);
    const rules = new Rules(options.allow ?? [], options.deny ?? []);
    const gate = new Gate(rules, new NameCache(clock), decide, events, clock);
    const reach = new Reach(addresses, options.host !== false, clock);
    const gateways = { v4: addresses.v4.gateway, v6: addresses.v6.gateway };
    const icmp = new IcmpAnswers(ip, gateways, clock);
    this.icmp = icmp;
    this.arp = new Arp(ip, addresses, this.neighbors);
    this.ndp = options.ipv6 === false ? undefined : new Ndp(ip, addresses, this.neighbors, timers);
    this.dhcp = new DhcpServer(addresses, { mtu: this.mtu, hostName, domain });
    this.upstream = new Upstream(() => (options.dns ?? getServers()).map(parseResolver));
    const hosts = new HostsFile(hostsFile, clock);
    const dns = new DnsService(
      addresses,
      gate,
      hosts,
      this.upstream,
      hostName,
      surroundings.knownNames,
    );
    this.dns = dns;
    const { pool } = this;
    const limits = { toHost: TO_HOST_BYTES, toGuest: TO_GUEST_BYTES };
    this.forwarder = new TcpForwarder({
      addresses,
      gate,
      reach,
      dns,
      icmp,
      pool,
      events,
      limits,
      mostSockets: maxConnections,
      warn: surroundings.warn ?? (() => undefined),
    });
    const pending = Math.min(PENDING_CONNECTIONS, maxConnections);
    const tcpLimits = { connections: maxConnections, pending };
    this.tcp = new TcpStack(new SegmentWriter(ip), timers, pool, this.forwarder, tcpLimits);
    this.udp = new UdpForwarder({
      ip,
      gate,
      reach,
      icmp,
      timers,
      events,
      mostSessions: UDP_SESSIONS,
    });
    this.pings = new PingForwarder({ ip, gate, reach, icmp, timers, open: openPing });
    this.publisher = new Publisher({
      addresses,
      neighbors: this.neighbors,
      arp: this.arp,
      ip,
      tcp: this.tcp,
      forwarder: this.forwarder,
      timers,
      events,
      mostSockets: maxConnections,
    });
  }

  /**
   * Opens the published ports; resolves with the host's ports in the order of the options.
   * @throws VexitError ERR_CONFIG when one is taken or not permitted
   */
  async open(): Promise<number[]> {
    const ports: number[] = [];
    for (const publication of this.options.publish ?? []) {
      ports.push(await this.publisher.publish(publication));
    }
    return ports;
  }

  attach(port: GuestPort): void {
    this.link.attach(port);
    this.ndp?.advertiseToAll();
  }

  onRoom(): void {
    this.link.roomAgain();
  }

  flush(): void {
    this.tcp.flush();
  }

  transmit(frame: FrameSource, meta: Readonly<FrameMeta>): void {
    this.frames++;
    if (this.closed || !this.packet.load(frame, meta)) return;
    this.capture?.fromGuest(frame);
    const { header } = this.packet;
    // For the gateway, or for a group; never from one.
    const forUs = this.addresses.mac.equals(header, 0) || (header[0]! & 1) !== 0;
    if (!forUs || !isStation(header, 6)) return;
    switch (get16(header, 12)) {
      case EtherType.Ipv4:
        if (parseIpv4(this.packet, this.reassembler)) this.inputIp();
        return;
      case EtherType.Ipv6:
        if (this.ndp !== undefined && parseIpv6(this.packet, this.reassembler)) this.inputIp();
        return;
      case EtherType.Arp:
        this.arp.input(this.packet);
        this.publisher.onNeighbor();
    }
  }

  get statistics(): UserNetStatistics {
    return {
      framesFromGuest: this.frames,
      framesDropped: this.link.dropped,
      tcpConnections: this.tcp.size,
      tcpOverflows: this.tcp.overflows,
      udpSessions: this.udp.size,
      udpOverflows: this.udp.overflows,
      bufferedBytes: this.pool.inUse,
      reassemblyBytes: this.reassembler.bytes,
    };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.link.attach(NOBODY);
    this.publisher.close();
    this.tcp.close();
    this.forwarder.close();
    this.udp.close();
    this.pings.close();
    this.upstream.close();
    this.timers.close();
    await this.capture?.close();
  }

  private inputIp(): void {
    const { packet, addresses } = this;
    const source = IpAddress.from(packet.source);
    const destination = IpAddress.from(packet.destination);
    if (!addresses.isGuest(source)) {
      this.inputWithoutAddress(source, destination);
      return;
    }
    switch (packet.protocol as Protocol) {
      case Protocol.Tcp:
        if (this.forward(source, destination) && this.segment.parse()) {
          this.tcp.input(this.segment);
        }
        return;
      case Protocol.Udp:
        if (checkUdp(packet)) this.inputUdp(source, destination);
        return;
      case Protocol.Icmp:
      case Protocol.Icmpv6:
        this.inputIcmp(source, destination);
    }
  }

  /** What a guest sends before it has an address. */
  private inputWithoutAddress(source: IpAddress, destination: IpAddress): void {
    const { packet } = this;
    if (packet.version === 6) {
      if (packet.protocol === (Protocol.Icmpv6 as number)) this.inputIcmp(source, destination);
    } else if (source.equals(ANYBODY) && packet.protocol === (Protocol.Udp as number)) {
      if (checkUdp(packet) && packet.destinationPort === DHCP_SERVER_PORT) this.inputDhcp();
    }
  }

  private inputUdp(source: IpAddress, destination: IpAddress): void {
    const { packet, addresses } = this;
    const port = packet.destinationPort;
    if (port === DHCP_SERVER_PORT && packet.version === 4) {
      this.inputDhcp();
    } else if (addresses.isGateway(destination)) {
      if (port === DNS_PORT) this.inputDns(source, destination);
      else if (!this.publisher.input(packet)) this.udp.input(packet);
    } else if (port !== 0 && this.forward(source, destination)) {
      this.udp.input(packet);
    }
  }

  private inputDns(guest: IpAddress, server: IpAddress): void {
    const { packet } = this;
    const { mac, sourcePort } = packet;
    const route = { mac, source: server, destination: guest };
    this.dns.query(packet.payload(UDP_HEADER), false, (answer) => {
      sendUdp(this.ip, route, DNS_PORT, sourcePort, answer);
    });
  }

  private inputDhcp(): void {
    const { packet, addresses } = this;
    if (packet.sourcePort !== DHCP_CLIENT_PORT) return;
    const reply = this.dhcp.input(packet.payload(UDP_HEADER));
    if (reply === undefined) return;
    const route: Route = {
      mac: reply.broadcast ? BROADCAST : packet.mac,
      source: addresses.v4.gateway,
      destination: reply.broadcast ? IpAddress.v4(-1) : reply.address,
    };
    this.neighbors.learn(addresses.v4.guest, packet.mac);
    sendUdp(this.ip, route, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, reply.bytes);
    this.publisher.onNeighbor();
  }

  private inputIcmp(source: IpAddress, destination: IpAddress): void {
    const { packet, addresses } = this;
    const v4 = packet.version === 4;
    if (packet.protocol !== (v4 ? Protocol.Icmp : Protocol.Icmpv6)) return;
    if (!packet.has(8) || !packet.verify(!v4)) return;
    if (!v4 && this.ndp?.input(packet) === true) {
      this.publisher.onNeighbor();
      return;
    }
    if (!addresses.isGuest(source)) return;
    const route = { mac: packet.mac, source: destination, destination: source };
    const { header, transport } = packet;
    const isEcho = header[transport] === (v4 ? 8 : 128);
    if (!isEcho) return;
    if (addresses.isGateway(destination)) this.icmp.echo(packet, route);
    else if (this.forward(source, destination)) this.pings.input(packet);
  }

  /** True for a packet that goes to the gateway or through it, with a hop left. */
  private forward(source: IpAddress, destination: IpAddress): boolean {
    const { packet, addresses } = this;
    if (addresses.isGateway(destination)) return true;
    const group = destination.isIpv4
      ? destination.w3 >>> 28 === 14 ||
        destination.w3 === -1 ||
        destination.equals(addresses.broadcast)
      : destination.w0 >>> 24 === 255;
    if (group) return false;
    if (packet.ttl > 1) return true;
    const { header, transport } = packet;
    if (!packet.has(8)) return false;
    const start = Uint8Array.from(header.subarray(transport, transport + 8));
    const route = { mac: packet.mac, source: destination, destination: source };
    this.icmp.timeExceeded({ route, protocol: packet.protocol, start });
    return false;
  }
}

const NOBODY: GuestPort = { offloads: NO_OFFLOADS, receive: () => true };
