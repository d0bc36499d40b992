/** virtio-vsock: packets of the guest, programs of the host, and what both may rely on. */
import { MAX_CONNECTIONS } from '../../../src/devices/virtio/vsock/connection-table.js';
import type {
  GuestPorts,
  StreamListener,
  VsockBackend,
} from '../../../src/devices/virtio/vsock/host-backend.js';
import { VsockDevice } from '../../../src/devices/virtio/vsock/vsock.js';
import {
  HEADER_BYTES,
  HOST_CID,
  HeaderField as F,
  Operation,
  VsockQueue,
} from '../../../src/devices/virtio/vsock/vsock-protocol.js';
import { FakeStream } from '../../unit/virtio/vsock/fake-stream.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DATA, DATA_BYTES, DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import type { Piece } from './fuzz-ring.js';

const CID = 3;
const GUEST_PORTS = [1, 2, 3] as const;
const HOST_PORTS = [7, 8, 2 ** 30, 2 ** 30 + 1] as const;
const ROOM = 512;
/** What a stream is given before it has taken what it was given before. */
const MOST_HELD = 262_144;

class Stream extends FakeStream {
  override write(bytes: Uint8Array): void {
    must(!this.ended, 'nothing is written behind the end');
    super.write(bytes);
    must(this.held <= MOST_HELD, 'no more than what a program takes');
  }
}

class Backend implements VsockBackend {
  guest!: GuestPorts;
  streams: Stream[] = [];

