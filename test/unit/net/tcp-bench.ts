/** The TCP stack without sockets: on one side a {@link TcpPeer} behind a bad link, on the other bytes. */
import { ChunkPool, type Chunk } from '../../../src/net/chunk-pool.js';
import { IpOutput } from '../../../src/net/ip-output.js';
import { Link } from '../../../src/net/link.js';
import {
  ArrayFrame,
  joinFrame,
  NO_OFFLOADS,
  plainMeta,
  type GuestFrame,
  type NetOffloads,
} from '../../../src/net/net-backend.js';
import type { TcpConnection } from '../../../src/net/tcp/tcp-connection.js';
import type { TcpFailure, TcpUser } from '../../../src/net/tcp/tcp-user.js';
import { Segment } from '../../../src/net/tcp/segment.js';
import { SegmentWriter } from '../../../src/net/tcp/segment-writer.js';
import { TcpStack } from '../../../src/net/tcp/tcp-stack.js';
import { TimerQueue } from '../../../src/net/timers.js';
import { IpAddress } from '../../../src/net/wire/address.js';
import { parseIpv4 } from '../../../src/net/wire/ipv4.js';
import { MacAddress } from '../../../src/net/wire/mac.js';
import { Packet } from '../../../src/net/wire/packet.js';
import { Reassembler } from '../../../src/net/wire/reassembler.js';
import type { Random } from '../virtio/fuzz.js';
import { FakeClock } from './fake-clock.js';
import { GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, readTcp, type SeenSegment } from './frames.js';
import { TcpPeer, type PeerOptions } from './tcp-peer.js';

export const mac = (hex: string): MacAddress => MacAddress.read(Buffer.from(hex, 'hex'), 0);

/** The other side of a connection, in memory. */
export class MemoryUser implements TcpUser {
  received: Buffer[] = [];
  limit = 200_000;
  pending = 0;
  connected = false;
  ended = false;
  closed = false;
  failure: TcpFailure | undefined;
  private chunk: Chunk | undefined;

  constructor(
    readonly connection: TcpConnection,
    private readonly pool: ChunkPool,
  ) {}

  get room(): number {
    return Math.max(0, this.limit - this.pending);
  }

  reserve(length: number): Chunk | undefined {
    this.chunk = length > 4096 ? this.pool.takeLarge() : this.pool.takeSmall();
    return this.chunk;
  }

  commit(chunk: Chunk, length: number): void {
    this.received.push(Buffer.from(chunk.bytes.subarray(chunk.end, chunk.end + length)));
    this.pool.give(chunk);
    this.pending += length;
  }

  /** Takes what has come, so that the window opens. */
  consume(): void {
    this.pending = 0;
    this.connection.windowOpened();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }

  write(bytes: Buffer): void {
    this.connection.sender.queue.append(bytes);
    this.connection.resume();
  }

  onConnected(): void {
    this.connected = true;
  }
  onEnd(): void {
    this.ended = true;
  }
  onAcknowledged(): void {
    // Everything is queued at once here.
  }
  autoConsume = true;
  onFlush(): void {
    if (this.autoConsume) this.consume();
  }
  onClosed(failure?: TcpFailure): void {
    this.closed = true;
    this.failure = failure;
  }
}

/** How bad the link is, in percent and milliseconds. */
export interface Weather {
  readonly loss: number;
  readonly duplicates: number;
  readonly delay: number;
  /** Up to so much more. */
  readonly jitter: number;
}

export const CALM: Weather = { loss: 0, duplicates: 0, delay: 1, jitter: 0 };

export class TcpBench {
  readonly clock = new FakeClock();
  readonly pool = new ChunkPool(64 << 20);
  readonly stack: TcpStack;
  readonly link: Link;
  readonly users: MemoryUser[] = [];
  peer: TcpPeer | undefined;
  /** Segments that reached the guest without a peer to take them. */
  readonly toGuest: SeenSegment[] = [];
  offloads: NetOffloads = NO_OFFLOADS;
  /** What is done with a SYN. */
  answer: 'accept' | 'refuse' | 'silent' = 'accept';
  abandoned = 0;
  /** False: the guest has no buffers. */
  hasRoom = true;
  segments = 0;

  private readonly packet = new Packet();
  private readonly segment = new Segment(this.packet);
  private readonly reassembler = new Reassembler(this.clock);

  constructor(
    private readonly random?: Random,
    private readonly weather: Weather = CALM,
    connections = 100,
    pending = 50,
  ) {
    this.link = new Link(() => this.stack.roomAgain());
    const ip = new IpOutput(this.link, mac(GATEWAY_MAC), 1500);
    let sequence = 0xffff_0000;
    const { pool } = this;
    this.stack = new TcpStack(
      new SegmentWriter(ip),
      new TimerQueue(this.clock),
      pool,
      {
        onSyn: (connection) => {
          if (this.answer === 'refuse') connection.refuse(true);
          if (this.answer === 'accept') this.accept(connection);
        },
        onAbandoned: () => this.abandoned++,
      },
      { connections, pending },
      () => (sequence = (sequence + 7919) | 0),
    );
    const port = {
      offloads: NO_OFFLOADS,
      receive: (frame: GuestFrame) => this.deliver(frame),
    };
    const offloads = (): NetOffloads => this.offloads;
    Object.defineProperty(port, 'offloads', { get: offloads });
    this.link.attach(port);
  }

  accept(connection: TcpConnection): MemoryUser {
    const user = new MemoryUser(connection, this.pool);
    this.users.push(user);
    connection.accept(user);
    return user;
  }

  /** Opens a connection to the guest. */
  connect(guestPort: number): MemoryUser {
    const connection = this.stack.open({
      guestAddress: IpAddress.of(GUEST),
      guestPort,
      remoteAddress: IpAddress.of(GATEWAY),
      remotePort: 40_000,
      mac: mac(GUEST_MAC),
    })!;
    const user = new MemoryUser(connection, this.pool);
    this.users.push(user);
    connection.connect(user);
    return user;
  }

  createPeer(options: Partial<PeerOptions> = {}): TcpPeer {
    const all = { sourcePort: 1000, port: 80, seq: 0xffff_ff00, scale: 4, ...options };
    this.peer = new TcpPeer(all, this.clock, (frame) => this.fly(() => this.input(frame)));
    return this.peer;
  }

  /** A frame from the guest, now. `partial`: its checksum is left to us. */
  input(frame: Buffer, partial = false): void {
    const meta = { ...plainMeta(), needsCsum: partial };
    if (!this.packet.load(new ArrayFrame(frame), meta)) return;
    if (!parseIpv4(this.packet, this.reassembler)) return;
    if (this.segment.parse()) this.stack.input(this.segment);
    this.stack.flush();
  }

  /** The guest has buffers again. */
  roomAgain(): void {
    this.hasRoom = true;
    this.link.roomAgain();
  }

  private deliver(frame: GuestFrame): boolean {
    if (!this.hasRoom) return false;
    this.segments++;
    const seen = readTcp(Buffer.from(joinFrame(frame)), frame.meta.needsCsum);
    this.fly(() => {
      if (this.peer !== undefined) this.peer.input(seen);
      else this.toGuest.push(seen);
    });
    return true;
  }

  private fly(arrive: () => void): void {
    const { random, weather } = this;
    const copies = random?.chance(weather.duplicates) === true ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (random?.chance(weather.loss) === true) continue;
      const jitter = weather.jitter > 0 ? (random?.below(weather.jitter) ?? 0) : 0;
      this.clock.after(weather.delay + jitter, arrive);
    }
  }
}
