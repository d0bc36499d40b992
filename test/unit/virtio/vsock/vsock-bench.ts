/** A socket device with a driver, and programs of the host that a test plays. */
import type {
  GuestPorts,
  StreamListener,
  VsockBackend,
} from '../../../../src/devices/virtio/vsock/host-backend.js';
import { VsockDevice } from '../../../../src/devices/virtio/vsock/vsock.js';
import {
  HEADER_BYTES,
  HOST_CID,
  HeaderField,
  Operation,
  SocketType,
  VsockQueue,
} from '../../../../src/devices/virtio/vsock/vsock-protocol.js';
import { FakeRam, HIGH_RAM } from '../fake-ram.js';
import { MmioBench, RING_BITS } from '../mmio-bench.js';
import { FakeStream } from './fake-stream.js';

export const CID = 3;
/** Receive buffers are in the second region of RAM, one for each descriptor. */
const RECEIVE_BYTES = 4096;
/** Packets of the guest: so many places, each as large as a packet may be. */
const SEND_AT = 0x40000;
const SEND_BYTES = 0x10000 + HEADER_BYTES;
const SEND_PLACES = 11;

/** A packet as tests write and read it. */
export interface Packet {
  readonly op: number;
  readonly hostPort: number;
  readonly guestPort: number;
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly allocation: number;
  readonly forwarded: number;
  readonly from: bigint;
  readonly to: bigint;
  readonly data: Buffer;
}

/** Programs of the host. */
export class FakeBackend implements VsockBackend {
  guest!: GuestPorts;
  closed = false;
  /** Connections that the guest has asked for, the last one last. */
  readonly asked: { port: number; stream: FakeStream }[] = [];

  open(guest: GuestPorts): Promise<void> {
    this.guest = guest;
    return Promise.resolve();
  }
  connect(port: number, listener: StreamListener): FakeStream {
    const stream = new FakeStream();
    stream.listener = listener;
    this.asked.push({ port, stream });
    return stream;
  }
  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

export class VsockBench extends MmioBench<VsockDevice> {
  readonly backend: FakeBackend;
  /** Room that the guest claims to have in packets of {@link send}. */
  allocation = 65536;
  private readonly kicked: Set<number>;
  private sendPlace = 0;

  constructor(device?: VsockDevice, ram = new FakeRam()) {
    const backend = new FakeBackend();
    const kicked = new Set<number>();
    const made = device ?? new VsockDevice({ cid: CID, backend });
    super(made, { kick: (queue) => kicked.add(queue) }, ram);
    this.backend = backend;
    this.kicked = kicked;
    void made.open();
  }

  /** A driver that has started, with so many receive buffers. */
  static started(buffers = 128): VsockBench {
    return new VsockBench().up(buffers);
  }

  up(buffers = 128): this {
    this.start(RING_BITS);
    for (const ring of this.rings) Object.assign(ring, { nextDescriptor: 0 });
    this.post(buffers);
    this.pump();
    return this;
  }

  /** Makes receive buffers available. */
  post(count: number, size = RECEIVE_BYTES): void {
    const ring = this.rings[VsockQueue.Receive]!;
    for (let i = 0; i < count; i++) {
      const place = (ring as unknown as { nextDescriptor: number }).nextDescriptor % ring.size;
      const address = HIGH_RAM + place * RECEIVE_BYTES;
      ring.send({ address, length: size, writable: true });
    }
    this.notify(VsockQueue.Receive);
  }

  /** The I/O worker: serves what was kicked until there is nothing to do. */
  pump(): void {
    for (const queue of this.kicked) {
      this.kicked.delete(queue);
      while (this.core.serve(queue));
    }
  }

  /** Puts a packet into the transmit queue, in a chain of one descriptor, and serves it. */
  send(packet: Partial<Packet>): void {
    this.queueSend(packet);
    this.notify(VsockQueue.Transmit);
    this.pump();
  }

