/**
 * Whether it pays to watch the queues of a thread for a moment instead of waiting for their kicks.
 *
 * A watch that sees chains come spares the guest an exit and this thread two trips through the
 * kernel. One that ends without is lost time, and where the guest has to wait for this very
 * processor it holds up what it waits for. So what counts is how watches ended, not how soon the next
 * kick came: after those that were lost it is tried again at longer and longer intervals.
 */

/** The longest watch, as in QEMU's I/O threads; milliseconds. */
export const WATCH_MS = 0.032;

/** What a lost watch costs of the credit of those that paid. */
const LOSS = 4;
const MAX_CREDIT = 32;
/** From this credit on, losses in the past are forgotten. */
const GOOD_CREDIT = 8;
const MAX_PAUSE = 1024;

/** Times are milliseconds of one clock. */
export class WatchPolicy {
  private credit = 0;
  /** Kicks until the next attempt, and how many it will be after one more loss. */
  private pause = 0;
  private nextPause = 1;
  private workedAt = -Infinity;

  /** The driver has kicked: true when the queues are to be watched after they have been served. */
  kicked(now: number): boolean {
    // One that comes seldom would not be seen by watching.
    if (now - this.workedAt >= WATCH_MS) return false;
    if (this.pause === 0) return true;
    this.pause--;
    return false;
  }

  /** The queues have been served. */
  worked(now: number): void {
    this.workedAt = now;
  }

  /** Chains have come while the queues were watched. */
  won(): void {
    if (this.credit < MAX_CREDIT) this.credit++;
    if (this.credit >= GOOD_CREDIT) this.nextPause = 1;
  }

  /** A watch has ended without any. */
  lost(): void {
    this.credit -= LOSS;
    if (this.credit >= 0) return;
    this.credit = 0;
    this.pause = this.nextPause;
    this.nextPause = Math.min(2 * this.nextPause, MAX_PAUSE);
  }
}
