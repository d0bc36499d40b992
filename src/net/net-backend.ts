/**
 * What a network device talks to: frames from a guest go into a backend, the backend delivers frames
 * to the guest. One backend object is used in one thread, which has an event loop.
 *
 * Frames travel with what virtio-net's header says about them (virtio 1.2, 5.1.6): where both sides
 * agree, no checksum is computed over payload and TCP segments are up to 64 KiB long.
 */

/** `gso_type` of struct virtio_net_hdr (5.1.6). */
export enum GsoType {
  None = 0,
  Tcp4 = 1,
  Udp = 3,
  Tcp6 = 4,
}

/** What a frame leaves to its receiver; the fields of struct virtio_net_hdr in bytes. */
export interface FrameMeta {
  /** The transport checksum covers the pseudo-header only; the payload is as good as checked. */
  needsCsum: boolean;
  /** Offset of the first byte that the checksum covers. */
  csumStart: number;
  /** Offset of the checksum after `csumStart`. */
  csumOffset: number;
  gsoType: GsoType;
  /** Payload of each segment that a long frame stands for. */
  gsoSize: number;
  /** Bytes of all headers, for frames with a `gsoType`. */
  headerLength: number;
}

/** Which frames a side takes besides finished ones of at most the MTU. */
export interface NetOffloads {
  /** Frames with `needsCsum`. */
  readonly csum: boolean;
  /** TCP over IPv4 with up to 65535 bytes of IP packet; needs `csum`. */
  readonly tso4: boolean;
  /** The same over IPv6. */
  readonly tso6: boolean;
  /** Long TCP frames with the CWR bit of congestion notification; needs one of the two. */
  readonly ecn?: boolean;
  /** UDP datagrams that are cut into fragments later; needs `csum`. */
  readonly ufo?: boolean;
}

/** No offload: what a driver that negotiates nothing takes. */
export const NO_OFFLOADS: NetOffloads = { csum: false, tso4: false, tso6: false };

/** Bytes of a frame from the guest, wherever they are. Valid during the call that hands it over. */
export interface FrameSource {
  /** Bytes from the Ethernet header on. */
  readonly length: number;
  /**
   * Copies `length` bytes from offset `from`. The guest may change them meanwhile, so whoever
   * decides on them copies them first. The range has to be inside the frame.
   */
  copy(from: number, target: Uint8Array, at: number, length: number): void;
  /**
   * Writes where the bytes are as `struct iovec`s, into words [at, end) of `target`; returns how many,
   * 0 when there is no room for all. They are the guest's and stay valid until the end of the call of
   * {@link NetBackend.flush} that follows. Missing: the bytes have no address.
   */
  iovecs?(target: Uint32Array, at: number, end: number): number;
}

/** A frame to the guest: headers, then payload that lies elsewhere. Valid during the call. */
export interface GuestFrame {
  readonly header: Uint8Array;
  readonly headerLength: number;
  readonly payload: Uint8Array;
  readonly payloadStart: number;
  readonly payloadLength: number;
  readonly meta: Readonly<FrameMeta>;
}

/** The device's side, as a backend sees it. */
export interface GuestPort {
  /** What the driver takes. May change when the device is reset. */
  readonly offloads: NetOffloads;
  /**
   * Delivers a frame; false when the guest has no buffer for it now, or it cannot have one before a
   * frame of its own has been transmitted. The backend then keeps back what it can, within bounds,
   * until {@link NetBackend.onRoom}.
   */
  receive(frame: GuestFrame): boolean;
  /** The backend takes frames again after it was {@link NetBackend.busy}. */
  resumeTransmit?(): void;
}

/** A network that a device is connected to. */
export interface NetBackend {
  /** Which frames {@link transmit} takes; fixed. */
  readonly offloads: NetOffloads;
  /** The longest packet inside a frame, in bytes, not counting segmentation offload; fixed. */
  readonly mtu: number;
  /** True: frames are to wait in the guest's queue until {@link GuestPort.resumeTransmit}. */
  readonly busy?: boolean;
  /** Takes a frame from the guest. Never throws on what is in it. */
  transmit(frame: FrameSource, meta: Readonly<FrameMeta>): void;
  /** The end of a batch of {@link transmit} calls: what was collected goes on now. */
  flush(): void;
  /** Connects the device, or the device's next life after a reset of the machine. */
  attach(port: GuestPort): void;
  /** The guest has buffers again after a {@link GuestPort.receive} that said no. */
  onRoom(): void;
  /** Ends everything; nothing is delivered afterwards. */
  close(): Promise<void>;
}

/** Meta of a finished frame. */
export function plainMeta(): FrameMeta {
  return {
    needsCsum: false,
    csumStart: 0,
    csumOffset: 0,
    gsoType: GsoType.None,
    gsoSize: 0,
    headerLength: 0,
  };
}

/** A frame that lies in one array; can be pointed at another one. */
export class ArrayFrame implements FrameSource {
  constructor(
    public bytes: Uint8Array,
    public start = 0,
    public length: number = bytes.length - start,
  ) {}

  set(bytes: Uint8Array, start: number, length: number): void {
    this.bytes = bytes;
    this.start = start;
    this.length = length;
  }

  copy(from: number, target: Uint8Array, at: number, length: number): void {
    const start = this.start + from;
    target.set(this.bytes.subarray(start, start + length), at);
  }
}

/** The whole of a frame to the guest, for devices without scattered buffers and for captures. */
export function joinFrame(frame: GuestFrame): Uint8Array {
  const { header, headerLength, payload, payloadStart, payloadLength } = frame;
  const bytes = new Uint8Array(headerLength + payloadLength);
  bytes.set(header.subarray(0, headerLength));
  bytes.set(payload.subarray(payloadStart, payloadStart + payloadLength), headerLength);
  return bytes;
}
