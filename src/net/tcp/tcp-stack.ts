/** All TCP connections of a guest: finding them, limits, answers for those that are not there. */
import { randomInt } from 'node:crypto';
import type { ChunkPool } from '../chunk-pool.js';
import { FlowTable } from '../flow-table.js';
import type { TimerQueue } from '../timers.js';
import { IpAddress } from '../wire/address.js';
import { TcpFlag, type Segment } from './segment.js';
import type { SegmentWriter } from './segment-writer.js';
import { seqAdd } from './sequence.js';
import { TcpConnection, type TcpEnds } from './tcp-connection.js';

/** Who answers the guest's SYNs. */
export interface TcpHandler {
  /** A guest wants to connect: sooner or later `accept`, `refuse` or `abort`. */
  onSyn(connection: TcpConnection): void;
  /** A connection that had no {@link TcpConnection.user} yet has gone. */
  onAbandoned(connection: TcpConnection): void;
}

/** Bounds of what a guest can take up. */
export interface TcpLimits {
  /** Connections, those that rest in TIME_WAIT included. */
  readonly connections: number;
  /** Connections whose other side is not there yet. */
  readonly pending: number;
}

/** Challenge ACKs and RSTs without a connection in a second (RFC 5961, 7). */
const MOST_ANSWERS = 1000;
const SECOND_MS = 1000;

export class TcpStack {
  /** SYNs that were dropped or refused because of {@link TcpLimits}. */
  overflows = 0;

  private readonly connections = new FlowTable<TcpConnection>();
  private readonly pending = new Set<TcpConnection>();
  private readonly resting = new Set<TcpConnection>();
  private readonly dirty = new Set<TcpConnection>();
  private readonly blocked = new Set<TcpConnection>();
  private answers = 0;
  private answersSince = -Infinity;

  constructor(
    readonly writer: SegmentWriter,
    readonly timers: TimerQueue,
    readonly pool: ChunkPool,
    private readonly handler: TcpHandler,
    private readonly limits: TcpLimits,
    readonly initialSequence: () => number = () => randomInt(2 ** 32) | 0,
  ) {}

  get size(): number {
    return this.connections.size;
  }

  /** A segment from the guest, header and checksum of which are right. */
  input(segment: Segment): void {
    const { packet } = segment;
    const { sourcePort, destinationPort } = packet;
    const found = this.connections.find(
      packet.source,
      sourcePort,
      packet.destination,
      destinationPort,
    );
    if (found !== undefined) {
      if (!packet.isFrom(found.mac)) found.mac = packet.mac;
      found.input(segment);
    } else if (!segment.has(TcpFlag.Syn) || segment.has(TcpFlag.Ack)) {
      if (!segment.has(TcpFlag.Rst)) this.reset(segment);
    } else if (!segment.has(TcpFlag.Rst) && sourcePort !== 0 && destinationPort !== 0) {
      this.inputSyn(segment);
    }
  }

  /** A connection to the guest, or undefined when there are too many. */
  open(ends: TcpEnds): TcpConnection | undefined {
    if (this.has(ends) || !this.makeRoom()) return undefined;
    const connection = new TcpConnection(this, ends);
    this.connections.add(connection);
    return connection;
  }

  /** True when there is a connection with these ends. */
  has(ends: TcpEnds): boolean {
    const { guestAddress: guest, remoteAddress: remote } = ends;
    const words = [guest, remote].map(({ w0, w1, w2, w3 }) => [w0, w1, w2, w3] as const);
    const found = this.connections.find(words[0]!, ends.guestPort, words[1]!, ends.remotePort);
    return found !== undefined;
  }

  /** The end of a batch of frames: bytes go on, acknowledgements go out. */
  flush(): void {
    for (const connection of this.dirty) {
      this.dirty.delete(connection);
      connection.user?.onFlush();
      if (connection.owesAck) connection.sendAck();
    }
  }

  /** The guest has buffers again. Whoever waited longest goes first. */
  roomAgain(): void {
    for (const connection of [...this.blocked]) {
      if (!this.writer.hasRoom) return;
      this.blocked.delete(connection);
      connection.resume();
    }
  }

  waitForRoom(connection: TcpConnection): void {
    this.blocked.add(connection);
  }

  needsFlush(connection: TcpConnection): void {
    this.dirty.add(connection);
  }

  /** The connection's other side is there, or is no more waited for. */
  notPending(connection: TcpConnection): void {
    this.pending.delete(connection);
  }

  /** A connection in TIME_WAIT, which gives way to others. */
  restsNow(connection: TcpConnection): void {
    this.resting.add(connection);
  }

  forget(connection: TcpConnection): void {
    this.connections.delete(connection);
    this.pending.delete(connection);
    this.resting.delete(connection);
    this.dirty.delete(connection);
    this.blocked.delete(connection);
  }

  abandoned(connection: TcpConnection): void {
    this.handler.onAbandoned(connection);
  }

  mayChallenge(): boolean {
    const now = this.timers.now();
    if (now - this.answersSince >= SECOND_MS) {
      this.answersSince = now;
      this.answers = 0;
    }
    return ++this.answers <= MOST_ANSWERS;
  }

  /** Answers a segment that belongs to no connection, or to another one (RFC 9293, 3.10.7.1). */
  reset(segment: Segment): void {
    if (!this.mayChallenge()) return;
    const { packet } = segment;
    const route = {
      mac: packet.mac,
      source: IpAddress.from(packet.destination),
      destination: IpAddress.from(packet.source),
      sourcePort: packet.destinationPort,
      destinationPort: packet.sourcePort,
    };
    if (segment.has(TcpFlag.Ack)) {
      this.writer.control(route, TcpFlag.Rst, segment.ack, 0, 0);
    } else {
      const ack = seqAdd(segment.seq, segment.span);
      this.writer.control(route, TcpFlag.Rst | TcpFlag.Ack, 0, ack, 0);
    }
  }

  /** Ends all connections. */
  close(): void {
    for (const connection of [...this.connections]) connection.evict();
  }

  private inputSyn(segment: Segment): void {
    if (this.pending.size >= this.limits.pending) {
      // Silence: the guest tries again in a second.
      this.overflows++;
      return;
    }
    const { packet } = segment;
    const connection = this.open({
      guestAddress: IpAddress.from(packet.source),
      guestPort: packet.sourcePort,
      remoteAddress: IpAddress.from(packet.destination),
      remotePort: packet.destinationPort,
      mac: packet.mac,
    });
    if (connection === undefined) {
      this.overflows++;
      this.reset(segment);
      return;
    }
    this.pending.add(connection);
    connection.begin(segment);
    this.handler.onSyn(connection);
  }

  private makeRoom(): boolean {
    if (this.connections.size < this.limits.connections) return true;
    const [oldest] = this.resting;
    oldest?.evict();
    return oldest !== undefined;
  }
}
