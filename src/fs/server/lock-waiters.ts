/**
 * Requests that wait for a lock (SETLKW). Nothing blocks: they are tried again when the guest gives
 * a lock on the file back, and from time to time, because others on the host may have.
 */
import { errno } from '../errors.js';
import type { FileLock, OpenFile } from '../file-system.js';
import type { FuseRequest } from '../fuse/request.js';
import type { Session } from './session.js';

/** Milliseconds between attempts: often at first, then less so. */
const FIRST_DELAY = 5;
const LAST_DELAY = 200;

interface Waiter<Node, Handle> {
  readonly request: FuseRequest;
  readonly file: OpenFile<Node, Handle>;
  readonly lock: FileLock;
  /** An attempt is going on. */
  busy: boolean;
  /** The waiter has been answered. */
  over: boolean;
}

/** The queue of waiting requests; as many as there can be requests at all. */
export class LockWaiters<Node extends object, Handle> {
  private readonly waiters = new Set<Waiter<Node, Handle>>();
  private timer: NodeJS.Timeout | undefined;
  private delay = FIRST_DELAY;

  constructor(private readonly session: Session<Node, Handle>) {}

  get size(): number {
    return this.waiters.size;
  }

  /** Answers the request when the lock has been taken. */
  add(request: FuseRequest, file: OpenFile<Node, Handle>, lock: FileLock): void {
    this.waiters.add({ request, file, lock, busy: false, over: false });
    this.delay = FIRST_DELAY;
    this.schedule();
  }

  /** A lock of a file may have been given back. */
  changed(node: Node): void {
    for (const waiter of this.waiters) if (waiter.file.node === node) this.attempt(waiter);
  }

  /** INTERRUPT: EINTR for the request with this number, if it waits here. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    for (const waiter of this.waiters) {
      const { request } = waiter;
      if (request.uniqueLow !== uniqueLow || request.uniqueHigh !== uniqueHigh) continue;
      if (this.end(waiter)) this.session.sendError(request, errno.EINTR);
    }
  }

  /** The guest has gone: nobody waits any more. */
  clear(): void {
    for (const waiter of this.waiters) if (this.end(waiter)) waiter.request.complete(0);
  }

  private schedule(): void {
    if (this.timer !== undefined || this.waiters.size === 0) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.delay = Math.min(2 * this.delay, LAST_DELAY);
      for (const waiter of this.waiters) this.attempt(waiter);
      this.schedule();
    }, this.delay).unref();
  }

  private attempt(waiter: Waiter<Node, Handle>): void {
    const { session } = this;
    if (waiter.busy || waiter.over) return;
    waiter.busy = true;
    const failed = (error: unknown): void => {
      waiter.busy = false;
      if (this.end(waiter)) session.fail(waiter.request, error);
    };
    try {
      const result = session.fs.lock!(waiter.file, waiter.lock);
      if (typeof result === 'boolean') this.finish(waiter, result);
      else result.then((taken) => this.finish(waiter, taken), failed);
    } catch (error) {
      failed(error);
    }
  }

  private finish(waiter: Waiter<Node, Handle>, taken: boolean): void {
    waiter.busy = false;
    if (!taken || !this.end(waiter)) return;
    if (waiter.request.isAbandoned()) waiter.request.complete(0);
    else this.session.send(waiter.request, 0);
  }

  private end(waiter: Waiter<Node, Handle>): boolean {
    if (waiter.over) return false;
    waiter.over = true;
    this.waiters.delete(waiter);
    return true;
  }
}
