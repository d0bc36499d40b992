/** Time that passes when a case says so, and skips what nobody waits for. */
import type { Clock } from '../../../src/net/timers.js';

interface Due {
  readonly at: number;
  readonly callback: () => void;
}

export class FuzzClock implements Clock {
  private time = 0;
  private readonly due = new Set<Due>();

  now(): number {
    return this.time;
  }

  after(milliseconds: number, callback: () => void): Due {
    const due = { at: this.time + Math.max(milliseconds, 0), callback };
    this.due.add(due);
    return due;
  }

  cancel(handle: object): void {
    this.due.delete(handle as Due);
  }

  /** Timers that are set. */
  get pending(): number {
    return this.due.size;
  }

  advance(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      let first: Due | undefined;
      for (const due of this.due) if (first === undefined || due.at < first.at) first = due;
      if (first === undefined || first.at > end) break;
      this.due.delete(first);
      this.time = first.at;
      first.callback();
    }
    this.time = end;
  }
}
