/** virtio-net: headers, offloads, the control queue, frames to the guest. */
import { HEADER_BYTES } from '../../../src/devices/virtio/net/net-layout.js';
import { NetDevice } from '../../../src/devices/virtio/net/net.js';
import {
  GsoType,
  plainMeta,
  type FrameMeta,
  type FrameSource,
  type GuestFrame,
  type GuestPort,
  type NetBackend,
  type NetOffloads,
} from '../../../src/net/net-backend.js';
import type { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';
import { DeviceCase, HEALTH, type DeviceSpec } from './device-case.js';
import type { Piece } from './fuzz-ring.js';

const OFFLOADS: NetOffloads = { csum: true, tso4: true, tso6: true };
const PAIRS = 2;
const LONGEST = 65_550;

/** Looks at each frame as a network would, and now and then answers at once. */
class EchoBackend implements NetBackend {
  readonly mtu = 1500;
  readonly offloads = OFFLOADS;
  port!: GuestPort;
  frames = 0;
  answers = false;
  private readonly bytes = new Uint8Array(LONGEST);

  transmit(frame: FrameSource, meta: Readonly<FrameMeta>): void {
    const { length } = frame;
    this.frames++;
    must(length > 0 && length <= LONGEST, 'a frame has a length that frames have');
    frame.copy(0, this.bytes, 0, length);
    if (meta.gsoType === GsoType.None) must(length <= this.mtu + 18, 'no longer than the MTU');
    else must(meta.needsCsum && meta.gsoSize > 0, 'segmentation needs a checksum and a size');
    if (meta.needsCsum) {
      must(meta.csumStart + meta.csumOffset + 2 <= length, 'the checksum is in the frame');
    }
    if (this.answers) this.port.receive(guestFrame(this.bytes.slice(0, Math.min(length, 200)), {}));
  }

  flush(): void {
    // Nothing is collected.
  }
  attach(port: GuestPort): void {
    this.port = port;
  }
  onRoom(): void {
    // Nothing is kept.
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

function guestFrame(bytes: Uint8Array, meta: Partial<FrameMeta>): GuestFrame {
  const headerLength = Math.min(bytes.length, 54);
  return {
    header: bytes,
    headerLength,
    payload: bytes,
    payloadStart: headerLength,
    payloadLength: bytes.length - headerLength,
    meta: { ...plainMeta(), ...meta },
  };
}

class NetSpec implements DeviceSpec<NetDevice> {
  private time = 0;
  private readonly backends = [new EchoBackend(), new EchoBackend()];
  readonly device = new NetDevice(
    {
      mac: '52:54:00:12:34:56',
      mtu: 1500,
      queuePairs: PAIRS,
      offloads: OFFLOADS,
      tx: { bytes: { perSecond: 1e6, burst: 1e5 } },
      rx: { frames: { perSecond: 1000, burst: 100 } },
    },
    this.backends,
    () => this.time,
  );

  begin(): void {
    this.time += 1000;
    this.device.setLink(true);
    for (const backend of this.backends) backend.answers = false;
  }

  request(made: DeviceCase<NetDevice>, input: Input, queue: number): Piece[] {
    if (queue === 2 * PAIRS || (queue === 2 && input.chance(40))) {
      const ack = input.chance(8) ? [] : [made.writable(1)];
      return [made.readable(command(input)), ...ack];
    }
    if (queue % 2 === 0) {
      return Array.from({ length: 1 + input.below(3) }, () =>
        made.writable(input.chance(64) ? input.u8() : 1526),
      );
    }
    const header = made.readable(netHeader(input));
    const long = input.chance(24);
    const length = long ? input.u16() & 0x7fff : input.below(256);
    const data = input.take(Math.min(length, 64));
    const address = made.place(length);
    made.ram.write(address, data.subarray(0, length));
    return [header, { address, length, writable: false }];
  }

  host(made: DeviceCase<NetDevice>, input: Input): void {
    const { device } = made;
    const backend = this.backends[input.below(PAIRS)]!;
    switch (input.below(8)) {
      case 0:
        device.setLink(input.chance(128));
        break;
      case 1:
        device.announce();
        break;
      case 2:
        backend.answers = input.chance(128);
        break;
      case 3:
        this.time += input.u8();
        break;
      default: {
        const bytes = new Uint8Array(input.chance(64) ? 1 + input.below(1514) : 60);
        bytes.set(input.take(18).subarray(0, bytes.length));
        const { csum, tso4 } = backend.port.offloads;
        const gso = tso4 && input.chance(64);
        backend.port.receive(
          guestFrame(bytes, {
            needsCsum: csum && input.chance(128),
            csumStart: 34,
            csumOffset: 16,
            ...(gso ? { gsoType: GsoType.Tcp4, gsoSize: 1000, headerLength: 54 } : {}),
          }),
        );
      }
    }
  }

  works(made: DeviceCase<NetDevice>): void {
    this.begin();
    const [backend] = this.backends;
    const before = backend!.frames;
    const sent = made.ask(1, [{ address: HEALTH, length: HEADER_BYTES + 60, writable: false }]);
    must(sent.length === 1 && backend!.frames === before + 1, 'a frame is sent');
    made.rings[0]!.send([{ address: HEALTH, length: 1526, writable: true }]);
    made.notify(0);
    made.pump();
    backend!.port.receive(guestFrame(new Uint8Array(60).fill(0xff), {}));
    must(made.rings[0]!.take()[0] === HEADER_BYTES + 60, 'a frame is received');
  }
}

function netHeader(input: Input): Uint8Array {
  const header = new Uint8Array(input.chance(8) ? input.below(12) : 12);
  if (header.length < 12 || !input.chance(160)) return header;
  const view = new DataView(header.buffer);
  header[0] = input.below(4);
  header[1] = input.chance(32) ? input.u8() : input.pick([0, 1, 4, 0x81, 3, 5]);
  view.setUint16(2, input.chance(64) ? input.u16() : 54, true);
  view.setUint16(4, input.chance(64) ? input.u16() : 1000, true);
  view.setUint16(6, input.chance(64) ? input.u16() : 34, true);
  view.setUint16(8, input.chance(64) ? input.u16() : 16, true);
  return header;
}

function command(input: Input): Uint8Array {
  const kind = input.chance(16) ? input.u8() : input.below(6);
  const code = input.chance(16) ? input.u8() : input.below(kind === 0 ? 6 : 2);
  let body = input.take(input.below(12));
  if (kind === 1 && code === 0 && !input.chance(40)) {
    // Two tables of addresses, each with its count.
    const [unicast, multicast] = [input.below(70), input.below(70)];
    body = new Uint8Array(8 + 6 * (unicast + multicast) - (input.chance(32) ? 1 : 0));
    const view = new DataView(body.buffer);
    view.setUint32(0, input.chance(32) ? input.word() : unicast, true);
    const at = 4 + 6 * unicast;
    if (at + 4 <= body.length)
      view.setUint32(at, input.chance(32) ? input.word() : multicast, true);
  }
  return Uint8Array.from([kind, code, ...body]);
}

export const target: FuzzTarget = {
  name: 'net',
  maxBytes: 192,
  seeds: [
    Uint8Array.of(
      0,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
      0,
      60,
      255,
      255,
      255,
      255,
      255,
      255,
      82,
      84,
      0,
      18,
      52,
      86,
    ),
    Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 200, 1, 0, 0, 0, 0, 0, 0, 100, 1, 2, 3, 4),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0, 130, 0, 5, 0, 255, 255, 255, 255, 255, 255, 1, 2, 3),
    Uint8Array.of(0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0),
    Uint8Array.of(
      0,
      0,
      0,
      0,
      4,
      0,
      0,
      1,
      0,
      0,
      0,
      0,
      0,
      3,
      70,
      0,
      0,
      0,
      0,
      4,
      0,
      0,
      2,
      0,
      0,
      0,
      2,
      5,
      0,
    ),
    Uint8Array.of(0, 0, 0, 0, 4, 0, 0, 5, 0, 0, 0, 8, 130, 0, 0, 0, 0, 0, 0, 0),
  ],
  open: () => new DeviceCase(new NetSpec()),
};
