/**
 * Many timers over one of the event loop. Protocol timers are set far more often than they fire, so
 * setting one later than before costs nothing but the number: it is looked at when it comes up.
 */

/** Time and one-shot timers; tests bring their own. */
export interface Clock {
  /** Milliseconds that do not go back. */
  now(): number;
  after(milliseconds: number, callback: () => void): object;
  cancel(handle: object): void;
}

/** The event loop's clock. Its timers do not keep a thread alive. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after: (milliseconds, callback) => setTimeout(callback, milliseconds).unref(),
  cancel: (handle) => clearTimeout(handle as NodeJS.Timeout),
};

/** Something that happens at a time; belongs to one {@link TimerQueue}. */
export class Timer {
  /** When it is due; Infinity while it is not set. */
  deadline = Infinity;
  /** Key in the heap, never later than `deadline`. */
  queuedAt = Infinity;
  index = -1;

  constructor(readonly fire: () => void) {}

  get isSet(): boolean {
    return this.deadline !== Infinity;
  }
}

/** A binary heap of timers. */
export class TimerQueue {
  private readonly heap: Timer[] = [];
  private wakeUp: object | undefined;
  private wakeUpAt = Infinity;

  constructor(private readonly clock: Clock) {}

  now(): number {
    return this.clock.now();
  }

  set(timer: Timer, milliseconds: number): void {
    timer.deadline = this.clock.now() + milliseconds;
    if (timer.index < 0) {
      timer.queuedAt = timer.deadline;
      timer.index = this.heap.length;
      this.heap.push(timer);
      this.rise(timer);
    } else if (timer.deadline < timer.queuedAt) {
      timer.queuedAt = timer.deadline;
      this.rise(timer);
    }
    this.schedule();
  }

  clear(timer: Timer): void {
    timer.deadline = Infinity;
  }

  /** Takes a timer out for good: nothing refers to it afterwards. */
  remove(timer: Timer): void {
    timer.deadline = Infinity;
    if (timer.index >= 0) this.take(timer);
  }

  close(): void {
    if (this.wakeUp !== undefined) this.clock.cancel(this.wakeUp);
    this.wakeUp = undefined;
    this.wakeUpAt = Infinity;
    for (const timer of this.heap) timer.index = -1;
    this.heap.length = 0;
  }

  private schedule(): void {
    const at = this.heap[0]?.queuedAt ?? Infinity;
    if (at >= this.wakeUpAt) return;
    if (this.wakeUp !== undefined) this.clock.cancel(this.wakeUp);
    this.wakeUpAt = at;
    const delay = Math.max(0, Math.ceil(at - this.clock.now()));
    this.wakeUp = this.clock.after(delay, () => this.run());
  }

  private run(): void {
    this.wakeUp = undefined;
    this.wakeUpAt = Infinity;
    const now = this.clock.now();
    for (;;) {
      const timer = this.heap[0];
      if (timer === undefined || timer.queuedAt > now) break;
      this.take(timer);
      if (timer.deadline <= now) {
        timer.deadline = Infinity;
        timer.fire();
      } else if (timer.isSet) {
        timer.queuedAt = timer.deadline;
        timer.index = this.heap.length;
        this.heap.push(timer);
        this.rise(timer);
      }
    }
    this.schedule();
  }

  private take(timer: Timer): void {
    const last = this.heap.pop()!;
    if (last !== timer) {
      last.index = timer.index;
      this.heap[last.index] = last;
      this.sink(last);
      this.rise(last);
    }
    timer.index = -1;
  }

  private rise(timer: Timer): void {
    const { heap } = this;
    let i = timer.index;
    while (i > 0) {
      const parent = heap[(i - 1) >>> 1]!;
      if (parent.queuedAt <= timer.queuedAt) break;
      heap[i] = parent;
      parent.index = i;
      i = (i - 1) >>> 1;
    }
    heap[i] = timer;
    timer.index = i;
  }

  private sink(timer: Timer): void {
    const { heap } = this;
    let i = timer.index;
    for (;;) {
      let child = heap[2 * i + 1];
      if (child === undefined) break;
      const right = heap[2 * i + 2];
      if (right !== undefined && right.queuedAt < child.queuedAt) child = right;
      if (child.queuedAt >= timer.queuedAt) break;
      const next = child.index;
      heap[i] = child;
      child.index = i;
      i = next;
    }
    heap[i] = timer;
    timer.index = i;
  }
}
