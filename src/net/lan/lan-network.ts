/**
 * One member of a LAN: the backend of a network device, and its part of the switch. There is no other
 * part: every member is connected to every other one, knows where stations are, and sends a frame to
 * the member it is for, or to all. A member that goes away takes its connections with it.
 */
import { native, type WatchHandle } from '../../kvm/native.js';
import { systemCode } from '../../util/errors.js';
import type { FrameMeta, FrameSource, GuestPort, NetBackend, NetOffloads } from '../net-backend.js';
import { ETHERNET_HEADER } from '../wire/packet.js';
import { encodeHello, Incoming, type Hello } from './incoming.js';
import type { LanPlace } from './join.js';
import { LAST_HOST, parseStation } from './lan-options.js';
import { LanService } from './lan-service.js';
import { hosts, socketPath } from './leases.js';
import { macNumber, MacTable } from './mac-table.js';
import { Outgoing } from './outgoing.js';
import { PacketBatch } from './packet-batch.js';
import { Receiver } from './receiver.js';

/** Frames that may be on their way to one member. */
const SEND_BUFFER = 1 << 20;
/** Connections that have not said who they are, and those of all members twice over. */
const MOST_INCOMING = 2 * LAST_HOST;
const ACCEPTS = 16;
/** When a member is tried again whose queue of connections was full, or that has just come back. */
const RETRY_MS = 50;
/**
 * How long a guest that takes no frames is waited for, and a member that takes none. On a crowded host a
 * guest can be without a processor for seconds, and is to lose nothing for that.
 */
const STALL_MS = 10_000;

/** For tests: how long others are waited for, in milliseconds. */
export interface LanPatience {
  readonly guestMs: number;
  readonly memberMs: number;
}

/** Counters for reports. */
export interface LanStatistics {
  readonly members: number;
  /** Frames that members have not been sent because they took none. */
  readonly droppedToMembers: number;
  /** Frames that the guest had no buffers for. */
  readonly droppedToGuest: number;
  /** Frames from members that were none, or claimed to come from another member's card. */
  readonly refused: number;
}

export class LanNetwork implements NetBackend {
  readonly offloads: NetOffloads = { csum: true, tso4: true, tso6: true };
  readonly mtu: number;
  readonly stallMs: number;

  private readonly macs = new MacTable();
  private readonly service: LanService;
  private readonly receiver: Receiver;
  private readonly batch = new PacketBatch();
  private readonly outgoing = new Map<number, Outgoing>();
  private readonly incoming = new Map<number, Incoming>();
  private readonly strangers = new Set<Incoming>();
  private readonly head = new Uint8Array(ETHERNET_HEADER);
  private readonly hello: Uint8Array;
  /** Members to connect to. */
  private readonly wanted = new Set<number>();
  private watch: WatchHandle | undefined;
  private retryTimer: NodeJS.Timeout | undefined;
  private port: GuestPort | undefined;
  private held = false;
  /** Packets for a member wait. */
  private blocked = false;
  private spoofed = 0;
  private droppedByGone = 0;
  private closed = false;

  constructor(
    private readonly place: LanPlace,
    patience: LanPatience = { guestMs: STALL_MS, memberMs: STALL_MS },
  ) {
    this.mtu = place.mtu;
    this.stallMs = patience.memberMs;
    this.service = new LanService(place);
    const mac = new Uint8Array(6);
    parseStation(place.mac)!.write(mac, 0);
    this.hello = encodeHello(place.host, mac);
    this.macs.register(macNumber(mac, 0), place.host);
    this.service.mac.write(mac, 0);
    this.macs.register(macNumber(mac, 0), place.host);
    this.receiver = new Receiver({
      mtu: place.mtu,
      stallMs: patience.guestMs,
      accepts: (bytes, at, host) => this.accepts(bytes, at, host),
      hold: (held) => this.hold(held),
    });
  }

  /** Connects to the members that are there; those that come later connect to this one. */
  open(): void {
    this.watch = native().watchReadable(this.place.listenFd, () => this.acceptAll());
    for (const host of hosts(this.place.directory)) {
      if (host !== this.place.host) this.wanted.add(host);
    }
    this.connectWanted();
  }

  attach(port: GuestPort): void {
    this.port = port;
    this.receiver.attach(port);
    this.service.attach(port);
  }

  onRoom(): void {
    this.service.onRoom();
    this.receiver.onRoom();
  }

  get busy(): boolean {
    return this.blocked;
  }

  transmit(frame: FrameSource, meta: Readonly<FrameMeta>): void {
    const { head, place } = this;
    if (this.closed || frame.length < ETHERNET_HEADER) return;
    frame.copy(0, head, 0, ETHERNET_HEADER);
    // A group sends nothing.
    if ((head[6]! & 1) !== 0 || this.service.takes(head, frame, meta)) return;
    const host = (head[0]! & 1) !== 0 ? undefined : this.macs.find(macNumber(head, 0));
    if (host === place.host) return;
    const one = host === undefined ? undefined : this.outgoing.get(host);
    if (one === undefined && this.outgoing.size === 0) return;
    let number = this.batch.add(frame, meta);
    if (number < 0) {
      this.flush();
      number = this.batch.add(frame, meta);
    }
    if (one !== undefined) one.queue(number);
    else for (const peer of this.outgoing.values()) peer.queue(number);
  }

