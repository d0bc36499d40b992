/** A user network with a guest of frames: what is sent and what comes, taken apart. */
import {
  ArrayFrame,
  joinFrame,
  NO_OFFLOADS,
  plainMeta,
  type FrameMeta,
  type GuestFrame,
  type GuestPort,
  type NetOffloads,
} from '../../../src/net/net-backend.js';
import type { NetEvent } from '../../../src/net/events.js';
import type { UserNetOptions } from '../../../src/net/options.js';
import { UserNetwork, type UserNetSurroundings } from '../../../src/net/user-network.js';
import { SYSTEM_CLOCK } from '../../../src/net/timers.js';
import {
  checksum,
  ethernet,
  ipv4,
  ipv4Frame,
  GATEWAY,
  GATEWAY_MAC,
  GUEST,
  GUEST_MAC,
  readIpv4,
  readTcp,
  udpFrame,
  type SeenPacket,
} from './frames.js';
import { TcpPeer, type PeerOptions } from './tcp-peer.js';

export class NetworkBench implements GuestPort {
  readonly network: UserNetwork;
  readonly events: NetEvent[] = [];
  offloads: NetOffloads = NO_OFFLOADS;
  frames: Buffer[] = [];
  hasRoom = true;
  /** Called with each frame to the guest that no peer takes. */
  onFrame: (() => void) | undefined;
  private readonly peers = new Map<number, TcpPeer>();
  private readonly frame = new ArrayFrame(new Uint8Array(0), 0, 0);
  private readonly meta = plainMeta();

  constructor(options: Partial<UserNetOptions> = {}, surroundings: UserNetSurroundings = {}) {
    this.network = new UserNetwork(
      { kind: 'user', ...options },
      {
        hostsFile: '/dev/null',
        onEvent: (event) => this.events.push(event),
        ...surroundings,
      },
    );
    this.network.attach(this);
    this.frames = [];
  }

  receive(frame: GuestFrame): boolean {
    if (!this.hasRoom) return false;
    const bytes = Buffer.from(joinFrame(frame));
    const isTcp = bytes.readUInt16BE(12) === 0x0800 && bytes[23] === 6;
    const peer = isTcp ? this.peers.get(bytes.readUInt16BE(36)) : undefined;
    if (peer !== undefined) {
      const seen = readTcp(bytes, frame.meta.needsCsum);
      // As from a ring: never within the call that delivers.
      setImmediate(() => peer.input(seen));
    } else {
      this.frames.push(bytes);
      this.onFrame?.();
    }
    return true;
  }

  send(frame: Buffer, meta?: FrameMeta): void {
    this.frame.set(frame, 0, frame.length);
    this.network.transmit(this.frame, meta ?? this.meta);
    this.network.flush();
  }

  /** A guest's end of TCP connections. */
  peer(options: PeerOptions): TcpPeer {
    const peer = new TcpPeer(options, SYSTEM_CLOCK, (frame) => this.send(frame));
    this.peers.set(options.sourcePort, peer);
    return peer;
  }

  /** Waits for the next frame that `wanted` takes, and takes it away. */
  async next(wanted: (frame: Buffer) => boolean = () => true): Promise<Buffer> {
    await until(() => this.frames.some(wanted), 'a frame');
    const i = this.frames.findIndex(wanted);
    return this.frames.splice(i, 1)[0]!;
  }

  /** The next IPv4 packet of a protocol. */
  async packet(protocol: number): Promise<SeenPacket> {
    const isOne = (frame: Buffer): boolean =>
      frame.readUInt16BE(12) === 0x0800 && frame[23] === protocol;
    return readIpv4(await this.next(isOne));
  }

  /** Announces the guest, as it does when it is configured. */
  announce(): void {
    this.send(arp(1, GUEST, GUEST_MAC, GUEST));
  }

  /** Asks the name server. */
  async lookup(name: string, type = 1, id = 77): Promise<DnsAnswer> {
    this.send(udpFrame(5000, 53, dnsQuery(name, type, id)));
    const { body } = await this.packet(17);
    return readAnswer(body.subarray(8));
  }
}

export async function until(condition: () => boolean, what = 'it'): Promise<void> {
  const end = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited too long for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export function arp(operation: number, sender: string, mac: string, target: string): Buffer {
  const body = Buffer.alloc(28);
  body.write('0001080006040000', 'hex');
  body.writeUInt16BE(operation, 6);
  body.write(mac, 8, 'hex');
  ipv4(sender).copy(body, 14);
  ipv4(target).copy(body, 24);
  return ethernet(0x0806, body, GUEST_MAC, 'ffffffffffff');
}

export function ping(destination = GATEWAY, size = 56, fields = {}): Buffer {
  const bytes = Buffer.alloc(8 + size, 0x5a);
  bytes.writeUInt32BE(0x0800_0000, 0);
  bytes.writeUInt32BE(0x1234_0001, 4);
  bytes.writeUInt16BE(checksum(bytes), 2);
  return ipv4Frame(1, bytes, { destination, ...fields });
}

export function dnsName(name: string): Buffer {
  const labels = name.split('.').map((label) => {
    return Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]);
  });
  return Buffer.concat([...labels, Buffer.from([0])]);
}

export function dnsQuery(name: string, type: number, id: number): Buffer {
  const header = Buffer.from('000001000001000000000000', 'hex');
  header.writeUInt16BE(id, 0);
  const tail = Buffer.from([type >> 8, type & 255, 0, 1]);
  return Buffer.concat([header, dnsName(name), tail]);
}

export interface DnsAnswer {
  readonly id: number;
  readonly code: number;
  readonly answers: number;
  readonly bytes: Buffer;
  /** Data of the last record of the answer. */
  readonly last: string;
}

export function readAnswer(bytes: Buffer): DnsAnswer {
  return {
    id: bytes.readUInt16BE(0),
    code: bytes[3]! & 15,
    answers: bytes.readUInt16BE(6),
    bytes,
    last: [...bytes.subarray(-4)].join('.'),
  };
}

export { GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC };
