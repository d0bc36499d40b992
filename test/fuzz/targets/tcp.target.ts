/** The TCP state machine: segments near what is right, a host that writes and ends, time. */
import { ChunkPool } from '../../../src/net/chunk-pool.js';
import { IpOutput } from '../../../src/net/ip-output.js';
import { Link } from '../../../src/net/link.js';
import {
  ArrayFrame,
  joinFrame,
  plainMeta,
  type GuestFrame,
  type GuestPort,
  type NetOffloads,
} from '../../../src/net/net-backend.js';
import { SegmentWriter } from '../../../src/net/tcp/segment-writer.js';
import { Segment } from '../../../src/net/tcp/segment.js';
import type { TcpConnection } from '../../../src/net/tcp/tcp-connection.js';
import { TcpStack } from '../../../src/net/tcp/tcp-stack.js';
import { TimerQueue } from '../../../src/net/timers.js';
import { IpAddress } from '../../../src/net/wire/address.js';
import { parseIpv4 } from '../../../src/net/wire/ipv4.js';
import { Packet } from '../../../src/net/wire/packet.js';
import { Reassembler } from '../../../src/net/wire/reassembler.js';
import { GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, readTcp } from '../../unit/net/frames.js';
import { mac, MemoryUser } from '../../unit/net/tcp-bench.js';
import { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget, OpenTarget } from '../engine/target.js';
import { finish } from './frame-builder.js';
import { FuzzClock } from './fuzz-clock.js';

const MTU = 1500;
const MOST_STEPS = 32;
const MOST_CONNECTIONS = 8;
const MOST_PENDING = 4;
const PORTS = [1000, 1001, 1002] as const;
const REMOTE_PORT = 80;
const DAY_MS = 24 * 3_600_000;
const [FIN, SYN, RST, ACK] = [1, 2, 4, 16] as const;
const HEADERS = 54;
const POOL_BYTES = 4 << 20;

/** What the guest knows of a connection. */
interface Ends {
  seq: number;
  ack: number;
}

class TcpCase implements OpenTarget, GuestPort {
  offloads: NetOffloads = { csum: false, tso4: false, tso6: false };
  private readonly clock = new FuzzClock();
  private readonly pool = new ChunkPool(POOL_BYTES);
  private readonly link = new Link(() => this.stack.roomAgain());
  private readonly timers = new TimerQueue(this.clock);
  private sequence = 0;
  private readonly stack: TcpStack;
  private readonly packet = new Packet();
  private readonly segment = new Segment(this.packet);
  private readonly reassembler = new Reassembler(this.clock);
  private readonly frame = new ArrayFrame(new Uint8Array(0));
  private readonly template: Uint8Array;
  private users: MemoryUser[] = [];
  private readonly undecided = new Set<TcpConnection>();
  private readonly ends = new Map<number, Ends>();
  private hasRoom = true;
  private answer = 0;

  constructor() {
    const ip = new IpOutput(this.link, mac(GATEWAY_MAC), MTU);
    this.stack = new TcpStack(
      new SegmentWriter(ip),
      this.timers,
      this.pool,
      {
        onSyn: (connection) => {
          if (this.answer === 1) connection.refuse(true);
          else if (this.answer === 0) this.accept(connection);
          else this.undecided.add(connection);
        },
        onAbandoned: (connection) => this.undecided.delete(connection),
      },
      { connections: MOST_CONNECTIONS, pending: MOST_PENDING },
      () => (this.sequence = (this.sequence + 0x1001) | 0),
    );
    this.link.attach(this);
    const address = (text: string): number[] => text.split('.').map(Number);
    this.template = Uint8Array.from([
      ...Buffer.from(GATEWAY_MAC + GUEST_MAC + '0800', 'hex'),
      ...[0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0],
      ...address(GUEST),
      ...address(GATEWAY),
    ]);
  }

