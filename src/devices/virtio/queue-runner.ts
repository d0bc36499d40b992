/**
 * Runs the turns of a device's queues, in whichever thread calls it.
 *
 * A turn holds the lock of one queue only. What a turn leads to (an interrupt, DEVICE_NEEDS_RESET, a
 * configuration change) happens after it, under the lock of the device; so a reset on a vCPU waits
 * for turns that are going on and is never waited for.
 */
import { Status } from './constants.js';
import type { DeviceContext, VirtioDevice } from './device.js';
import { CoreWord, type VirtioRegisters } from './device-registers.js';
import { FeatureSet, hasBit } from './negotiation.js';
import { DescriptorChain } from './queue/descriptor-chain.js';
import { GuestRam, type RamSource } from './queue/guest-ram.js';
import { QueueSet } from './queue/queue-set.js';
import type { VirtQueue } from './queue/virt-queue.js';
import { SiteLog } from './site-log.js';
import { NO_TRANSPORT, type Transport } from './transport.js';

/** Surroundings of a device core. */
export interface CoreOptions {
  readonly log?: SiteLog;
  /**
   * Has a queue served, such as by waking its I/O worker, which calls {@link QueueRunner.serve}.
   * Without it, queues are served by the thread that kicks.
   */
  readonly kick?: (queueIndex: number) => void;
  /** Has a queue served after a time. Without it: a timer of this thread. */
  readonly processLater?: (queueIndex: number, milliseconds: number) => void;
  /** Ring features not to offer. */
  readonly withoutFeatures?: readonly number[];
  /** How long a reset blocks for chains in flight before it lets the driver poll; 2000. */
  readonly drainMilliseconds?: number;
}

const DEFAULT_BUDGET = 64;
const DEFAULT_DRAIN_MS = 2000;
/** Turns in a row when there is no I/O worker to take turns with. */
const MAX_TURNS = 1024;

/** Turns of queues, and what devices see of their surroundings. */
export abstract class QueueRunner implements DeviceContext {
  readonly ram: GuestRam;
  readonly log: SiteLog;
  readonly state: Uint8Array<SharedArrayBuffer>;
  readonly features: FeatureSet;
  readonly queues: QueueSet;
  protected readonly words: Int32Array<SharedArrayBuffer>;
  protected readonly drainMilliseconds: number;
  protected transport: Transport = NO_TRANSPORT;

  private readonly ramStart: number;
  private readonly timers: (NodeJS.Timeout | undefined)[] = [];
  private readonly processTurn = (queue: VirtQueue): void => this.device.process(queue);
  private depth = 0;
  private inTurn = false;
  private configChangedInTurn = false;

  /** @throws RangeError when the device's features or queues make no sense */
  constructor(
    readonly device: VirtioDevice,
    readonly registers: VirtioRegisters,
    memory: RamSource,
    private readonly options: CoreOptions = {},
  ) {
    this.ram = new GuestRam(memory);
    this.ramStart = memory.regions[0]!.start;
    this.log = options.log ?? new SiteLog(() => undefined);
    this.state = registers.state;
    this.words = registers.words;
    this.features = new FeatureSet(device, options.withoutFeatures);
    this.queues = new QueueSet(registers, this.ram, this.ramStart);
    this.drainMilliseconds = options.drainMilliseconds ?? DEFAULT_DRAIN_MS;
    device.attach(this);
  }

  /** Puts a transport in front of the device. */
  setTransport(transport: Transport): void {
    this.transport = transport;
  }

  lock(): void {
    if (this.inTurn) throw new Error('the device cannot be locked within a turn of a queue');
    if (this.depth++ === 0) this.registers.block.lock();
  }

  unlock(): void {
    if (--this.depth === 0) this.registers.block.unlock();
  }

  hasFeature(bit: number): boolean {
    return hasBit(this.words, CoreWord.DriverFeatures0, bit);
  }

  createChain(): DescriptorChain {
    const capacity = Math.max(1, ...this.device.queueSizes);
    return new DescriptorChain(this.ram, capacity, this.ramStart);
  }

  /** True between DRIVER_OK and whatever ends it. */
  get running(): boolean {
    const status = Atomics.load(this.words, CoreWord.Status);
    const ends = Status.NeedsReset | Status.Failed;
    if ((status & (Status.DriverOk | ends)) !== Status.DriverOk) return false;
    return Atomics.load(this.words, CoreWord.Resetting) === 0;
  }

  configChanged(): void {
    Atomics.add(this.words, CoreWord.ConfigGeneration, 1);
    if (this.inTurn) {
      this.configChangedInTurn = true;
      return;
    }
    this.lock();
    if (this.notifiable) this.transport.configChanged();
    this.unlock();
  }

