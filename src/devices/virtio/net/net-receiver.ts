/**
 * Frames into the guest's buffers (virtio 1.2, 5.1.6.3, 5.1.6.4): one chain for a frame, or with
 * MRG_RXBUF as many as it takes. A frame is delivered whole or not at all.
 */
import type { GuestFrame } from '../../../net/net-backend.js';
import type { DeviceContext } from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import { RamCursor } from '../queue/guest-ram.js';
import type { WritableSegments } from '../queue/segments.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { HEADER_BYTES, HeaderField } from './net-layout.js';
import { writeHeader } from './net-header.js';

/** Chains for one frame: 64 KiB in the smallest buffers that a driver makes of pages. */
const CHAINS_LIMIT = 64;

/** What became of a frame. */
export enum Delivery {
  Delivered,
  /** The guest has no buffer for it now. */
  NoRoom,
  /** The guest's buffers cannot hold it, or it was broken. */
  Dropped,
}

/** Delivers frames of one device, in one thread. */
export class NetReceiver {
  private readonly chain: DescriptorChain;
  private readonly tokens = new Int32Array(CHAINS_LIMIT);
  private readonly lengths = new Uint32Array(CHAINS_LIMIT);
  private readonly header = new Uint8Array(HEADER_BYTES);
  private readonly headerView = new DataView(this.header.buffer);
  private readonly numBuffers = new Uint8Array(2);
  private readonly cursor: RamCursor;
  /** Guest addresses of the two bytes of num_buffers. */
  private low = 0;
  private high = 0;

  constructor(context: DeviceContext, ramStart: number) {
    this.chain = context.createChain();
    this.cursor = new RamCursor(context.ram, ramStart);
  }

  /** Delivers a frame in a turn of a receive queue. */
  deliver(queue: VirtQueue, frame: GuestFrame, mergeable: boolean): Delivery {
    const total = HEADER_BYTES + frame.headerLength + frame.payloadLength;
    writeHeader(this.headerView, frame.meta);
    let done = 0;
    let used = 0;
    while (done < total) {
      if (used === CHAINS_LIMIT || (used > 0 && !mergeable)) {
        this.putBack(queue, used);
        return Delivery.Dropped;
      }
      if (!queue.pop(this.chain)) {
        this.putBack(queue, used);
        return Delivery.NoRoom;
      }
      const { writable, token } = this.chain;
      const room = Math.min(writable.length, total - done);
      if (used === 0) {
        if (room < HEADER_BYTES) {
          // Given back without a frame, or it would be in the way of all frames to come.
          queue.push(token, 0);
          return Delivery.Dropped;
        }
        this.locateNumBuffers(writable);
      }
      this.copy(writable, frame, done, room);
      this.tokens[used] = token;
      this.lengths[used] = room;
      used++;
      done += room;
    }
    if (mergeable && used > 1) this.writeNumBuffers(used);
    for (let i = 0; i < used; i++) queue.push(this.tokens[i]!, this.lengths[i]!);
    return Delivery.Delivered;
  }

  /** Puts chains back in the opposite order, so that the queue is where it was. */
  private putBack(queue: VirtQueue, used: number): void {
    for (let i = used - 1; i >= 0; i--) {
      this.chain.token = this.tokens[i]!;
      queue.unpop(this.chain);
    }
  }

  /** Copies bytes [from, from + length) of header, frame header and payload. */
  private copy(writable: WritableSegments, frame: GuestFrame, from: number, length: number): void {
    let at = from;
    const end = from + length;
    const frameStart = HEADER_BYTES;
    const payloadStart = frameStart + frame.headerLength;
    if (at < frameStart) {
      writable.write(this.header, at, Math.min(end, frameStart) - at);
      at = Math.min(end, frameStart);
    }
    if (at < payloadStart && at < end) {
      const count = Math.min(end, payloadStart) - at;
      writable.write(frame.header, at - frameStart, count);
      at += count;
    }
    if (at < end) writable.write(frame.payload, frame.payloadStart + at - payloadStart, end - at);
  }

  private locateNumBuffers(writable: WritableSegments): void {
    let offset = 0;
    for (let i = 0; i < writable.count && offset <= HeaderField.NumBuffers + 1; i++) {
      const [address, size] = [writable.address(i), writable.size(i)];
      const low = HeaderField.NumBuffers - offset;
      if (low >= 0 && low < size) this.low = address + low;
      if (low + 1 >= 0 && low + 1 < size) this.high = address + low + 1;
      offset += size;
    }
  }

  private writeNumBuffers(count: number): void {
    this.numBuffers[0] = count;
    this.numBuffers[1] = 0;
    this.cursor.copyIn(this.low, this.numBuffers, 0, 1);
    this.cursor.copyIn(this.high, this.numBuffers, 1, 1);
  }
}