  receive(frame: GuestFrame): boolean {
    if (!this.hasRoom) return false;
    const bytes = Buffer.from(joinFrame(frame));
    const { gsoSize, needsCsum } = frame.meta;
    must(gsoSize > 0 || bytes.length <= MTU + 14, 'a frame is no longer than the MTU');
    const seen = readTcp(bytes, needsCsum);
    const ends = this.ends.get(seen.port);
    if (ends === undefined) return true;
    ends.ack = (seen.seq + seen.payload.length + (seen.flags & (SYN | FIN) ? 1 : 0)) | 0;
    if ((seen.flags & ACK) !== 0) ends.seq = seen.ack | 0;
    return true;
  }

  private accept(connection: TcpConnection): void {
    const user = new MemoryUser(connection, this.pool);
    this.users.push(user);
    connection.accept(user);
  }

  private decide(action: number): void {
    for (const connection of this.undecided) {
      this.undecided.delete(connection);
      if (action === 0) this.accept(connection);
      else connection.refuse(action === 1);
    }
  }

  run(bytes: Uint8Array): void {
    const input = new Input(bytes);
    const flags = input.u8();
    this.users = [];
    this.ends.clear();
    this.hasRoom = true;
    this.answer = flags % 8 < 6 ? 0 : (flags % 8) - 5;
    this.offloads = { csum: (flags & 8) !== 0, tso4: (flags & 24) === 24, tso6: false };
    this.sequence = (flags & 32) !== 0 ? -0x1005 : 0x1000;
    for (let i = 0; i < MOST_STEPS && !input.done; i++) {
      this.step(input);
      must(this.stack.size <= MOST_CONNECTIONS, 'connections are bounded');
      must(this.pool.inUse < 2 * POOL_BYTES, 'buffers are bounded');
    }
    // Whatever it was in the middle of: in the end it is gone, with all its buffers.
    this.hasRoom = true;
    this.link.roomAgain();
    this.decide(2);
    for (const user of this.users) if (!user.closed) user.connection.end();
    this.clock.advance(DAY_MS);
    must(this.stack.size === 0, 'connections end');
    must(this.pool.inUse === 0, 'buffers are given back');
    must(
      this.users.every(({ closed }) => closed),
      'users are told',
    );
    must(this.clock.pending <= 1, 'timers end');
  }

  private step(input: Input): void {
    const action = input.u8();
    if (action < 150) this.send(input, action);
    else if (action < 200) this.hostActs(input, action);
    else if (action < 225) this.clock.advance(input.chance(32) ? 50 * input.u16() : input.u8() * 2);
    else if (action < 232) this.hasRoom = false;
    else if (action < 240) {
      this.hasRoom = true;
      this.link.roomAgain();
    } else if (action < 250) this.connect(input);
    else if (action < 253) this.answer = action % 3;
    else this.decide(action % 3);
  }

  private hostActs(input: Input, action: number): void {
    const user = this.users[this.users.length - 1 - input.below(3)];
    if (user === undefined || user.closed) return;
    if (action < 175) {
      if (this.pool.inUse < POOL_BYTES) user.write(Buffer.alloc(1 + (input.u16() & 0x3fff), 7));
    } else if (action < 182) user.connection.end();
    else if (action < 186) {
      user.connection.abort();
      // Who aborts is not told.
      user.closed = true;
    } else if (action < 194) user.autoConsume = action < 190;
    else user.consume();
  }

  private connect(input: Input): void {
    const guestPort = input.pick(PORTS);
    this.ends.set(guestPort, this.ends.get(guestPort) ?? { seq: 1, ack: 0 });
    const connection = this.stack.open({
      guestAddress: IpAddress.of(GUEST),
      guestPort,
      remoteAddress: IpAddress.of(GATEWAY),
      remotePort: REMOTE_PORT,
      mac: mac(GUEST_MAC),
    });
    if (connection === undefined) return;
    const user = new MemoryUser(connection, this.pool);
    this.users.push(user);
    connection.connect(user);
  }

