/** Time that passes when a test says so. */
import type { Clock } from '../../../src/net/timers.js';

interface Due {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  private time = 0;
  private order = 0;
  private due: Due[] = [];

  now(): number {
    return this.time;
  }

  after(milliseconds: number, callback: () => void): Due {
    const due = { at: this.time + milliseconds, order: this.order++, callback };
    this.due.push(due);
    return due;
  }

  cancel(handle: object): void {
    this.due = this.due.filter((due) => due !== handle);
  }

  /** Lets time pass, event by event, until nothing is due in it or `done`. */
  advance(milliseconds: number, done: () => boolean = () => false): void {
    const end = this.time + milliseconds;
    while (!done()) {
      let first: Due | undefined;
      for (const due of this.due) {
        if (first === undefined || due.at < first.at) first = due;
        else if (due.at === first.at && due.order < first.order) first = due;
      }
      if (first === undefined || first.at > end) break;
      this.cancel(first);
      this.time = Math.max(this.time, first.at);
      first.callback();
    }
    if (!done()) this.time = end;
  }
}
