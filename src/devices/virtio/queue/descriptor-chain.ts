/** A request of the driver: what the device reads, then what it writes (virtio 1.2, 2.6.6). */
import { RamCursor, type GuestRam } from './guest-ram.js';
import { ReadableSegments, WritableSegments } from './segments.js';

/**
 * A chain of descriptors, copied out of the guest's tables and checked. The object is filled by
 * {@link VirtQueue.pop} and can be used for one chain after the other; what outlives the next `pop`
 * is {@link token} only. It knows nothing of the ring's format.
 */
export class DescriptorChain {
  readonly readable: ReadableSegments;
  readonly writable: WritableSegments;

  /** Names the chain until it is pushed back; a number of 31 bits. */
  token = -1;

  /** @param capacity the longest chain the queues allow */
  constructor(
    ram: GuestRam,
    readonly capacity: number,
    start: number,
  ) {
    this.readable = new ReadableSegments(new RamCursor(ram, start), capacity);
    this.writable = new WritableSegments(new RamCursor(ram, start), capacity);
  }

  /** Makes the chain empty. For the queue that fills it. */
  clear(): void {
    this.token = -1;
    this.readable.clear();
    this.writable.clear();
  }
}
