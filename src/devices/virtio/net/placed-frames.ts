/**
 * Frames of a batch that the kernel has put into the driver's buffers.
 *
 * So the network's header lies in guest memory before it is looked at. A driver that changes it
 * meanwhile deceives itself: nothing but its own frame depends on it.
 */
import type { NetOffloads } from '../../../net/net-backend.js';
import { SEGMENT_WORDS, type ReadBatch } from '../../../net/kernel-network.js';
import type { RamCursor } from '../queue/guest-ram.js';
import { FILTER_BYTES } from './net-filter.js';
import { takenFlags } from './net-header.js';
import { HEADER_BYTES, HeaderField } from './net-layout.js';

/** What is looked at of a frame: its header, Ethernet header and VLAN tag. */
export const HEAD_BYTES = HEADER_BYTES + FILTER_BYTES;

/** Frames are named by the first of their buffers, which holds the whole header. */
export class PlacedFrames {
  /** What {@link copyHead} has copied. */
  readonly head = new Uint8Array(HEAD_BYTES);

  constructor(
    private readonly batch: ReadBatch,
    private readonly cursor: RamCursor,
  ) {}

  /**
   * Makes the header of a frame one for the driver.
   * @param count buffers of the frame
   * @returns false when the driver does not take frames like that
   */
  complete(buffer: number, count: number, offloads: NetOffloads): boolean {
    const { batch, cursor, head } = this;
    const segment = batch.buffers[3 * buffer]!;
    const address = batch.addresses[segment]!;
    if (batch.segments[segment * SEGMENT_WORDS + 2]! >= HEADER_BYTES && address % 2 === 0) {
      const word = cursor.get16(address);
      const flags = takenFlags(word & 0xff, word >>> 8, offloads);
      if (flags < 0) return false;
      cursor.set16(address, (word & 0xff00) | flags);
      cursor.set16(address + HeaderField.NumBuffers, count);
      return true;
    }
    this.copyHead(buffer, HEADER_BYTES);
    const [before, type] = [head[HeaderField.Flags]!, head[HeaderField.GsoType]!];
    const flags = takenFlags(before, type, offloads);
    if (flags < 0) return false;
    head[HeaderField.Flags] = flags;
    head[HeaderField.NumBuffers] = count;
    head[HeaderField.NumBuffers + 1] = 0;
    this.placeHeader(buffer);
    return true;
  }

  /** Copies the first bytes of a frame, which has as many. */
  copyHead(buffer: number, length: number): void {
    const { addresses, segments, buffers } = this.batch;
    let segment = buffers[3 * buffer]!;
    for (let done = 0; done < length; segment++) {
      const step = Math.min(segments[segment * SEGMENT_WORDS + 2]!, length - done);
      this.cursor.copyOut(addresses[segment]!, this.head, done, step);
      done += step;
    }
  }

  private placeHeader(buffer: number): void {
    const { addresses, segments, buffers } = this.batch;
    let segment = buffers[3 * buffer]!;
    for (let done = 0; done < HEADER_BYTES; segment++) {
      const step = Math.min(segments[segment * SEGMENT_WORDS + 2]!, HEADER_BYTES - done);
      this.cursor.copyIn(addresses[segment]!, this.head, done, step);
      done += step;
    }
  }
}
