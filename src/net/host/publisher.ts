/** Ports of the host that lead to the guest. */
import { createServer, type Server, type Socket } from 'node:net';
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import { errorMessage } from '../../util/errors.js';
import type { NetworkAddresses } from '../addresses.js';
import type { Arp } from '../arp.js';
import type { EventSink } from '../events.js';
import type { IpOutput } from '../ip-output.js';
import type { Neighbors } from '../neighbors.js';
import type { Publication } from '../options.js';
import type { TcpStack } from '../tcp/tcp-stack.js';
import { Timer, type TimerQueue } from '../timers.js';
import { sendUdp, UDP_HEADER } from '../udp.js';
import type { MacAddress } from '../wire/mac.js';
import type { Packet } from '../wire/packet.js';
import { bind, describePort, listen, socketFor } from './published-port.js';
import { KEEP_ALIVE_MS, type TcpForwarder } from './tcp-forwarder.js';

/** Ports of the gateway that stand for peers of the host. */
const FIRST_PORT = 32_768;
const LAST_PORT = 60_999;
/** Connections that wait for the guest's station to be found. */
const MOST_WAITING = 64;
const ARP_MS = 1000;
const ARP_ATTEMPTS = 3;
const MOST_PEERS = 512;
const PEER_IDLE_MS = 120_000;
const SWEEP_MS = 10_000;

export interface PublisherParts {
  readonly addresses: NetworkAddresses;
  readonly neighbors: Neighbors;
  readonly arp: Arp;
  readonly ip: IpOutput;
  readonly tcp: TcpStack;
  readonly forwarder: TcpForwarder;
  readonly timers: TimerQueue;
  readonly events: EventSink;
  readonly mostSockets: number;
}

/** A program on the host that has sent datagrams to a published port. */
interface Peer {
  readonly socket: UdpSocket;
  readonly info: RemoteInfo;
  readonly key: string;
  /** The gateway's port that stands for it. */
  readonly port: number;
  readonly guestPort: number;
  active: number;
}

export class Publisher {
  private readonly servers: Server[] = [];
  private readonly sockets: UdpSocket[] = [];
  private readonly peers = new Map<string, Peer>();
  private readonly peersByPort = new Map<number, Peer>();
  /** Sockets, and what is done with them when the guest's station is known. */
  private readonly waiting = new Map<Socket, (station: MacAddress) => void>();
  private readonly sweeper = new Timer(() => this.sweep());
  private readonly asking = new Timer(() => this.ask());
  private attempts = 0;
  private nextPort = FIRST_PORT;
  private closed = false;

  constructor(private readonly parts: PublisherParts) {}

  /**
   * Opens the host's port. Resolves with the port, which the host chooses for 0.
   * @throws VexitError ERR_CONFIG when the port is taken or not permitted
   */
  publish(publication: Publication): Promise<number> {
    return publication.protocol === 'tcp'
      ? this.publishTcp(publication)
      : this.publishUdp(publication);
  }

  /** A datagram to a port of the gateway. True when it was for a peer of the host. */
  input(packet: Packet): boolean {
    const peer = this.peersByPort.get(packet.destinationPort);
    if (peer === undefined || packet.version !== 4) return false;
    if (peer.guestPort !== packet.sourcePort) return false;
    peer.active = this.parts.timers.now();
    const { address, port } = peer.info;
    peer.socket.send(packet.payload(UDP_HEADER), port, address);
    return true;
  }

  /** The guest's station may be known now. */
  onNeighbor(): void {
    if (this.waiting.size === 0) return;
    const station = this.station();
    if (station === undefined) return;
    for (const [socket, proceed] of this.waiting) {
      this.waiting.delete(socket);
      proceed(station);
    }
  }

  close(): void {
    this.closed = true;
    for (const server of this.servers) server.close();
    for (const socket of this.sockets) socket.close();
    for (const socket of this.waiting.keys()) socket.destroy();
    this.waiting.clear();
    this.peers.clear();
    this.peersByPort.clear();
    this.parts.timers.remove(this.sweeper);
    this.parts.timers.remove(this.asking);
  }

  private station(): MacAddress | undefined {
    return this.parts.neighbors.find(this.parts.addresses.v4.guest);
  }