  queueSend(packet: Partial<Packet>, cut = 0): void {
    const data = packet.data ?? Buffer.alloc(0);
    const at = SEND_AT + SEND_BYTES * (this.sendPlace++ % SEND_PLACES);
    const header = encode({ allocation: this.allocation, length: data.length, ...packet });
    this.ram.write(at, header);
    this.ram.write(at + HEADER_BYTES, data);
    const length = HEADER_BYTES + data.length - cut;
    this.rings[VsockQueue.Transmit]!.send({ address: at, length });
  }

  /** Packets that the driver has received; their buffers are posted again unless told otherwise. */
  receive(postAgain = true): Packet[] {
    const ring = this.rings[VsockQueue.Receive]!;
    const packets = ring.take().map(({ id, length }) => {
      const bytes = this.ram.read(HIGH_RAM + id * RECEIVE_BYTES, length);
      return decode(Buffer.from(bytes.buffer, 0, length));
    });
    if (postAgain && packets.length > 0) {
      this.post(packets.length);
      this.pump();
    }
    return packets;
  }

  /** Everything, over as many rounds as it takes. */
  receiveAll(): Packet[] {
    const all: Packet[] = [];
    for (;;) {
      const some = this.receive();
      if (some.length === 0) return all;
      all.push(...some);
    }
  }

  /** A program of the guest connects to one of the host, which accepts. */
  connectOut(guestPort = 1000, hostPort = 52): FakeStream {
    this.send({ op: Operation.Request, guestPort, hostPort });
    const { stream } = this.backend.asked.at(-1)!;
    stream.listener!.onOpen();
    this.pump();
    const answers = this.receiveAll();
    expect(answers).toMatchObject([{ op: Operation.Response, guestPort, hostPort }]);
    return stream;
  }

  /** A program of the host connects to one of the guest, which accepts. */
  connectIn(guestPort = 80): { stream: FakeStream; hostPort: number } {
    const stream = new FakeStream();
    stream.listener = this.backend.guest.connect(guestPort, stream);
    this.pump();
    const [request] = this.receiveAll();
    expect(request).toMatchObject({ op: Operation.Request, guestPort });
    const { hostPort } = request!;
    this.send({ op: Operation.Response, guestPort, hostPort });
    return { stream, hostPort };
  }
}

export function encode(packet: Partial<Packet>): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  const put = (field: HeaderField, value: number): void => void bytes.writeUInt32LE(value, field);
  bytes.writeBigUInt64LE(packet.from ?? BigInt(CID), HeaderField.SourceCid);
  bytes.writeBigUInt64LE(packet.to ?? BigInt(HOST_CID), HeaderField.DestinationCid);
  put(HeaderField.SourcePort, packet.guestPort ?? 0);
  put(HeaderField.DestinationPort, packet.hostPort ?? 0);
  put(HeaderField.Length, packet.length ?? 0);
  bytes.writeUInt16LE(packet.type ?? SocketType.Stream, HeaderField.Type);
  bytes.writeUInt16LE(packet.op ?? 0, HeaderField.Operation);
  put(HeaderField.Flags, packet.flags ?? 0);
  put(HeaderField.BufferAllocation, packet.allocation ?? 0);
  put(HeaderField.ForwardCount, packet.forwarded ?? 0);
  return bytes;
}

/** A packet to the guest. */
export function decode(bytes: Buffer): Packet {
  const get = (field: HeaderField): number => bytes.readUInt32LE(field);
  return {
    op: bytes.readUInt16LE(HeaderField.Operation),
    hostPort: get(HeaderField.SourcePort),
    guestPort: get(HeaderField.DestinationPort),
    length: get(HeaderField.Length),
    type: bytes.readUInt16LE(HeaderField.Type),
    flags: get(HeaderField.Flags),
    allocation: get(HeaderField.BufferAllocation),
    forwarded: get(HeaderField.ForwardCount),
    from: bytes.readBigUInt64LE(HeaderField.SourceCid),
    to: bytes.readBigUInt64LE(HeaderField.DestinationCid),
    data: bytes.subarray(HEADER_BYTES),
  };
}
