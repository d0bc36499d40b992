/** A network device with a driver that knows its queues, and a backend that keeps what it gets. */
import {
  plainMeta,
  type FrameMeta,
  type FrameSource,
  type GuestFrame,
  type GuestPort,
  type NetBackend,
  type NetOffloads,
} from '../../../src/net/net-backend.js';
import type { AnyNetwork } from '../../../src/net/kernel-network.js';
import { HEADER_BYTES, NetFeature } from '../../../src/devices/virtio/net/net-layout.js';
import { NetDevice } from '../../../src/devices/virtio/net/net.js';
import type { NetDeviceOptions } from '../../../src/devices/virtio/net/net-options.js';
import type { FakeRam } from './fake-ram.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';
import type { Buffer as Piece } from './ring-driver.js';

export const MAC = '52:54:00:12:34:56';
export const MAC_BYTES = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
export const OFFLOADS: NetOffloads = { csum: true, tso4: true, tso6: true };
export const CONTROL = [NetFeature.ControlQueue, NetFeature.ControlRx, NetFeature.ControlVlan];
export const HEADER_AT = 0x60000;
export const FRAME_AT = 0x61000;
const [RX, TX] = [0, 1] as const;

export interface Sent {
  readonly bytes: number[];
  readonly meta: FrameMeta;
}

const zero = (): number => 0;

export class FakeBackend implements NetBackend {
  readonly mtu = 1500;
  readonly sent: Sent[] = [];
  flushes = 0;
  rooms = 0;
  closed = false;
  port!: GuestPort;
  /** Called for each frame, while the device sends it. */
  onFrame: ((backend: FakeBackend) => void) | undefined;

  constructor(readonly offloads = OFFLOADS) {}

  transmit(frame: FrameSource, meta: Readonly<FrameMeta>): void {
    const bytes = new Uint8Array(frame.length);
    frame.copy(0, bytes, 0, frame.length);
    this.sent.push({ bytes: [...bytes], meta: { ...meta } });
    this.onFrame?.(this);
  }

  flush(): void {
    this.flushes++;
  }

  attach(port: GuestPort): void {
    this.port = port;
  }

  onRoom(): void {
    this.rooms++;
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

/** A frame to the guest: `header` bytes and then `payload` bytes. */
export function frame(
  header: readonly number[],
  payload: readonly number[] = [],
  meta: Partial<FrameMeta> = {},
): GuestFrame {
  return {
    header: Uint8Array.from([...header, 0xee]),
    headerLength: header.length,
    payload: Uint8Array.from([0xdd, ...payload]),
    payloadStart: 1,
    payloadLength: payload.length,
    meta: { ...plainMeta(), ...meta },
  };
}

/** An Ethernet frame of zeros from somewhere to `to`, and its length. */
export function ethernet(to: readonly number[], length = 60): number[] {
  return [...to, ...Array.from({ length: length - to.length }, (_, i) => i % 251)];
}

/** What a bench is made of, where it is not the usual. */
export interface NetBenchParts {
  readonly networks: readonly AnyNetwork[];
  readonly ram?: FakeRam;
  readonly now?: () => number;
}

export class NetBench extends MmioBench<NetDevice> {
  readonly backends: FakeBackend[];

  constructor(options: Partial<NetDeviceOptions> = {}, parts?: NetBenchParts) {
    const { queuePairs = 1, offloads = OFFLOADS } = options;
    const backends = Array.from({ length: queuePairs }, () => new FakeBackend(offloads));
    const networks = parts?.networks ?? backends;
    const device = new NetDevice({ mac: MAC, offloads, ...options }, networks, parts?.now ?? zero);
    super(
      device,
      { processLater: (queue, milliseconds) => this.later.push([queue, milliseconds]) },
      parts?.ram,
    );
    this.backends = backends;
  }

  readonly later: [queue: number, milliseconds: number][] = [];

  get backend(): FakeBackend {
    return this.backends[0]!;
  }

  up(...features: number[]): this {
    return this.start([...RING_BITS, ...features]);
  }

  /** Sends a frame with a header, each byte of the header given. */
  send(bytes: readonly number[], header: readonly number[] = [], queue: number = TX): void {
    const whole = [...header, ...Array.from({ length: HEADER_BYTES - header.length }, () => 0)];
    this.ram.write(HEADER_AT, whole);
    this.ram.write(FRAME_AT, bytes);
    this.rings[queue]!.send(
      { address: HEADER_AT, length: HEADER_BYTES },
      { address: FRAME_AT, length: bytes.length },
    );
    this.notify(queue);
  }

  /** Gives the device buffers to receive into. */
  buffers(sizes: readonly number[], queue: number = RX): void {
    sizes.forEach((length, i) => {
      const piece: Piece = { address: 0x40000 + 0x1000 * i, length, writable: true };
      this.rings[queue]!.send(piece);
    });
    this.notify(queue);
  }

  /** What the driver finds in the i-th buffer. */
  received(i: number, length: number): number[] {
    return [...this.ram.read(0x40000 + 0x1000 * i, length)];
  }

  /** Runs a control command; the device's answer, or undefined when it wrote none. */
  command(bytes: readonly number[], queue = 2, room = 1): number | undefined {
    this.ram.write(0x70000, bytes);
    this.ram.set(0x71000, 1, 0x55);
    const answer = { address: 0x71000, length: room, writable: true };
    const ring = this.rings[queue]!;
    const pieces = [{ address: 0x70000, length: bytes.length }, ...(room > 0 ? [answer] : [])];
    ring.send(...pieces.filter(({ length }) => length > 0));
    this.notify(queue);
    const [used] = ring.take();
    return used?.length === 1 ? this.ram.get(0x71000, 1) : undefined;
  }
}
