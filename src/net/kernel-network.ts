/**
 * A network whose frames the host's kernel moves, between a file and guest memory, with virtio-net's
 * header in front of each: a TAP device. The device fills batches with addresses, and a call of the
 * addon moves a whole batch.
 */
import type { NetBackend, NetOffloads } from './net-backend.js';

/** Frames of one batch. */
export const BATCH_FRAMES = 64;
/** Buffers of one batch: a long frame takes many. */
export const BATCH_BUFFERS = 256;
/** Bytes from which on a frame counts as bulk I/O, see `HugePages`. */
export const BULK_FRAME = 16_384;
/** Entries of `struct iovec` for one batch. */
const BATCH_SEGMENTS = 2048;
/** Words of one `struct iovec`. */
export const SEGMENT_WORDS = 4;
/** Distance of headers of frames that are sent. */
export const HEAD_STRIDE = 32;
/** Header, and the longest frame: a packet of 64 KiB behind an Ethernet header with a tag. */
const FRAME_BYTES = 12 + 65_535 + 18;

/** What a network says of a frame that was written: 0, or a negative errno. */
const FRAME_WORDS = 3;

/** Frames to send, see `struct vx_tap_frame` in native/tap.h. */
export class WriteBatch {
  readonly segments = new Uint32Array(BATCH_SEGMENTS * SEGMENT_WORDS);
  readonly frames = new Int32Array(BATCH_FRAMES * FRAME_WORDS);
  /** Headers, {@link HEAD_STRIDE} apart. */
  readonly heads = new Uint8Array(BATCH_FRAMES * HEAD_STRIDE);
  count = 0;
  private used = 0;

  clear(): void {
    this.count = 0;
    this.used = 0;
  }

  /** True when a frame of so many pieces has room, with its header. */
  hasRoom(pieces: number): boolean {
    return this.count < BATCH_FRAMES && this.used + pieces + 1 <= BATCH_SEGMENTS;
  }

  /** Word of `segments` where the next frame's pieces begin, behind the entry of its header. */
  get nextWord(): number {
    return (this.used + 1) * SEGMENT_WORDS;
  }

  /** Adds the frame whose pieces are at {@link nextWord}. */
  add(pieces: number): void {
    const at = this.count++ * FRAME_WORDS;
    this.frames[at] = this.used;
    this.frames[at + 1] = pieces + 1;
    this.frames[at + 2] = 0;
    this.used += pieces + 1;
  }

  /** Adds a frame that is not going to be sent. */
  addRefused(): void {
    const at = this.count++ * FRAME_WORDS;
    this.frames[at] = 0;
    this.frames[at + 1] = 0;
    this.frames[at + 2] = 0;
  }

  /** True for a frame that was not to be sent. */
  isRefused(i: number): boolean {
    return this.frames[i * FRAME_WORDS + 1] === 0;
  }

  /** 0 for a frame that was sent, or a negative errno. */
  result(i: number): number {
    return this.frames[i * FRAME_WORDS + 2]!;
  }
}

/** Buffers for frames, and the frames that were read, see `struct vx_tap_read` in native/tap.h. */
export class ReadBatch {
  readonly segments = new Uint32Array(BATCH_SEGMENTS * SEGMENT_WORDS);
  /** Guest addresses of the segments. */
  readonly addresses = new Float64Array(BATCH_SEGMENTS);
  /** First segment, segments and bytes of each buffer. */
  readonly buffers = new Uint32Array(BATCH_BUFFERS * 3);
  /** Bytes and buffers of each frame. */
  readonly frames = new Uint32Array(BATCH_FRAMES * 2);
  /** Holds the last frame if it is in no buffer: then there were too few. */
  readonly frame = new Uint8Array(FRAME_BYTES);
  count = 0;
  mergeable = false;
  /** Bytes of the last frame that was read: the next one may be like it. */
  expected = 0;
  private used = 0;

  clear(): void {
    this.count = 0;
    this.used = 0;
  }

  hasRoom(pieces: number): boolean {
    return this.count < BATCH_BUFFERS && this.used + pieces <= BATCH_SEGMENTS;
  }

  /** The next buffer's first segment. */
  get nextSegment(): number {
    return this.used;
  }

  /** Adds the buffer whose segments are at {@link nextSegment}. */
  add(pieces: number, bytes: number): void {
    const at = this.count++ * 3;
    this.buffers[at] = this.used;
    this.buffers[at + 1] = pieces;
    this.buffers[at + 2] = bytes;
    this.used += pieces;
  }

  bufferBytes(i: number): number {
    return this.buffers[3 * i + 2]!;
  }
}

/** The device's side of one pair of queues. */
export interface KernelPort {
  /** There are frames, or the network is gone. */
  readable(): void;
  /** Frames can be written again. */
  writable(): void;
}

/** One pair of queues of such a network. */
export interface KernelNetwork {
  /** For log lines. */
  readonly name: string;
  readonly offloads: NetOffloads;
  attach(port: KernelPort): void;
  /** Writes a batch; how many frames were dealt with before there was no room, or -EBADFD. */
  write(batch: WriteBatch): number;
  /** Reads up to `limit` frames; how many, or a negative errno. Without buffers at most one. */
  read(batch: ReadBatch, limit: number): number;
  /** Which calls of the port are wanted; none at first. */
  watch(readable: boolean, writable: boolean): void;
  /** What the driver takes from now on; of the whole network. */
  setOffloads(offloads: NetOffloads): void;
  /** How many pairs are in use: frames go to these; of the whole network. */
  usePairs(pairs: number): void;
  close(): Promise<void>;
}

/** What a pair of queues of a device can be connected to. */
export type AnyNetwork = NetBackend | KernelNetwork;

/** Tells the two kinds apart. */
export function isKernelNetwork(network: AnyNetwork): network is KernelNetwork {
  return 'usePairs' in network;
}
