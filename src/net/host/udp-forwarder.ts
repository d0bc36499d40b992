/**
 * Datagrams of the guest. Each pair of ends has a connected socket for as long as there is traffic, so
 * that the host's kernel tells about ports that nobody listens on.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { EventSink } from '../events.js';
import { FlowTable, type Flow } from '../flow-table.js';
import { quotedStart, type IcmpAnswers, type Unreachable } from '../icmp.js';
import type { IpOutput } from '../ip-output.js';
import type { Gate } from '../policy/gate.js';
import { Timer, type TimerQueue } from '../timers.js';
import { sendUdp, UDP_HEADER } from '../udp.js';
import { systemCode } from '../../util/errors.js';
import { IpAddress } from '../wire/address.js';
import type { MacAddress } from '../wire/mac.js';
import { Protocol, type Packet } from '../wire/packet.js';
import type { Reach } from './reach.js';

/** Idle times by what has been seen: one way, both ways, a question to a name server. */
const ONE_WAY_MS = 30_000;
const TWO_WAY_MS = 120_000;
const DNS_MS = 10_000;
/** A full table drops sessions that have been idle for so long. */
const EVICTABLE_MS = 2000;
/** Datagrams that wait for a decision or for the socket. */
const MOST_WAITING = 8;
/** Datagrams that a socket has not sent yet. */
const MOST_UNSENT = 64;
const SWEEP_MS = 5000;

const UNREACHABLE: Readonly<Record<string, Unreachable>> = {
  ECONNREFUSED: 'port',
  ENETUNREACH: 'network',
  ENETDOWN: 'network',
  EADDRNOTAVAIL: 'network',
  EHOSTUNREACH: 'host',
  EPERM: 'prohibited',
  EACCES: 'prohibited',
};

export interface UdpParts {
  readonly ip: IpOutput;
  readonly gate: Gate;
  readonly reach: Reach;
  readonly icmp: IcmpAnswers;
  readonly timers: TimerQueue;
  readonly events: EventSink;
  readonly mostSessions: number;
}

interface Session extends Flow {
  mac: MacAddress;
  socket: Socket | undefined;
  connected: boolean;
  denied: boolean;
  /** Not in the table any more: what comes later is for nobody. */
  ended: boolean;
  answered: boolean;
  active: number;
  readonly waiting: Uint8Array[];
  unsent: number;
  bytesToHost: number;
  bytesToGuest: number;
}

export class UdpForwarder {
  /** Datagrams dropped because there were too many sessions. */
  overflows = 0;

  private readonly sessions = new FlowTable<Session>();
  private readonly timer = new Timer(() => this.sweep());
  private nextEviction = 0;

  constructor(private readonly parts: UdpParts) {}

  get size(): number {
    return this.sessions.size;
  }

  /** A datagram to somewhere beyond the gateway; header and checksum are right. */
  input(packet: Packet): void {
    const { sourcePort, destinationPort } = packet;
    const { source, destination } = packet;
    const session =
      this.sessions.find(source, sourcePort, destination, destinationPort) ?? this.open(packet);
    if (session === undefined) return;
    session.active = this.parts.timers.now();
    if (!packet.isFrom(session.mac)) session.mac = packet.mac;
    if (session.denied) {
      this.unreachable(session, 'prohibited');
    } else if (session.connected) {
      this.send(session, packet.payload(UDP_HEADER));
    } else if (session.waiting.length < MOST_WAITING) {
      session.waiting.push(packet.payload(UDP_HEADER));
    }
  }

  close(): void {
    for (const session of [...this.sessions]) this.end(session);
    this.parts.timers.remove(this.timer);
  }

  private open(packet: Packet): Session | undefined {
    const { gate, reach, timers, mostSessions } = this.parts;
    if (this.sessions.size >= mostSessions && !this.evict()) {
      this.overflows++;
      return undefined;
    }
    const session: Session = {
      guestAddress: IpAddress.from(packet.source),
      guestPort: packet.sourcePort,
      remoteAddress: IpAddress.from(packet.destination),
      remotePort: packet.destinationPort,
      mac: packet.mac,
      socket: undefined,
      connected: false,
      denied: false,
      ended: false,
      answered: false,
      active: timers.now(),
      waiting: [],
      unsent: 0,
      bytesToHost: 0,
      bytesToGuest: 0,
    };
    const { remoteAddress: address, remotePort: port } = session;
    const reached = reach.find(address);
    if (reached === 'unreachable') {
      this.unreachable(session, 'host');
      return undefined;
    }
    this.sessions.add(session);
    if (!this.timer.isSet) timers.set(this.timer, SWEEP_MS);
    if (reached === 'host-denied') {
      gate.hostDenied('udp', address, port);
      session.denied = true;
    } else {
      gate.flow('udp', address, port, (verdict) => {
        if (session.ended) return;
        if (verdict === 'allow') this.connect(session, reached.host);
        else this.deny(session);
      });
    }
    return session;
  }

