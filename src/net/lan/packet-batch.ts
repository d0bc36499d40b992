/**
 * Frames that are on their way to other members: a header of ours, and pieces that lie in guest memory
 * until the batch has been sent. Laid out as `struct vx_packet_batch` (native/packet.h).
 */
import { native } from '../../kvm/native.js';
import type { FrameMeta, FrameSource } from '../net-backend.js';
import { LONGEST_FRAME, VNET_HEADER_BYTES, writeVnetHeader } from '../vnet-header.js';

export const BATCH_PACKETS = 64;
const IOVECS = 2048;
/** Offsets in 32-bit words. */
const PACKETS_AT = (BATCH_PACKETS * VNET_HEADER_BYTES) / 4;
const PACKET_WORDS = 4;
const IOVECS_AT = PACKETS_AT + BATCH_PACKETS * PACKET_WORDS;
const IOVEC_WORDS = 4;
const STAGED_AT = 4 * (IOVECS_AT + IOVECS * IOVEC_WORDS);
/** For frames that do not lie in pieces of memory with an address. */
const STAGED_BYTES = 128 << 10;

export class PacketBatch {
  readonly bytes = new Uint8Array(STAGED_AT + STAGED_BYTES);
  count = 0;
  private readonly words = new Uint32Array(this.bytes.buffer);
  private iovecs = 0;
  private staged = 0;

  /**
   * Adds a frame; its pieces are read when the batch is sent.
   * @returns its number, or -1 when the batch is full
   */
  add(frame: FrameSource, meta: Readonly<FrameMeta>): number {
    const { count, words, iovecs, staged } = this;
    if (count === BATCH_PACKETS) return -1;
    const at = PACKETS_AT + count * PACKET_WORDS;
    const end = IOVECS_AT + IOVECS * IOVEC_WORDS;
    const pieces = frame.iovecs?.(words, IOVECS_AT + iovecs * IOVEC_WORDS, end) ?? 0;
    words[at] = iovecs;
    words[at + 1] = pieces;
    words[at + 2] = staged;
    words[at + 3] = 0;
    if (pieces === 0) {
      if (frame.length > STAGED_BYTES - staged) return -1;
      frame.copy(0, this.bytes, STAGED_AT + staged, frame.length);
      words[at + 3] = frame.length;
      this.staged += frame.length;
    }
    writeVnetHeader(this.bytes, count * VNET_HEADER_BYTES, meta);
    this.iovecs += pieces;
    return this.count++;
  }

  clear(): void {
    this.count = 0;
    this.iovecs = 0;
    this.staged = 0;
  }

  /** A copy of a packet, for which the guest's memory is not needed any more. */
  copy(number: number): Uint8Array {
    const length = native().packetCopy(this.bytes, number, scratch);
    return scratch.slice(0, length);
  }
}

/** What is copied is taken out at once, so one for all. */
const scratch = new Uint8Array(VNET_HEADER_BYTES + LONGEST_FRAME);