  private send(input: Input, action: number): void {
    const port = input.pick(PORTS);
    let ends = this.ends.get(port);
    if (ends === undefined) this.ends.set(port, (ends = { seq: (input.u8() - 128) | 0, ack: 0 }));
    const kind = input.u8();
    const near =
      kind < 200
        ? 0
        : kind < 220
          ? 1
          : kind < 235
            ? -1
            : kind < 245
              ? input.u16() - 0x8000
              : input.word();
    const nearAck = input.chance(40) ? (input.chance(64) ? input.word() : input.u8() - 128) : 0;
    const flags =
      action < 30
        ? SYN
        : action < 110
          ? ACK
          : action < 125
            ? ACK | FIN
            : action < 132
              ? RST | ACK
              : input.u8();
    const payload = input.chance(120) ? 1 + (input.u16() % 1460) : 0;
    const options =
      (flags & SYN) !== 0 && input.chance(160)
        ? input.take(input.below(10) * 4)
        : new Uint8Array(0);
    const optionBytes = options.length & ~3;
    const frame = new Uint8Array(HEADERS + optionBytes + payload);
    frame.set(this.template);
    const view = new DataView(frame.buffer);
    view.setUint16(34, port);
    view.setUint16(36, REMOTE_PORT);
    view.setUint32(38, (ends.seq + near) >>> 0);
    view.setUint32(42, (ends.ack + nearAck) >>> 0);
    view.setUint8(46, ((20 + optionBytes) / 4) << 4);
    view.setUint8(47, flags);
    view.setUint16(48, input.chance(64) ? input.u16() : 0xffff);
    frame.set(options.subarray(0, optionBytes), HEADERS);
    finish(frame);
    this.frame.set(frame, 0, frame.length);
    const meta = plainMeta();
    meta.needsCsum = input.chance(16);
    if (this.packet.load(this.frame, meta) && parseIpv4(this.packet, this.reassembler)) {
      if (this.segment.parse()) this.stack.input(this.segment);
    }
    this.stack.flush();
  }
}

const SYN_STEP = [0, 0, 128, 0, 0, 0, 200, 8, 2, 4, 5, 180, 1, 3, 3, 7, 0, 0];
const ACK_STEP = [50, 0, 0, 0, 0, 0, 0];
const DATA_STEP = [50, 0, 0, 0, 255, 100, 0, 0, 0];
const FIN_STEP = [120, 0, 0, 0, 0, 0, 0];
const WRITE = [160, 0, 255, 31];
const WAIT = [210, 0, 100];

export const target: FuzzTarget = {
  name: 'tcp',
  maxBytes: 256,
  seeds: [
    Uint8Array.of(0, ...SYN_STEP, ...ACK_STEP, ...DATA_STEP, ...WAIT, ...FIN_STEP),
    Uint8Array.of(
      0,
      ...SYN_STEP,
      ...ACK_STEP,
      ...WRITE,
      ...WAIT,
      ...ACK_STEP,
      ...WAIT,
      ...ACK_STEP,
    ),
    Uint8Array.of(
      24,
      ...SYN_STEP,
      ...ACK_STEP,
      ...WRITE,
      ...WRITE,
      ...ACK_STEP,
      178,
      0,
      ...ACK_STEP,
    ),
    Uint8Array.of(
      32,
      242,
      0,
      10,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      ...WRITE,
      ...ACK_STEP,
      178,
      0,
      ...FIN_STEP,
    ),
    Uint8Array.of(6, ...SYN_STEP, ...ACK_STEP),
    Uint8Array.of(7, ...SYN_STEP, ...WAIT, 251),
  ],
  dictionary: [SYN_STEP, ACK_STEP, DATA_STEP, FIN_STEP, WRITE, WAIT].map((step) =>
    Uint8Array.from(step),
  ),
  workLimit: 4_000_000,
  open: () => new TcpCase(),
};
