/** The I/O workers of a machine, as the main thread steers them. */
import path from 'node:path';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import { packageRoot } from '../../kvm/native.js';
import { errorMessage } from '../../util/errors.js';
import type { IoMessage, IoRequest, IoWorkerData } from './io-worker-data.js';
import type { VirtioSlot } from './slots.js';

/** What the owner hears. */
export interface IoThreadEvents {
  readonly onLog: (message: string) => void;
  /** A worker has ended by itself, which is a defect: the machine cannot go on. */
  readonly onFailure: (message: string) => void;
}

/** How long a worker has to close its devices. */
const STOP_TIMEOUT_MS = 10_000;

/** Deals the groups of queues out to `threads` workers, one after the other. */
export function dealQueues(
  slots: readonly Pick<VirtioSlot, 'groups'>[],
  threads: number,
): number[][][] {
  const shares = Array.from({ length: threads }, () => slots.map((): number[] => []));
  let next = 0;
  slots.forEach(({ groups }, slot) => {
    for (const group of groups) shares[next++ % threads]![slot]!.push(...group);
  });
  return shares;
}

interface Thread {
  readonly worker: Worker;
  readonly exited: Promise<void>;
  paused: () => void;
}

/** All I/O workers of one machine. */
export class IoThreads {
  private readonly threads: Thread[];
  private stopping = false;

  /** Starts the workers; they serve at once. */
  constructor(
    data: Omit<IoWorkerData, 'queues'>,
    count: number,
    private readonly events: IoThreadEvents,
  ) {
    const shares = dealQueues(data.slots, count).filter((share) => share.flat().length > 0);
    this.threads = shares.map((queues, i) => this.startWorker({ ...data, queues }, i));
  }

  private startWorker(data: IoWorkerData, index: number): Thread {
    const worker = new Worker(path.join(packageRoot(), 'dist', 'io-worker.js'), {
      workerData: data,
      name: `io${index}`,
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128, stackSizeMb: 1 },
    });
    const thread: Thread = {
      worker,
      exited: new Promise((resolve) => {
        worker.once('exit', () => {
          thread.paused();
          if (!this.stopping) this.events.onFailure(`I/O worker ${index}: its thread has ended`);
          resolve();
        });
      }),
      paused: () => undefined,
    };
    worker.on('message', (message: IoMessage) => {
      if (message.type === 'log') this.events.onLog(message.message);
      else thread.paused();
    });
    worker.on('error', (error) => {
      this.events.onFailure(`I/O worker ${index}: ${errorMessage(error)}`);
    });
    return thread;
  }

  private tell(request: IoRequest): void {
    for (const { worker } of this.threads) worker.postMessage(request);
  }

  /** Resolves when nothing is being served and no chain is in flight. */
  async pause(): Promise<void> {
    const paused = this.threads.map(
      (thread) => new Promise<void>((resolve) => (thread.paused = resolve)),
    );
    this.tell('pause');
    await Promise.all(paused);
  }

  resume(): void {
    this.tell('resume');
  }

  /** Closes the devices and ends the workers. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.tell('stop');
    const timer = setTimeout(() => {
      for (const { worker } of this.threads) void worker.terminate();
    }, STOP_TIMEOUT_MS);
    await Promise.all(this.threads.map(({ exited }) => exited));
    clearTimeout(timer);
  }
}
