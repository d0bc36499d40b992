/**
 * Frames that a backend answers with while it is handed one: they are kept until that turn is over, and
 * from then on until the driver has buffers. Few and short ones are: for others there is room after the
 * turn, because copying bulk data would be half the work.
 */
import type { GuestFrame } from '../../../net/net-backend.js';

/** Frames that are kept at a time. */
const MOST_FRAMES = 64;
/** The longest frame that is kept, in bytes. */
const LONGEST = 1024;

interface Kept {
  readonly frame: GuestFrame;
  /** Of the receive queue that had no buffer for it. */
  epoch: number | undefined;
}

/** Kept frames of a pair, in the order in which they came. */
export class KeptFrames {
  private frames: Kept[] = [];

  /** True when frames are waiting: others have to come after them. */
  get any(): boolean {
    return this.frames.length > 0;
  }

  /** Keeps a copy of a frame; false when it is too long, or there are too many. */
  keep(frame: GuestFrame): boolean {
    const length = frame.headerLength + frame.payloadLength;
    if (this.frames.length >= MOST_FRAMES || length > LONGEST) return false;
    const header = frame.header.slice(0, frame.headerLength);
    const from = frame.payloadStart;
    const payload = frame.payload.slice(from, from + frame.payloadLength);
    const copy = { ...frame, header, payload, payloadStart: 0, meta: { ...frame.meta } };
    this.frames.push({ frame: copy, epoch: undefined });
    return true;
  }

  /**
   * Hands the frames over until one is refused. Those that were refused before the queue was reset are
   * nobody's.
   * @param epoch of the receive queue
   * @returns true when none is left
   */
  deliver(epoch: number, take: (frame: GuestFrame) => boolean): boolean {
    if (!this.any) return true;
    let full = false;
    this.frames = this.frames.filter((kept) => {
      if (kept.epoch !== undefined && kept.epoch !== epoch) return false;
      full ||= !take(kept.frame);
      if (full) kept.epoch = epoch;
      return full;
    });
    return !full;
  }
}
