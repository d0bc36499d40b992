/** Rate limits of a network device: bytes and frames, in each direction, over the device's state. */
import { TokenBucket } from '../token-bucket.js';
import { StateField } from './net-layout.js';
import type { NetRateLimit } from './net-options.js';

/** Index of a direction's first token bucket. */
export enum Direction {
  Tx = 0,
  Rx = 2,
}

/** Limits for both directions; none where there is none. */
export interface NetLimitOptions {
  readonly tx?: NetRateLimit;
  readonly rx?: NetRateLimit;
}

/** The limits as one thread applies them. */
export class NetLimits {
  private buckets: (TokenBucket | undefined)[] = [];

  constructor(
    private readonly state: Uint8Array<SharedArrayBuffer>,
    private readonly now: () => number,
    limits: NetLimitOptions,
  ) {
    this.set(limits);
  }

  /** Applies other limits from now on. @throws RangeError for a limit that makes no sense */
  set({ tx, rx }: NetLimitOptions): void {
    const { state, now } = this;
    this.buckets = [tx?.bytes, tx?.frames, rx?.bytes, rx?.frames].map((limit, i) =>
      limit === undefined
        ? undefined
        : new TokenBucket(state, StateField.Buckets + i * TokenBucket.STATE_BYTES, limit, now),
    );
  }

  /** True when frames in a direction are limited. */
  active(direction: Direction): boolean {
    return this.buckets[direction] !== undefined || this.buckets[direction + 1] !== undefined;
  }

  /**
   * Milliseconds to wait before so many bytes may pass in a direction. A frame larger than the burst
   * passes when the bucket is full.
   */
  delay(direction: Direction, bytes: number): number {
    const byBytes = tokenWait(this.buckets[direction], bytes);
    return Math.max(byBytes, tokenWait(this.buckets[direction + 1], 1));
  }

  /** @param frames -1 takes an earlier charge back */
  charge(direction: Direction, bytes: number, frames = 1): void {
    this.buckets[direction]?.take(bytes * frames);
    this.buckets[direction + 1]?.take(frames);
  }
}

function tokenWait(bucket: TokenBucket | undefined, count: number): number {
  if (bucket === undefined) return 0;
  bucket.available();
  return bucket.wait(count);
}
