/**
 * Serves the queues of an I/O worker fairly: a kicked queue gets one turn (its device's budget of
 * chains) and, if it has more, goes behind the others. After a slice of time the event loop has its
 * turn too, so that timers and messages are never starved.
 *
 * A queue that has been served is watched for a moment before its driver is asked for a kick: a kick
 * costs an exit of the guest and two trips through the kernel here. How long the moment is follows
 * from what happens: it grows while kicks come soon after it, and shrinks to nothing while they do
 * not, so that an idle VM costs nothing.
 */

/** One device whose queues can be served; see `QueueRunner`. */
export interface Servable {
  /** One turn. True when there is more to do. */
  serve(index: number, polled: boolean): boolean;
  /** Chains have been made available. */
  pending(index: number): boolean;
  /** The driver is to kick from now on. True when chains have come meanwhile. */
  rest(index: number): boolean;
}

/** How long queues are served before the event loop has its turn. */
const SLICE_MS = 2;
/** The longest time that queues are watched for, and the shortest that is worth it. */
const WATCH_MAX_MS = 0.064;
const WATCH_MIN_MS = 0.004;

interface Entry {
  readonly device: Servable;
  readonly queue: number;
  waiting: boolean;
  /** It has been served, and its driver has not been asked for kicks. */
  watched: boolean;
}

/** What a scheduler can be told about its surroundings. */
export interface SchedulerOptions {
  /** Has `run` called when the event loop has had its turn. */
  readonly later?: (run: () => void) => void;
  /** Milliseconds. */
  readonly now?: () => number;
  /** Takes completions of I/O that are there; called while queues are watched. */
  readonly reap?: () => void;
  /** False: drivers kick for every chain. */
  readonly poll?: boolean;
}

/** The queues of one thread. */
export class QueueScheduler {
  private readonly entries: Entry[] = [];
  private readonly waiting: Entry[] = [];
  private readonly watched: Entry[] = [];
  private readonly later: (run: () => void) => void;
  private readonly now: () => number;
  private readonly reap: () => void;
  private readonly poll: boolean;
  private running = false;
  private scheduled = false;
  private stopped = false;
  private watchMs = 0;
  /** When the queues were last left alone. */
  private restedAt = -Infinity;

  constructor(options: SchedulerOptions = {}) {
    this.later = options.later ?? setImmediate;
    this.now = options.now ?? (() => performance.now());
    this.reap = options.reap ?? (() => undefined);
    this.poll = options.poll ?? true;
  }

  /** Adds a queue; the number that names it from then on. */
  add(device: Servable, queue: number): number {
    return this.entries.push({ device, queue, waiting: false, watched: false }) - 1;
  }

  /** A queue has been kicked. */
  ready(index: number): void {
    this.enqueue(this.entries[index]!);
    if (this.running || this.scheduled) return;
    this.adapt();
    this.run();
  }

  private enqueue(entry: Entry): void {
    if (entry.waiting) return;
    entry.waiting = true;
    this.waiting.push(entry);
  }

  /** Looks at every queue, kicked or not: kicks may have been lost with the eventfds they were in. */
  readyAll(): void {
    for (let i = 0; i < this.entries.length; i++) this.ready(i);
  }

  /** Nothing is served any more until {@link resume}; kicks are remembered. */
  pause(): void {
    this.stopped = true;
    for (const entry of this.watched.splice(0)) this.rest(entry);
  }

  resume(): void {
    this.stopped = false;
    this.run();
  }

  /** A kick that came soon after the queues were left alone would have been seen by watching. */
  private adapt(): void {
    if (!this.poll) return;
    const idle = this.now() - this.restedAt;
    if (idle < WATCH_MAX_MS) {
      this.watchMs = Math.min(Math.max(this.watchMs * 2, WATCH_MIN_MS), WATCH_MAX_MS);
    } else {
      this.watchMs = this.watchMs < WATCH_MIN_MS ? 0 : this.watchMs / 2;
    }
  }

  private run(): void {
    this.scheduled = false;
    if (this.running) return;
    this.running = true;
    const end = this.now() + SLICE_MS;
    do {
      if (!this.serveWaiting(end)) {
        this.scheduled = true;
        this.later(() => this.run());
        break;
      }
    } while (!this.stopped && this.watch(end));
    this.running = false;
  }

  /** False when the slice is over and queues are still waiting. */
  private serveWaiting(end: number): boolean {
    const polled = this.watchMs > 0;
    let entry: Entry | undefined;
    while (!this.stopped && (entry = this.waiting.shift()) !== undefined) {
      entry.waiting = false;
      if (entry.device.serve(entry.queue, polled)) this.enqueue(entry);
      if (polled && !entry.watched) {
        entry.watched = true;
        this.watched.push(entry);
      }
      if (this.waiting.length > 0 && this.now() >= end) return false;
    }
    return true;
  }

  /** Watches the queues that were served; true when any has something to do. */
  private watch(end: number): boolean {
    if (this.watched.length === 0) {
      this.restedAt = this.now();
      return false;
    }
    const until = Math.min(this.now() + this.watchMs, end);
    do {
      this.reap();
      for (const entry of this.watched) {
        if (entry.device.pending(entry.queue)) this.enqueue(entry);
      }
      if (this.waiting.length > 0) return true;
    } while (this.now() < until);
    for (const entry of this.watched.splice(0)) this.rest(entry);
    this.restedAt = this.now();
    return this.waiting.length > 0;
  }

  private rest(entry: Entry): void {
    entry.watched = false;
    if (entry.device.rest(entry.queue)) this.enqueue(entry);
  }
}
