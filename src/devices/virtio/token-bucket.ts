/**
 * A rate limit with burst, kept in a device's state so that it survives a snapshot: a bucket of
 * tokens that fills at a constant rate and cannot hold more than a burst.
 */

const TOKENS = 0;
const SINCE = 1;
const STARTED = 2;

/** How much and how fast. */
export interface RateLimit {
  /** Tokens a second. */
  readonly perSecond: number;
  /** The most that can be taken at once after a pause. */
  readonly burst: number;
}

/** Tokens in shared memory. The caller sees to it that one thread at a time uses them. */
export class TokenBucket {
  /** Bytes of state, at an offset that is a multiple of 8. */
  static readonly STATE_BYTES = 24;

  private readonly numbers: Float64Array<SharedArrayBuffer>;

  /** @param now milliseconds from a clock that does not go back while the VM runs */
  constructor(
    state: Uint8Array<SharedArrayBuffer>,
    offset: number,
    private readonly limit: RateLimit,
    private readonly now: () => number,
  ) {
    if (!(limit.perSecond > 0 && limit.burst >= 1)) {
      throw new RangeError('a rate limit needs a positive rate and a burst of at least one');
    }
    this.numbers = new Float64Array(state.buffer, state.byteOffset + offset, 3);
  }

  /** Tokens that can be taken now. */
  available(): number {
    const { numbers, limit } = this;
    const now = this.now();
    if (numbers[STARTED] !== 1) {
      numbers[STARTED] = 1;
      numbers[TOKENS] = limit.burst;
      numbers[SINCE] = now;
    }
    // After a restore the clock is another one: no tokens for time that did not pass.
    const elapsed = Math.max(0, now - numbers[SINCE]!);
    const filled = numbers[TOKENS]! + (elapsed * limit.perSecond) / 1000;
    numbers[TOKENS] = filled <= limit.burst ? filled : limit.burst;
    numbers[SINCE] = now;
    return Math.floor(numbers[TOKENS]);
  }

  /** Takes tokens; the caller has looked at {@link available}. */
  take(count: number): void {
    this.numbers[TOKENS] = this.numbers[TOKENS]! - count;
  }

  /** Milliseconds until so many tokens are there, or a full bucket. */
  wait(count: number): number {
    const missing = Math.min(count, this.limit.burst) - this.numbers[TOKENS]!;
    return missing > 0 ? Math.ceil((missing * 1000) / this.limit.perSecond) : 0;
  }
}
