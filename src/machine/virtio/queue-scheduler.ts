/**
 * Serves the queues of an I/O worker fairly: a kicked queue gets one turn (its device's budget of
 * chains) and, if it has more, goes behind the others. After a slice of time the event loop has its
 * turn too, so that timers and messages are never starved.
 *
 * A queue that has been served is watched for a moment before its driver is asked for a kick, as long
 * as that pays (watch-policy.ts): a kick costs an exit of the guest and two trips through the kernel
 * here. Nobody is watched while requests are with the kernel: what was not done at once takes longer than
 * going to sleep, and the one who does it may need this processor.
 */

import { WATCH_MS, WatchPolicy } from './watch-policy.js';

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
  /** Takes completions of I/O that are there; true when requests are still with the kernel. */
  readonly reap?: () => boolean;
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
  private readonly reap: () => boolean;
  private readonly poll: boolean;
  private readonly policy = new WatchPolicy();
  private running = false;
  private scheduled = false;
  private stopped = false;
  /** Queues that are served now are watched afterwards, until `watchUntil`. */
  private watching = false;
  private watchUntil = 0;

  constructor(options: SchedulerOptions = {}) {
    this.later = options.later ?? setImmediate;
    this.now = options.now ?? (() => performance.now());
    this.reap = options.reap ?? (() => false);
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
    this.watching = this.poll && this.policy.kicked(this.now());
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
    this.restAll();
  }

  resume(): void {
    this.stopped = false;
    this.run();
  }

  private run(): void {
    this.scheduled = false;
    if (this.running) return;
    this.running = true;
    const end = this.now() + SLICE_MS;
    do {
      if (!this.serveWaiting(end)) {
        this.yield();
        break;
      }
    } while (!this.stopped && this.watch(end));
    this.running = false;
  }

  /** Goes on when the event loop has had its turn. */
  private yield(): void {
    this.scheduled = true;
    this.later(() => this.run());
  }

  /** False when the slice is over and queues are still waiting. */
  private serveWaiting(end: number): boolean {
    if (this.waiting.length === 0) return true;
    const polled = this.watching;
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
    const now = this.now();
    this.policy.worked(now);
    this.watchUntil = now + WATCH_MS;
    return true;
  }

  /** Watches the queues that were served; true when any has something to do. */
  private watch(end: number): boolean {
    if (this.watched.length === 0) return false;
    let now;
    do {
      if (this.reap()) return this.restAll();
      for (const entry of this.watched) {
        if (entry.device.pending(entry.queue)) this.enqueue(entry);
      }
      if (this.waiting.length > 0) {
        this.policy.won();
        return true;
      }
      now = this.now();
      if (now >= end) {
        // The driver need not kick for that: the watch goes on afterwards.
        this.yield();
        return false;
      }
    } while (now < this.watchUntil);
    this.policy.lost();
    return this.restAll();
  }

  /** Asks the drivers for kicks; true when chains have come meanwhile. */
  private restAll(): boolean {
    this.watching = false;
    for (const entry of this.watched.splice(0)) this.rest(entry);
    return this.waiting.length > 0;
  }

  private rest(entry: Entry): void {
    entry.watched = false;
    if (entry.device.rest(entry.queue)) this.enqueue(entry);
  }
}
