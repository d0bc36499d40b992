/** The retransmission time-out (RFC 6298). */

const INITIAL_MS = 1000;
/** RFC 6298 says a second; Linux and others use this, and the link is memory. */
const SMALLEST_MS = 200;
const LARGEST_MS = 60_000;
const GRANULARITY_MS = 1;

export class RttEstimator {
  private smoothed: number | undefined;
  private variation = 0;
  private timeout = INITIAL_MS;
  private backoff = 0;

  /** A round trip that was not of a retransmitted segment (Karn's algorithm). */
  sample(milliseconds: number): void {
    if (this.smoothed === undefined) {
      this.smoothed = milliseconds;
      this.variation = milliseconds / 2;
    } else {
      this.variation += (Math.abs(this.smoothed - milliseconds) - this.variation) / 4;
      this.smoothed += (milliseconds - this.smoothed) / 8;
    }
    this.timeout = this.smoothed + Math.max(GRANULARITY_MS, 4 * this.variation);
    this.backoff = 0;
  }

  /** Milliseconds to wait for an acknowledgement. */
  get rto(): number {
    const base = Math.max(SMALLEST_MS, this.timeout);
    return Math.min(LARGEST_MS, base * 2 ** this.backoff);
  }

  /** The time-out has passed in vain: the next one is twice as long. */
  expired(): void {
    if (this.backoff < 16) this.backoff++;
  }

  /** The peer has answered. */
  answered(): void {
    this.backoff = 0;
  }
}
