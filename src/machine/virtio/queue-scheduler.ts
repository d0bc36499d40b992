/**
 * Serves the queues of an I/O worker fairly: a kicked queue gets one turn (its device's budget of
 * chains) and, if it has more, goes behind the others. After a slice of time the event loop has its
 * turn too, so that timers and completions of I/O are never starved.
 */

/** One queue that can be served; see `QueueRunner.serve`. */
export interface Servable {
  /** One turn. True when there is more to do. */
  serve(index: number): boolean;
}

/** How long queues are served before the event loop has its turn. */
const SLICE_MS = 2;

interface Entry {
  readonly device: Servable;
  readonly queue: number;
  waiting: boolean;
}

/** The queues of one thread. */
export class QueueScheduler {
  private readonly entries: Entry[] = [];
  private readonly waiting: Entry[] = [];
  private running = false;
  private scheduled = false;
  private stopped = false;

  /** @param later has `run` called when the event loop has had its turn */
  constructor(
    private readonly later: (run: () => void) => void = setImmediate,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Adds a queue; the number that names it from then on. */
  add(device: Servable, queue: number): number {
    return this.entries.push({ device, queue, waiting: false }) - 1;
  }

  /** A queue has been kicked. */
  ready(index: number): void {
    this.enqueue(this.entries[index]!);
    if (!this.running && !this.scheduled) this.run();
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
  }

  resume(): void {
    this.stopped = false;
    this.run();
  }

  private run(): void {
    this.scheduled = false;
    this.running = true;
    const end = this.now() + SLICE_MS;
    let entry: Entry | undefined;
    while (!this.stopped && (entry = this.waiting.shift()) !== undefined) {
      entry.waiting = false;
      if (entry.device.serve(entry.queue)) this.enqueue(entry);
      if (this.waiting.length > 0 && this.now() >= end) {
        this.scheduled = true;
        this.later(() => this.run());
        break;
      }
    }
    this.running = false;
  }
}