  flush(): void {
    if (this.batch.count === 0) return;
    for (const peer of this.outgoing.values()) {
      peer.flush(this.batch);
      this.blocked ||= peer.blocked;
    }
    this.batch.clear();
  }

  /** A member takes packets again, or is not waited for any more. */
  private unblocked(): void {
    if (!this.blocked) return;
    this.blocked = false;
    for (const peer of this.outgoing.values()) this.blocked ||= peer.blocked;
    if (!this.blocked) this.port?.resumeTransmit?.();
  }

  get statistics(): LanStatistics {
    let dropped = this.droppedByGone;
    for (const peer of this.outgoing.values()) dropped += peer.dropped;
    return {
      members: this.incoming.size,
      droppedToMembers: dropped,
      droppedToGuest: this.receiver.dropped,
      refused: this.receiver.invalid + this.spoofed,
    };
  }

  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.closed = true;
    if (this.watch !== undefined) native().unwatch(this.watch);
    clearTimeout(this.retryTimer);
    this.receiver.close();
    this.service.close();
    for (const connection of this.strangers) connection.close();
    for (const connection of this.incoming.values()) connection.close();
    for (const connection of this.outgoing.values()) connection.close();
    this.outgoing.clear();
    this.incoming.clear();
    return Promise.resolve();
  }

  /** Learns where a station is; false for a frame with a sender that cannot be. */
  private accepts(bytes: Uint8Array, at: number, host: number): boolean {
    const group = (bytes[at + 6]! & 1) !== 0;
    if (!group && this.macs.learn(macNumber(bytes, at + 6), host)) return true;
    this.spoofed++;
    return false;
  }

  private hold(held: boolean): void {
    this.held = held;
    for (const connection of this.incoming.values()) connection.hold(held);
  }

  private acceptAll(): void {
    for (let i = 0; i < ACCEPTS; i++) {
      const fd = native().packetAccept(this.place.listenFd);
      if (fd < 0) return;
      // The directory is this user's; root can enter it too.
      const user = native().packetPeerUser(fd);
      const known = user === process.getuid?.() || user === 0;
      if (!known || this.incoming.size + this.strangers.size >= MOST_INCOMING) {
        native().fsClose(fd);
        continue;
      }
      const owner = {
        introduced: (connection: Incoming, hello: Hello) => this.introduced(connection, hello),
        readable: (connection: Incoming) => this.receiver.receive(connection),
        ended: (connection: Incoming) => this.onIncomingEnd(connection),
      };
      this.strangers.add(new Incoming(fd, owner));
    }
  }

  private introduced(connection: Incoming, { host, mac }: Hello): boolean {
    if (host === this.place.host) return false;
    const before = this.incoming.get(host);
    // The member has started again; what it was before has ended or is about to.
    if (before !== undefined) before.end();
    if (!this.macs.register(mac, host)) return false;
    this.strangers.delete(connection);
    this.incoming.set(host, connection);
    if (this.held) connection.hold(true);
    if (!this.outgoing.has(host)) {
      this.wanted.add(host);
      this.connectWanted();
    }
    return true;
  }

  private onIncomingEnd(connection: Incoming): void {
    this.strangers.delete(connection);
    const { host } = connection;
    if (this.incoming.get(host) !== connection) return;
    this.incoming.delete(host);
    this.macs.remove(host);
    const peer = this.outgoing.get(host);
    peer?.close();
    if (peer !== undefined) this.forget(peer);
  }

  private forget(peer: Outgoing): void {
    if (this.outgoing.get(peer.host) !== peer) return;
    this.droppedByGone += peer.dropped;
    this.outgoing.delete(peer.host);
    this.unblocked();
  }

  /** Connects to all members that are wanted; those that cannot be now are tried again. */
  private connectWanted(): void {
    for (const host of this.wanted) {
      if (this.outgoing.has(host) || this.connect(host)) this.wanted.delete(host);
    }
    if (this.wanted.size > 0) this.retryLater();
  }

  private retryLater(): void {
    if (this.retryTimer !== undefined || this.closed) return;
    this.retryTimer = setTimeout(() => {
      this.retryTimer = undefined;
      this.connectWanted();
    }, RETRY_MS);
    this.retryTimer.unref();
  }

  /** False when it is to be tried again. */
  private connect(host: number): boolean {
    let fd: number;
    try {
      fd = native().packetConnect(socketPath(this.place.directory, host), SEND_BUFFER);
    } catch (error) {
      // ECONNREFUSED, ENOENT: its process has ended, or ends.
      return systemCode(error) !== 'EAGAIN';
    }
    const user = native().packetPeerUser(fd);
    const known = user === process.getuid?.() || user === 0;
    if (!known || native().packetSend(fd, this.hello) < 0) {
      native().fsClose(fd);
      return true;
    }
    const peer = new Outgoing(host, fd, {
      stallMs: this.stallMs,
      ended: (ended) => this.onOutgoingEnd(ended),
      unblocked: () => this.unblocked(),
    });
    this.outgoing.set(host, peer);
    return true;
  }

  private onOutgoingEnd(peer: Outgoing): void {
    this.forget(peer);
    // Its other half lives: it has started again, or had too many connections.
    if (!this.incoming.has(peer.host)) return;
    this.wanted.add(peer.host);
    this.retryLater();
  }
}
