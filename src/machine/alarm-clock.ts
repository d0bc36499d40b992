/** Raises the RTC's interrupts at their time: the guest's vCPUs may all be asleep then. */

/** Longest time setTimeout takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Something that is polled when it says so; the RTC. */
export interface AlarmSource {
  /** Does what is due; milliseconds until the next time, Infinity for never. */
  poll(): number;
}

/** One timer for one source. */
export class AlarmClock {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly source: AlarmSource) {}

  /** Polls now and sets the timer anew: call when the guest has changed the alarm. */
  rearm(): void {
    clearTimeout(this.timer);
    const delay = this.source.poll();
    if (delay === Infinity) return;
    const wait = Math.min(Math.max(Math.ceil(delay), 1), TIMER_MAX_MS);
    this.timer = setTimeout(() => this.rearm(), wait);
    this.timer.unref();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
