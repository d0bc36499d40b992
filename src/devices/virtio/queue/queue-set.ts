/** The queues of one device: their configuration by the driver, reset, and what is still in flight. */
import type { VirtioRegisters } from '../device-registers.js';
import type { GuestRam } from './guest-ram.js';
import { QueueWord, type QueueArea, type QueueRegisters } from './queue-registers.js';
import { splitLayoutProblem } from './split-layout.js';
import { SplitQueue } from './split-queue.js';
import type { QueueControl } from './virt-queue.js';

/** Ring features that have been negotiated. */
export interface RingOptions {
  readonly eventIndex: boolean;
  readonly indirect: boolean;
}

/** One thread's view of a device's queues. The caller holds the device's lock. */
export class QueueSet {
  /** Views to serve the queues with; each under the lock of its block. */
  readonly views: readonly QueueControl[];
  private readonly queues: readonly QueueRegisters[];

  constructor(
    registers: VirtioRegisters,
    private readonly ram: GuestRam,
    ramStart: number,
  ) {
    this.queues = registers.queues;
    this.views = this.queues.map((queue, i) => new SplitQueue(queue, ram, i, ramStart));
  }

  get count(): number {
    return this.queues.length;
  }

  /** QueueSizeMax; 0 for a queue that does not exist. */
  maximumSize(index: number): number {
    return this.queues[index]?.maximumSize ?? 0;
  }

  ready(index: number): boolean {
    return this.queues[index]?.words[QueueWord.Ready] === 1;
  }

  /** Entries as the driver has set them. */
  size(index: number): number {
    return (this.queues[index]?.words[QueueWord.Size] ?? 0) >>> 0;
  }

  /** Low or high half of an area's address. */
  addressHalf(index: number, area: QueueArea, high: boolean): number {
    const word = QueueWord.DescriptorLow + 2 * area + (high ? 1 : 0);
    return (this.queues[index]?.words[word] ?? 0) >>> 0;
  }

  /** Sets the size; ignored while the queue is ready (4.2.2.2). Checked when it is made ready. */
  setSize(index: number, size: number): void {
    this.set(index, QueueWord.Size, size);
  }

  /** Sets half of an area's address; ignored while the queue is ready. */
  setAddressHalf(index: number, area: QueueArea, high: boolean, value: number): void {
    this.set(index, QueueWord.DescriptorLow + 2 * area + (high ? 1 : 0), value);
  }

  private set(index: number, word: QueueWord, value: number): void {
    const queue = this.queues[index];
    if (queue?.words[QueueWord.Ready] === 0) queue.words[word] = value;
  }

  /** Makes a queue ready. Returns what is wrong with it, or undefined. */
  enable(index: number, options: RingOptions): string | undefined {
    const queue = this.queues[index];
    if (queue?.words[QueueWord.Ready] !== 0) return undefined;
    const problem = splitLayoutProblem(queue, this.ram);
    if (problem !== undefined) return `queue ${index}: ${problem}`;
    queue.block.lock();
    queue.words[QueueWord.EventIndex] = options.eventIndex ? 1 : 0;
    queue.words[QueueWord.Indirect] = options.indirect ? 1 : 0;
    queue.words[QueueWord.Ready] = 1;
    queue.block.unlock();
    return undefined;
  }

  /** Stops a queue and puts it into its default state; waits for a turn that is going on. */
  reset(index: number): void {
    const queue = this.queues[index];
    if (queue === undefined) return;
    queue.block.lock();
    queue.reset();
    queue.block.unlock();
  }

  /** True while the device holds chains from before a reset: of one queue, or of any. */
  draining(index?: number): boolean {
    if (index !== undefined) return this.drainingCount(index) > 0;
    return this.queues.some((_, i) => this.drainingCount(i) > 0);
  }

  /** Chains that the device holds: taken and not pushed back, of any epoch. */
  inFlight(): number {
    let count = 0;
    for (const { words } of this.queues) {
      count += Atomics.load(words, QueueWord.InFlight) + Atomics.load(words, QueueWord.Draining);
    }
    return count;
  }

  private drainingCount(index: number): number {
    const queue = this.queues[index];
    return queue === undefined ? 0 : Atomics.load(queue.words, QueueWord.Draining);
  }

  /**
   * Blocks until chains from before a reset have come back from another thread, or the time is
   * over. The device's lock must not be held: that thread may need it.
   */
  waitDrained(milliseconds: number): void {
    const deadline = performance.now() + milliseconds;
    for (const { words } of this.queues) {
      for (;;) {
        const left = deadline - performance.now();
        const count = Atomics.load(words, QueueWord.Draining);
        if (count <= 0 || !(left > 0)) break;
        Atomics.wait(words, QueueWord.Draining, count, left);
      }
    }
  }
}
