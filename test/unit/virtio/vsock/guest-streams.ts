/** A guest that keeps many streams busy at once: sends, receives and checks, with credit both ways. */
import {
  Operation as Op,
  Shutdown,
  VsockQueue,
} from '../../../../src/devices/virtio/vsock/vsock-protocol.js';
import type { Packet, VsockBench } from './vsock-bench.js';

/** Room of the guest's sockets, as Linux has it. */
const ALLOCATION = 262144;
const PAYLOAD = 65536;

/** Bytes that differ from stream to stream and from place to place. */
export class Pattern {
  private static readonly LENGTH = 65521;
  private static readonly bytes = Buffer.from(
    Uint8Array.from({ length: Pattern.LENGTH + 2 * PAYLOAD }, (_, i) => {
      const at = i % Pattern.LENGTH;
      return (at * 167 + (at >>> 8) * 13) & 0xff;
    }),
  );

  constructor(private readonly seed: number) {}

  slice(offset: number, length: number): Buffer {
    const at = (offset + this.seed * 4099) % Pattern.LENGTH;
    return Pattern.bytes.subarray(at, at + length);
  }

  /** @throws Error unless the bytes are those at this place of the stream */
  check(offset: number, bytes: Buffer): void {
    for (let done = 0; done < bytes.length; done += PAYLOAD) {
      const part = bytes.subarray(done, done + PAYLOAD);
      if (!this.slice(offset + done, part.length).equals(part)) {
        throw new Error(`stream ${this.seed}: other bytes at ${offset + done}`);
      }
    }
  }
}

interface Stream {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly out: Pattern;
  readonly in: Pattern;
  sent: number;
  received: number;
  told: number;
  hostAllocation: number;
  hostForwarded: number;
  over: boolean;
  ended: boolean;
}

/** The guest. Host-made streams: pattern 2n from the guest, 2n+1 from the host, n the guest's port. */
export class GuestStreams {
  readonly streams = new Map<number, Stream>();
  finished = 0;

  constructor(
    private readonly bench: VsockBench,
    private readonly bytes: number,
  ) {}

  /** One round: takes what has come, sends what may be sent. True when anything happened. */
  poll(): boolean {
    const { bench } = this;
    const packets = bench.receive();
    for (const packet of packets) this.take(packet);
    let active = packets.length > 0;
    for (let i = 0; i < 4; i++) active = this.sendSome() || active;
    return active;
  }

  private say(stream: Stream, op: Op, data?: Buffer, flags = 0): void {
    stream.told = stream.received;
    const { hostPort, guestPort, received } = stream;
    const credit = { allocation: ALLOCATION, forwarded: received };
    const packet = { op, hostPort, guestPort, flags, ...credit };
    this.bench.queueSend(data === undefined ? packet : { ...packet, data });
    this.bench.notify(VsockQueue.Transmit);
    this.bench.pump();
    this.bench.rings[VsockQueue.Transmit]!.take();
  }

  private take(packet: Packet): void {
    const { hostPort, guestPort, op, data } = packet;
    if (op === Op.Request) {
      const made = { out: new Pattern(2 * guestPort), in: new Pattern(2 * guestPort + 1) };
      const counts = { sent: 0, received: 0, told: 0, over: false, ended: false };
      const host = { hostAllocation: packet.allocation, hostForwarded: packet.forwarded };
      const stream = { hostPort, guestPort, ...made, ...counts, ...host };
      this.streams.set(guestPort, stream);
      this.say(stream, Op.Response);
      return;
    }
    const stream = this.streams.get(guestPort);
    if (stream === undefined) throw new Error(`packet ${op} for no stream`);
    stream.hostAllocation = packet.allocation;
    stream.hostForwarded = packet.forwarded;
    if (op === Op.ReadWrite) {
      stream.in.check(stream.received, data);
      stream.received += data.length;
      if (stream.received - stream.told > ALLOCATION) throw new Error('V-2: beyond the credit');
      if (stream.received - stream.told > ALLOCATION / 2) this.say(stream, Op.CreditUpdate);
    } else if (op === Op.CreditRequest) {
      this.say(stream, Op.CreditUpdate);
    } else if (op === Op.Shutdown) {
      stream.ended = true;
    } else if (op === Op.Reset) {
      if (stream.received !== this.bytes || stream.sent !== this.bytes) {
        throw new Error(`stream ${guestPort} ended after ${stream.received} and ${stream.sent}`);
      }
      this.streams.delete(guestPort);
      this.finished++;
    }
  }

  private sendSome(): boolean {
    let active = false;
    for (const stream of this.streams.values()) {
      if (stream.over) continue;
      const credit = stream.hostAllocation - (stream.sent - stream.hostForwarded);
      const length = Math.min(credit, this.bytes - stream.sent, PAYLOAD);
      if (length > 0) {
        const data = stream.out.slice(stream.sent, length);
        stream.sent += length;
        this.say(stream, Op.ReadWrite, data);
        active = true;
      } else if (stream.sent === this.bytes && stream.received === this.bytes && stream.ended) {
        stream.over = true;
        this.say(stream, Op.Shutdown, undefined, Shutdown.Both);
        active = true;
      }
    }
    return active;
  }
}