  private get notifiable(): boolean {
    if (this.words[CoreWord.Resetting] !== 0) return false;
    return (this.words[CoreWord.Status]! & Status.DriverOk) !== 0;
  }

  /** The device is in a state that only a reset gets it out of (2.1.2). */
  fail(reason: unknown): void {
    const text = reason instanceof Error ? reason.message : String(reason);
    this.log.warn('needs-reset', `${this.device.name} needs a reset: ${text}`);
    this.lock();
    const status = this.words[CoreWord.Status]!;
    if (status !== 0 && (status & Status.NeedsReset) === 0) {
      this.words[CoreWord.Status] = status | Status.NeedsReset;
      if (this.notifiable) this.transport.configChanged();
    }
    this.unlock();
  }

  /** The driver notifies a queue. Nonsense and notifications that come too early are ignored. */
  kick(index: number): void {
    if (!(index < this.queues.count) || !this.running) return;
    if (this.options.kick === undefined) this.serveAll(index);
    else this.options.kick(index);
  }

  /** Serves a queue until it is empty, or leaves the rest to a timer. */
  private serveAll(index: number): void {
    for (let turns = 0; turns < MAX_TURNS; turns++) if (!this.serve(index)) return;
    this.processLater(index, 0);
  }

  /**
   * One turn of a queue. True when another has to follow, after other queues had theirs.
   * @param polled the caller looks at {@link pending} and calls {@link rest} at last: the driver is
   *   not asked for kicks
   */
  serve(index: number, polled = false): boolean {
    if (!this.running) {
      this.halt();
      return false;
    }
    return this.turn(index, this.processTurn, this.device.budget ?? DEFAULT_BUDGET, polled);
  }

  private halt(): void {
    try {
      this.device.halted?.();
    } catch (error) {
      this.fail(error);
    }
  }

  /** True when the driver has made chains available since the last turn; costs one load. */
  pending(index: number): boolean {
    return this.queues.views[index]!.pending();
  }

  /** Nobody polls the queue any more. True when chains have come in the meantime. */
  rest(index: number): boolean {
    const queue = this.queues.views[index]!;
    const { block } = this.registers.queues[index]!;
    block.lock();
    queue.rest();
    const { more, failure } = queue;
    block.unlock();
    if (failure !== undefined) this.fail(failure);
    return more && failure === undefined;
  }

  runQueue(
    index: number,
    turn: (queue: VirtQueue) => void,
    budget = this.device.budget ?? DEFAULT_BUDGET,
  ): void {
    const more = this.turn(index, turn, budget);
    if (more) this.processLater(index, 0);
  }

  processLater(index: number, milliseconds: number): void {
    if (this.options.processLater !== undefined) {
      this.options.processLater(index, milliseconds);
      return;
    }
    if (milliseconds === 0 && this.options.kick !== undefined) {
      this.options.kick(index);
      return;
    }
    if (this.timers[index] !== undefined) return;
    this.timers[index] = setTimeout(() => {
      this.timers[index] = undefined;
      this.kick(index);
    }, milliseconds).unref();
  }

  private turn(
    index: number,
    turn: (queue: VirtQueue) => void,
    budget: number,
    polled = false,
  ): boolean {
    const queue = this.queues.views[index];
    if (queue === undefined) throw new RangeError(`${this.device.name} has no queue ${index}`);
    if (this.inTurn || this.depth > 0) throw new Error('a turn within a turn or a lock');
    const { block } = this.registers.queues[index]!;
    let thrown: unknown;
    let failed = false;
    block.lock();
    this.inTurn = true;
    queue.begin(this.running, budget);
    try {
      turn(queue);
    } catch (error) {
      thrown = error;
      failed = true;
      queue.abandon();
    }
    queue.end(polled);
    const { notify, more, epoch } = queue;
    this.inTurn = false;
    block.unlock();
    if (notify) this.notifyUsed(index, epoch);
    if (this.configChangedInTurn) this.flushConfigChange();
    const failure = queue.failure ?? thrown;
    const broken = failed || failure !== undefined;
    if (broken) this.fail(failure);
    // Also of a turn that failed: what it has left undone is not for the driver that comes after a reset.
    this.device.afterTurn?.();
    return more && !broken;
  }

  /** Nothing is said about a queue that has been reset in the meantime. */
  private notifyUsed(index: number, epoch: number): void {
    this.lock();
    const same = this.queues.ready(index) && this.queues.views[index]!.epoch === epoch;
    if (same && this.notifiable) this.transport.usedBuffers(index);
    this.unlock();
  }

  private flushConfigChange(): void {
    this.configChangedInTurn = false;
    this.lock();
    if (this.notifiable) this.transport.configChanged();
    this.unlock();
  }
}