  private async publishTcp(publication: Publication): Promise<number> {
    const { guestPort } = publication;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      this.onConnection(socket, guestPort);
    });
    this.servers.push(server);
    const port = await listen(server, publication);
    server.on('error', (error) => this.report(publication, error));
    return port;
  }

  private async publishUdp(publication: Publication): Promise<number> {
    const { guestPort } = publication;
    const socket = socketFor(publication);
    socket.on('message', (bytes, info) => this.onDatagram(socket, info, guestPort, bytes));
    this.sockets.push(socket);
    const port = await bind(socket, publication);
    socket.on('error', (error) => this.report(publication, error));
    return port;
  }

  private onConnection(socket: Socket, guestPort: number): void {
    // A reset is followed by `close`, which is what is acted on.
    socket.on('error', () => undefined);
    if (this.parts.forwarder.size + this.waiting.size >= this.parts.mostSockets) {
      socket.resetAndDestroy();
      return;
    }
    const mac = this.station();
    if (mac !== undefined) {
      this.open(socket, guestPort, mac);
      return;
    }
    if (this.waiting.size >= MOST_WAITING || this.closed) {
      socket.resetAndDestroy();
      return;
    }
    this.waiting.set(socket, (station) => this.open(socket, guestPort, station));
    socket.once('close', () => this.waiting.delete(socket));
    if (!this.asking.isSet) this.ask();
  }

  /** Looks for the guest's station, some times. */
  private ask(): void {
    if (this.waiting.size === 0) {
      this.attempts = 0;
    } else if (this.attempts++ < ARP_ATTEMPTS) {
      this.parts.arp.request(this.parts.addresses.v4.guest);
      this.parts.timers.set(this.asking, ARP_MS);
    } else {
      this.attempts = 0;
      for (const socket of this.waiting.keys()) socket.resetAndDestroy();
      this.waiting.clear();
    }
  }

  private open(socket: Socket, guestPort: number, mac: MacAddress): void {
    const { tcp, forwarder, addresses } = this.parts;
    const { guest: guestAddress, gateway: remoteAddress } = addresses.v4;
    const remotePort = this.freePort((port) =>
      tcp.has({ guestAddress, guestPort, remoteAddress, remotePort: port, mac }),
    );
    const connection =
      remotePort === undefined
        ? undefined
        : tcp.open({ guestAddress, guestPort, remoteAddress, remotePort, mac });
    if (connection === undefined) {
      socket.resetAndDestroy();
      return;
    }
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const bridge = forwarder.bridge(connection, socket, false);
    connection.connect(bridge);
    socket.resume();
  }

  private freePort(taken: (port: number) => boolean): number | undefined {
    for (let i = FIRST_PORT; i <= LAST_PORT; i++) {
      const port = this.nextPort;
      this.nextPort = port === LAST_PORT ? FIRST_PORT : port + 1;
      if (!taken(port)) return port;
    }
    return undefined;
  }

  private onDatagram(
    socket: UdpSocket,
    info: RemoteInfo,
    guestPort: number,
    bytes: Uint8Array,
  ): void {
    const { addresses, arp, ip } = this.parts;
    const mac = this.station();
    if (mac === undefined) {
      // UDP may lose: the next one finds the station known.
      arp.request(addresses.v4.guest);
      return;
    }
    const port = this.peerPort(socket, info, guestPort);
    if (port === undefined) return;
    const { guest: destination, gateway: source } = addresses.v4;
    sendUdp(ip, { mac, source, destination }, port, guestPort, bytes);
  }

  /** The gateway's port that stands for a peer. */
  private peerPort(socket: UdpSocket, info: RemoteInfo, guestPort: number): number | undefined {
    const key = `${this.sockets.indexOf(socket)}/${info.address}/${info.port}`;
    const now = this.parts.timers.now();
    const known = this.peers.get(key);
    if (known !== undefined) {
      known.active = now;
      return known.port;
    }
    if (this.peers.size >= MOST_PEERS) return undefined;
    const port = this.freePort((candidate) => this.peersByPort.has(candidate));
    if (port === undefined) return undefined;
    const peer = { socket, info, key, port, guestPort, active: now };
    this.peers.set(key, peer);
    this.peersByPort.set(port, peer);
    if (!this.sweeper.isSet) this.parts.timers.set(this.sweeper, SWEEP_MS);
    return port;
  }

  private sweep(): void {
    const now = this.parts.timers.now();
    for (const peer of this.peers.values()) {
      if (now - peer.active < PEER_IDLE_MS) continue;
      this.peersByPort.delete(peer.port);
      this.peers.delete(peer.key);
    }
    if (this.peers.size > 0) this.parts.timers.set(this.sweeper, SWEEP_MS);
  }

  private report(publication: Publication, error: Error): void {
    const message = `${describePort(publication)}: ${errorMessage(error)}`;
    this.parts.events.emit({ type: 'publish-error', message });
  }
}