  open(guest: GuestPorts): Promise<void> {
    this.guest = guest;
    return Promise.resolve();
  }
  connect(_: number, listener: StreamListener): Stream {
    const stream = new Stream();
    stream.listener = listener;
    this.streams.push(stream);
    return stream;
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

class VsockSpec implements DeviceSpec<VsockDevice> {
  private readonly backend = new Backend();
  readonly device = new VsockDevice({ cid: CID, backend: this.backend });
  private opened = false;

  begin(made: DeviceCase<VsockDevice>): void {
    if (!this.opened) {
      this.opened = true;
      void made.device.open();
    }
    this.backend.streams = [];
  }

  request(made: DeviceCase<VsockDevice>, input: Input, queue: number): Piece[] {
    if (queue === VsockQueue.Event) return [made.writable(input.chance(32) ? input.below(8) : 8)];
    if (queue === VsockQueue.Receive) return this.buffers(made, input);
    const length = input.chance(100) ? input.u16() & 0x3ff : 0;
    const header = packet(input, length);
    const cut = input.chance(8) ? input.below(HEADER_BYTES) : HEADER_BYTES;
    const pieces = [made.readable(header.subarray(0, cut))];
    if (length > 0) pieces.push({ address: made.place(length), length, writable: false });
    return pieces;
  }

  /** Several at once: each is a chain. */
  private buffers(made: DeviceCase<VsockDevice>, input: Input): Piece[] {
    const ring = made.rings[VsockQueue.Receive]!;
    this.hear(made);
    const size = input.chance(32) ? input.u8() : ROOM;
    for (let i = input.below(8); i > 0; i--) {
      ring.send([{ address: made.place(size), length: size, writable: true }]);
    }
    return [made.writable(size)];
  }

  /** Packets that the guest has got have lengths that packets have. */
  private hear(made: DeviceCase<VsockDevice>): void {
    for (const length of made.rings[VsockQueue.Receive]!.take()) {
      must(length <= DATA_BYTES && (length === 0 || length >= HEADER_BYTES), 'a packet is whole');
    }
  }

  host(made: DeviceCase<VsockDevice>, input: Input): void {
    const { backend } = this;
    const { streams } = backend;
    const stream = streams[streams.length - 1 - input.below(4)];
    const action = input.u8();
    if (action < 60) {
      const opened = new Stream();
      opened.listener = backend.guest.connect(input.pick(GUEST_PORTS), opened);
      if (opened.listener !== undefined) streams.push(opened);
    } else if (stream !== undefined && !stream.destroyed) {
      const { listener } = stream;
      if (action < 110) stream.take();
      else if (action < 160) {
        if (!stream.paused) listener?.onData(new Uint8Array(1 + input.below(5000)));
      } else if (action < 200) listener?.onOpen();
      else if (action < 225) {
        if (!stream.paused) listener?.onEnd();
      } else {
        stream.destroyed = true;
        listener?.onClose(input.chance(128));
      }
    }
    must(made.device.connections <= MAX_CONNECTIONS, 'connections are bounded');
    made.wake();
  }

  finish(made: DeviceCase<VsockDevice>): void {
    for (const stream of this.backend.streams) {
      if (stream.destroyed) continue;
      stream.destroyed = true;
      stream.listener?.onClose(true);
    }
    made.wake();
  }

  works(made: DeviceCase<VsockDevice>): void {
    must(made.device.connections === 0, 'a reset ends all connections');
    this.backend.streams = [];
    const header = new Uint8Array(HEADER_BYTES);
    const view = new DataView(header.buffer);
    view.setUint32(F.SourceCid, CID, true);
    view.setUint32(F.DestinationCid, HOST_CID, true);
    view.setUint32(F.SourcePort, 50, true);
    view.setUint32(F.DestinationPort, 51, true);
    view.setUint16(F.Type, 1, true);
    view.setUint16(F.Operation, Operation.Request, true);
    made.ram.write(HEALTH, header);
    made.ask(VsockQueue.Transmit, [{ address: HEALTH, length: HEADER_BYTES, writable: false }]);
    const [stream] = this.backend.streams;
    must(stream !== undefined, 'a program of the guest connects');
    stream!.listener!.onOpen();
    made.wake();
    const used = made.ask(VsockQueue.Receive, [{ address: DATA, length: ROOM, writable: true }]);
    must(used.length === 1 && made.ram.get16(DATA + F.Operation) === 2, 'it is answered');
    stream!.destroyed = true;
    stream!.listener!.onClose(true);
    made.wake();
  }
}

function packet(input: Input, length: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setBigUint64(F.SourceCid, input.chance(8) ? input.long() : BigInt(CID), true);
  view.setBigUint64(F.DestinationCid, input.chance(8) ? input.long() : BigInt(HOST_CID), true);
  view.setUint32(F.SourcePort, input.chance(8) ? input.word() : input.pick(GUEST_PORTS), true);
  view.setUint32(F.DestinationPort, input.chance(8) ? input.word() : input.pick(HOST_PORTS), true);
  view.setUint32(F.Length, input.chance(8) ? input.word() : length, true);
  view.setUint16(F.Type, input.chance(8) ? input.u16() : 1, true);
  view.setUint16(F.Operation, input.chance(8) ? input.u16() : 1 + input.below(7), true);
  view.setUint32(F.Flags, input.chance(32) ? input.word() : input.below(4), true);
  view.setUint32(F.BufferAllocation, input.chance(64) ? input.word() : input.u16(), true);
  view.setUint32(F.ForwardCount, input.chance(64) ? input.word() : 0, true);
  return header;
}

/** A packet of {@link packet} that is right, with one of the operations. */
const says = (operation: number, ...rest: number[]): number[] => [
  ...[0, 1, 0, ...rest, 0, 0, 0, 0, 0, 0, 0, 0, 0, operation - 1, 0, 0, 0, 255, 255, 0, 0],
];

export const target: FuzzTarget = {
  name: 'vsock',
  maxBytes: 256,
  seeds: [
    Uint8Array.of(0, 0, 0, ...says(1, 0), 130, 0, 170, 0, 0, 0, 0, 7, 130, 0, 120, 255, 3),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 7, 130, 0, 10, 0, ...says(2, 0), 130, 0, 120, 100, 0),
    Uint8Array.of(0, 0, 0, ...says(1, 0), 130, 0, 170, ...says(5, 255, 100, 0), 130, 0, 70),
  ],
  open: () => new DeviceCase(new VsockSpec()),
};
