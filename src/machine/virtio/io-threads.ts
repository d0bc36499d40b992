/** The I/O workers of a machine, as the main thread steers them. */
import path from 'node:path';
import { MessageChannel, SHARE_ENV, Worker, type MessagePort } from 'node:worker_threads';
import type { DiskRateLimits } from '../../devices/virtio/block/block-options.js';
import type { NetLimitOptions } from '../../devices/virtio/net/net-limits.js';
import { packageRoot } from '../../kvm/native.js';
import type { NetEvent } from '../../net/events.js';
import { serveDecisions } from '../../net/policy/decisions.js';
import type { Decide } from '../../net/policy/gate.js';
import { VexitError, errorMessage } from '../../util/errors.js';
import type { IoCommand, IoFailure, IoMessage, IoRequest, IoWorkerData } from './io-worker-data.js';
import type { VirtioSlot } from './slots.js';

/** What the owner hears. */
export interface IoThreadEvents {
  readonly onLog: (message: string) => void;
  readonly onNetwork: (slot: number, event: NetEvent) => void;
  /** A worker has ended by itself, which is a defect: the machine cannot go on. */
  readonly onFailure: (message: string) => void;
}

/** What decides on the flows of a network, by slot. */
export type Deciders = ReadonlyMap<number, Decide>;

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

function describe({ message, hint }: IoFailure): string {
  return hint === undefined ? message : `${message}: ${hint}`;
}

/** One worker, and the answers it owes. */
class Thread {
  readonly exited: Promise<void>;
  private readonly worker: Worker;
  private readonly answers = new Map<number, (failure: IoFailure | undefined) => void>();
  private nextId = 0;
  private stopping = false;
  private ended = false;

  constructor(
    index: number,
    private readonly data: Omit<IoWorkerData, 'deciders'>,
    deciders: Deciders,
    events: IoThreadEvents,
  ) {
    const ports = new Map<number, MessagePort>();
    for (const [slot, decide] of deciders) {
      if (!this.serves(slot)) continue;
      const { port1, port2 } = new MessageChannel();
      serveDecisions(port1, decide);
      ports.set(slot, port2);
    }
    this.worker = new Worker(path.join(packageRoot(), 'dist', 'io-worker.js'), {
      workerData: { ...data, deciders: ports } satisfies IoWorkerData,
      transferList: [...ports.values()],
      name: `io${index}`,
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128, stackSizeMb: 1 },
    });
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', () => {
        this.ended = true;
        for (const answer of this.answers.values()) answer(undefined);
        if (!this.stopping) events.onFailure(`I/O worker ${index}: its thread has ended`);
        resolve();
      });
    });
    this.worker.on('message', (message: IoMessage) => {
      if (message.type === 'log') events.onLog(message.message);
      else if (message.type === 'network') events.onNetwork(message.slot, message.event);
      else if (message.type === 'failed') events.onFailure(describe(message.failure));
      else this.answers.get(message.id)?.(message.failure);
    });
    this.worker.on('error', (error) => {
      events.onFailure(`I/O worker ${index}: ${errorMessage(error)}`);
    });
  }

  serves(slot: number): boolean {
    return this.data.queues[slot]!.length > 0;
  }

  /** Has a command carried out, unless the worker has ended. @throws VexitError of the worker's */
  ask(command: IoCommand): Promise<void> {
    if (this.ended) return Promise.resolve();
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.answers.set(id, (failure) => {
        this.answers.delete(id);
        if (failure === undefined) resolve();
        else reject(new VexitError(failure.code, failure.message, failure.hint));
      });
      this.worker.postMessage({ id, command } satisfies IoRequest);
    });
  }

  async stop(): Promise<void> {
    this.stopping = true;
    const timer = setTimeout(() => void this.worker.terminate(), STOP_TIMEOUT_MS);
    // A device that cannot be closed does not keep the others from it.
    await this.ask({ type: 'stop' }).catch(() => undefined);
    await this.exited;
    clearTimeout(timer);
  }
}

/** All I/O workers of one machine. */
export class IoThreads {
  private readonly threads: Thread[];

  /** Starts the workers; they serve at once. */
  constructor(
    data: Omit<IoWorkerData, 'queues' | 'deciders'>,
    count: number,
    deciders: Deciders,
    events: IoThreadEvents,
  ) {
    const shares = dealQueues(data.slots, count).filter((share) => share.flat().length > 0);
    this.threads = shares.map((queues, i) => new Thread(i, { ...data, queues }, deciders, events));
  }

  /** Resolves when nothing is being served and no chain is in flight. */
  async pause(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.ask({ type: 'pause' })));
  }

  async resume(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.ask({ type: 'resume' })));
  }

  /**
   * Gives a disk another size, in every thread that serves it.
   * @throws VexitError ERR_DISK when it cannot have that size
   */
  async resizeDisk(slot: number, bytes: number): Promise<void> {
    for (const thread of this.threads) {
      if (thread.serves(slot)) await thread.ask({ type: 'resize', slot, bytes });
    }
  }

  /** Gives a disk other limits, in every thread that serves it. */
  async limitDisk(slot: number, limits: DiskRateLimits): Promise<void> {
    for (const thread of this.threads) {
      if (thread.serves(slot)) await thread.ask({ type: 'limit-disk', slot, limits });
    }
  }

  /** Gives a network interface other limits, in every thread that serves it. */
  async limitNetwork(slot: number, limits: NetLimitOptions): Promise<void> {
    for (const thread of this.threads) {
      if (thread.serves(slot)) await thread.ask({ type: 'limit', slot, limits });
    }
  }

  /** Closes the devices and ends the workers. */
  async stop(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.stop()));
  }
}