  private deny(session: Session): void {
    session.denied = true;
    if (session.waiting.length > 0) this.unreachable(session, 'prohibited');
    session.waiting.length = 0;
  }

  private connect(session: Session, host: string): void {
    const socket = createSocket(session.remoteAddress.isIpv4 ? 'udp4' : 'udp6');
    session.socket = socket;
    socket.on('error', (error) => this.onError(session, error));
    socket.on('message', (bytes) => this.onMessage(session, bytes));
    socket.on('connect', () => {
      if (session.ended) return;
      session.connected = true;
      for (const bytes of session.waiting.splice(0)) this.send(session, bytes);
    });
    try {
      socket.connect(session.remotePort, host);
    } catch (error) {
      this.onError(session, error);
    }
  }

  private send(session: Session, bytes: Uint8Array): void {
    if (session.unsent >= MOST_UNSENT) return;
    session.unsent++;
    session.bytesToHost += bytes.length;
    session.socket!.send(bytes, (error) => {
      session.unsent--;
      if (error !== null) this.onError(session, error);
    });
  }

  private onMessage(session: Session, bytes: Uint8Array): void {
    session.active = this.parts.timers.now();
    session.answered = true;
    session.bytesToGuest += bytes.length;
    const { remoteAddress: source, guestAddress: destination, mac } = session;
    const route = { mac, source, destination };
    sendUdp(this.parts.ip, route, session.remotePort, session.guestPort, bytes);
  }

  private onError(session: Session, error: unknown): void {
    if (session.ended) return;
    const code = systemCode(error) ?? '';
    const why = UNREACHABLE[code];
    if (why !== undefined) this.unreachable(session, why);
    // A port that nobody listens on today may have a listener tomorrow; other errors are for good.
    if (why !== 'port' && code !== 'EMSGSIZE') this.end(session);
  }

  private unreachable(session: Session, why: Unreachable): void {
    const { remoteAddress: source, guestAddress: destination, mac } = session;
    const start = quotedStart(session.guestPort, session.remotePort, UDP_HEADER << 16);
    const quoted = { route: { mac, source, destination }, protocol: Protocol.Udp, start };
    this.parts.icmp.unreachable(quoted, why);
  }

  private end(session: Session): void {
    if (!this.sessions.delete(session)) return;
    const { socket, remoteAddress, remotePort, bytesToHost, bytesToGuest } = session;
    session.connected = false;
    session.ended = true;
    if (socket === undefined) return;
    socket.removeAllListeners('message');
    socket.close();
    this.parts.events.emit({
      type: 'closed',
      protocol: 'udp',
      address: remoteAddress.toString(),
      port: remotePort,
      bytesToHost,
      bytesToGuest,
    });
  }

  private idleTime(session: Session): number {
    if (session.denied) return EVICTABLE_MS;
    if (session.remotePort === 53) return DNS_MS;
    return session.answered ? TWO_WAY_MS : ONE_WAY_MS;
  }

  private sweep(): void {
    const now = this.parts.timers.now();
    for (const session of [...this.sessions]) {
      if (now - session.active >= this.idleTime(session)) this.end(session);
    }
    if (this.sessions.size > 0) this.parts.timers.set(this.timer, SWEEP_MS);
  }

  /** Ends the longest idle session, if it is idle enough. Looks at all of them, but not often. */
  private evict(): boolean {
    const now = this.parts.timers.now();
    if (now < this.nextEviction) return false;
    let oldest: Session | undefined;
    for (const session of this.sessions) {
      if (oldest === undefined || session.active < oldest.active) oldest = session;
    }
    if (oldest === undefined) return false;
    if (now - oldest.active < EVICTABLE_MS) {
      this.nextEviction = oldest.active + EVICTABLE_MS;
      return false;
    }
    this.end(oldest);
    return true;
  }
}
