/**
 * What has happened to VMs, one JSON object a line. Every process appends; the file is bounded, the
 * one before it is kept.
 */
import fs from 'node:fs';
import path from 'node:path';
import { systemCode } from '../util/errors.js';
import type { HealthStatus } from './health/health-state.js';

/** One line of the log. */
export interface VmEvent {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly type: VmEventType;
  /** The VM's name at that time. */
  readonly name: string;
  readonly id?: string;
  /** Of an exit. */
  readonly reason?: string;
  readonly status?: number;
  /** Of a health check whose result is another one. */
  readonly health?: HealthStatus;
  /** Of a rename. */
  readonly before?: string;
}

export type VmEventType =
  | 'create'
  | 'start'
  | 'reboot'
  | 'restart'
  | 'pause'
  | 'resume'
  | 'stop'
  | 'kill'
  | 'update'
  | 'exit'
  | 'health'
  | 'rename'
  | 'remove';

const MAX_BYTES = 2 ** 20;
/** A line is written by one call and far shorter than this, so lines do not mix. */
const READ_BYTES = 64 * 1024;
const POLL_MS = 500;

function parse(line: string): VmEvent | undefined {
  try {
    const value = JSON.parse(line) as VmEvent;
    return typeof value.time === 'string' && typeof value.type === 'string' ? value : undefined;
  } catch {
    return undefined; // half a line: the disk was full
  }
}

function linesOf(file: string): VmEvent[] {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
  return text
    .split('\n')
    .map(parse)
    .filter((event) => event !== undefined);
}

/** The log of one store. */
export class EventLog {
  constructor(private readonly file: string) {}

  /** Adds an event. A log that cannot be written is no reason to fail. */
  add(event: Omit<VmEvent, 'time'>): void {
    const line = `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`;
    try {
      const fd = fs.openSync(this.file, 'a', 0o600);
      try {
        fs.writeSync(fd, line);
        // Two processes that rotate at once lose the older half, which is bounded anyway.
        if (fs.fstatSync(fd).size > MAX_BYTES) fs.renameSync(this.file, `${this.file}.1`);
      } finally {
        fs.closeSync(fd);
      }
    } catch {
      // Full, read-only or gone.
    }
  }

  /** What is kept, oldest first. */
  read(): VmEvent[] {
    return [`${this.file}.1`, this.file].flatMap(linesOf);
  }

  /**
   * Events until the signal is aborted.
   * @param since those that are kept too, from this time on; undefined: only those from now on
   */
  async *follow(signal: AbortSignal, since?: number): AsyncGenerator<VmEvent> {
    const wanted = (event: VmEvent): boolean => Date.parse(event.time) >= (since ?? 0);
    const tail = new Tail(this.file, since === undefined);
    const waker = new Waker(path.dirname(this.file), signal);
    try {
      if (since !== undefined) yield* linesOf(`${this.file}.1`).filter(wanted);
      while (!signal.aborted) {
        for (const line of tail.lines()) {
          const event = parse(line);
          if (event !== undefined && wanted(event)) yield event;
        }
        await waker.next(POLL_MS);
      }
    } finally {
      tail.close();
      waker.close();
    }
  }
}

/** Reads lines that are added to a file, also when it is rotated. */
class Tail {
  private fd: number | undefined;
  private position = 0;
  private rest = '';

  constructor(
    private readonly file: string,
    fromEnd: boolean,
  ) {
    this.open();
    if (fromEnd && this.fd !== undefined) this.position = fs.fstatSync(this.fd).size;
  }

  private open(): void {
    try {
      this.fd = fs.openSync(this.file, 'r');
    } catch {
      this.fd = undefined; // nothing has happened yet
    }
    this.position = 0;
  }

  private get rotated(): boolean {
    if (this.fd === undefined) return true;
    try {
      return fs.statSync(this.file).ino !== fs.fstatSync(this.fd).ino;
    } catch {
      return false; // between the two steps of a rotation
    }
  }

  *lines(): Generator<string> {
    for (;;) {
      const rotated = this.rotated;
      yield* this.added();
      if (!rotated) return;
      this.close();
      this.open();
      if (this.fd === undefined) return;
    }
  }

  private *added(): Generator<string> {
    if (this.fd === undefined) return;
    const buffer = Buffer.alloc(READ_BYTES);
    for (;;) {
      const count = fs.readSync(this.fd, buffer, 0, buffer.length, this.position);
      if (count === 0) return;
      this.position += count;
      const lines = (this.rest + buffer.toString('utf8', 0, count)).split('\n');
      this.rest = lines.pop()!;
      yield* lines;
    }
  }

  close(): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
  }
}

/** Waits for a change in a directory: inotify, and now and then a look without it. */
export class Waker {
  private watcher: fs.FSWatcher | undefined;
  private changed = false;
  private wake: (() => void) | undefined;

  constructor(directory: string, signal?: AbortSignal) {
    const notice = (): void => {
      this.changed = true;
      this.wake?.();
    };
    try {
      this.watcher = fs.watch(directory, notice);
      this.watcher.on('error', () => this.watcher?.close());
    } catch {
      // No directory yet, or no inotify watches left: looking now and then will do.
    }
    signal?.addEventListener('abort', notice);
  }

  async next(timeoutMs: number): Promise<void> {
    if (!this.changed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.changed = false;
    this.wake = undefined;
  }

  close(): void {
    this.watcher?.close();
    this.wake?.();
  }
}
