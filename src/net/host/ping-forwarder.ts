/**
 * Echo requests of the guest to hosts beyond the gateway, through the ping sockets of Linux: datagram
 * sockets of ICMP, which need no privilege where net.ipv4.ping_group_range allows them (icmp(7)).
 */
import { createSocket, type Socket } from 'node:dgram';
import { quotedStart, type IcmpAnswers } from '../icmp.js';
import { checksumDatagram, type IpOutput } from '../ip-output.js';
import type { Gate } from '../policy/gate.js';
import { Timer, type TimerQueue } from '../timers.js';
import { IpAddress } from '../wire/address.js';
import { get16, get32, put16 } from '../wire/bytes.js';
import type { MacAddress } from '../wire/mac.js';
import { Protocol, type Packet } from '../wire/packet.js';
import type { Reach } from './reach.js';

/** Opens a ping socket and gives its descriptor. Throws where the host does not allow that. */
export type OpenPing = (ipv4: boolean) => number;

const MOST_SESSIONS = 64;
const IDLE_MS = 15_000;
const SWEEP_MS = 5000;
/** Requests that wait for a decision, or to be sent. */
const MOST_WAITING = 4;
const MOST_UNSENT = 16;
const ECHO_HEADER = 8;
/** Ping sockets have no ports; dgram wants one. */
const ANY_PORT = 1;

export interface PingParts {
  readonly ip: IpOutput;
  readonly gate: Gate;
  readonly reach: Reach;
  readonly icmp: IcmpAnswers;
  readonly timers: TimerQueue;
  readonly open: OpenPing | undefined;
}

/** Echo requests with one identifier to one host. */
interface Session {
  readonly key: string;
  readonly guest: IpAddress;
  readonly remote: IpAddress;
  readonly identifier: number;
  mac: MacAddress;
  socket: Socket | undefined;
  denied: boolean;
  host: string;
  active: number;
  unsent: number;
  readonly waiting: Uint8Array[];
}

export class PingForwarder {
  private readonly sessions = new Map<string, Session>();
  private readonly timer = new Timer(() => this.sweep());

  constructor(private readonly parts: PingParts) {}

  /** An echo request to somewhere beyond the gateway; its checksum is right and it has 8 bytes. */
  input(packet: Packet): void {
    const { header, transport } = packet;
    const remote = IpAddress.from(packet.destination);
    const identifier = get16(header, transport + 4);
    const key = `${identifier}/${remote.toString()}`;
    const session = this.sessions.get(key) ?? this.begin(key, packet, remote, identifier);
    if (session === undefined) {
      this.prohibited(packet, remote);
      return;
    }
    session.active = this.parts.timers.now();
    if (!packet.isFrom(session.mac)) session.mac = packet.mac;
    if (session.denied) this.prohibited(packet, remote);
    else if (session.socket !== undefined) this.send(session, packet.payload(0));
    else if (session.waiting.length < MOST_WAITING) session.waiting.push(packet.payload(0));
  }

  close(): void {
    for (const session of this.sessions.values()) session.socket?.close();
    this.sessions.clear();
    this.parts.timers.remove(this.timer);
  }

  private prohibited(packet: Packet, remote: IpAddress): void {
    const { header, transport } = packet;
    const start = quotedStart(
      get16(header, transport),
      get16(header, transport + 2),
      get32(header, transport + 4),
    );
    const protocol = remote.isIpv4 ? Protocol.Icmp : Protocol.Icmpv6;
    const destination = IpAddress.from(packet.source);
    const route = { mac: packet.mac, source: remote, destination };
    this.parts.icmp.unreachable({ route, protocol, start }, 'prohibited');
  }

  private begin(
    key: string,
    packet: Packet,
    remote: IpAddress,
    identifier: number,
  ): Session | undefined {
    const { gate, reach, timers, open } = this.parts;
    const reached = reach.find(remote);
    if (reached === 'host-denied') gate.hostDenied('icmp', remote, 0);
    if (open === undefined || typeof reached === 'string') return undefined;
    if (this.sessions.size >= MOST_SESSIONS) return undefined;
    const session: Session = {
      key,
      guest: IpAddress.from(packet.source),
      remote,
      identifier,
      mac: packet.mac,
      socket: undefined,
      denied: false,
      host: reached.host,
      active: timers.now(),
      unsent: 0,
      waiting: [],
    };
    this.sessions.set(key, session);
    if (!this.timer.isSet) timers.set(this.timer, SWEEP_MS);
    gate.flow('icmp', remote, 0, (verdict) => {
      if (this.sessions.get(key) !== session) return;
      session.denied = verdict !== 'allow' || !this.connect(session, open);
    });
    return session;
  }

  /** False where the host does not allow it. */
  private connect(session: Session, open: OpenPing): boolean {
    const { isIpv4 } = session.remote;
    const socket = createSocket(isIpv4 ? 'udp4' : 'udp6');
    try {
      socket.bind({ fd: open(isIpv4) });
    } catch {
      socket.close();
      return false;
    }
    session.socket = socket;
    // A host that cannot be reached does not answer, as everywhere.
    socket.on('error', () => this.end(session));
    socket.on('message', (bytes, { address }) => this.answer(session, bytes, address));
    for (const bytes of session.waiting.splice(0)) this.send(session, bytes);
    return true;
  }

  private send(session: Session, bytes: Uint8Array): void {
    if (session.unsent >= MOST_UNSENT) return;
    session.unsent++;
    // The kernel puts its own identifier in, and the checksum.
    session.socket!.send(bytes, ANY_PORT, session.host, () => session.unsent--);
  }

  private answer(session: Session, bytes: Uint8Array, from: string): void {
    const { remote, guest: destination, mac, identifier } = session;
    const v4 = remote.isIpv4;
    const isReply = bytes[0] === (v4 ? 0 : 129) && bytes.length >= ECHO_HEADER;
    if (!isReply || IpAddress.parse(from)?.equals(remote) !== true) return;
    session.active = this.parts.timers.now();
    const reply = Uint8Array.from(bytes);
    put16(reply, 2, 0);
    put16(reply, 4, identifier);
    const protocol = v4 ? Protocol.Icmp : Protocol.Icmpv6;
    const route = { mac, source: remote, destination };
    checksumDatagram(route, protocol, reply, 2);
    this.parts.ip.datagram(route, protocol, reply);
  }

  private end(session: Session): void {
    if (!this.sessions.delete(session.key)) return;
    session.socket?.close();
    session.socket = undefined;
  }

  private sweep(): void {
    const now = this.parts.timers.now();
    for (const session of this.sessions.values()) {
      if (now - session.active >= IDLE_MS) this.end(session);
    }
    if (this.sessions.size > 0) this.parts.timers.set(this.timer, SWEEP_MS);
  }
}
