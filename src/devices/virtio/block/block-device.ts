/**
 * virtio-blk (virtio 1.2, 5.2): requests from the queues to a backend, and their results back, in
 * whatever order they come.
 *
 * Registers are for every thread. Queues are served by threads that have a backend; a disk whose
 * backend is not `concurrent` has all its queues in one. Nothing of a request is outside of the
 * object, so a disk with nothing in flight ({@link BlockDevice.hold}) is saved with its blocks.
 */
import { getSystemErrorName } from 'node:util';
import { BlockError, SECTOR, type BlockBackend } from '../../../block/backend.js';
import { errorMessage } from '../../../util/errors.js';
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { initializeConfig, offeredFeatures, readCapacity, writeCapacity } from './block-config.js';
import {
  BlockConfig,
  BlockFeature,
  BlockRequestType,
  BlockStatus,
  CONFIG_BYTES,
  Counter,
  ID_BYTES,
  StateWord,
  blockStateBytes,
  stateWords,
} from './block-layout.js';
import { BlockLimits } from './block-limits.js';
import {
  checkBlockOptions,
  type BlockDeviceOptions,
  type DiskRateLimits,
} from './block-options.js';
import { BlockRequest, GuestSegmentMemory, RequestReader } from './block-request.js';
import { BlockCounters, type BlockStatistics } from './block-statistics.js';

const DEFAULT_QUEUE_SIZE = 256;
const DEFAULT_DEPTH = 128;
const STATUS_BYTES = Uint8Array.of(BlockStatus.Ok, BlockStatus.IoError, BlockStatus.Unsupported);

/** A virtio disk. */
export class BlockDevice implements VirtioDevice {
  readonly type = DeviceType.Block;
  readonly name: string;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes: number;
  readonly queueGroups: readonly number[];

  private context!: DeviceContext;
  private chain!: DescriptorChain;
  private memory!: GuestSegmentMemory;
  private reader!: RequestReader;
  private limits!: BlockLimits;
  private counters!: BlockCounters;
  private words!: Int32Array<SharedArrayBuffer>;
  private readonly serial = new Uint8Array(ID_BYTES);
  private readonly rules = {
    capacity: 0,
    readOnly: false,
    flush: false,
    discard: false,
    writeZeroes: false,
  };

  private readonly requests: BlockRequest[] = [];
  private readonly free: BlockRequest[] = [];
  private readonly depth: number;
  /** Requests that have ended and not been pushed, by queue. */
  private readonly done: BlockRequest[][];
  /** Queues that have chains and wait for a request object or for the backend. */
  private readonly blocked: boolean[];
  /** Requests whose next range the backend has refused. */
  private readonly stalled: BlockRequest[] = [];
  private turn = -1;
  private firstQueue = 0;
  private scheduled = false;
  private held = false;
  private active = 0;
  private newCapacity: number | undefined;
  private whenDrained: (() => void)[] = [];

  /**
   * @param backend for the thread that serves the queues; others see registers only
   * @param now milliseconds from a clock that does not go back, for the rate limits
   * @throws RangeError for options that make no device
   */
  constructor(
    private readonly options: BlockDeviceOptions,
    private readonly backend?: BlockBackend,
    private readonly now: () => number = () => performance.now(),
  ) {
    checkBlockOptions(options);
    const { queues = 1, queueSize = DEFAULT_QUEUE_SIZE, depth = DEFAULT_DEPTH } = options;
    this.name = options.name ?? 'disk';
    this.features = offeredFeatures(options);
    this.queueSizes = Array<number>(queues).fill(queueSize);
    this.stateBytes = blockStateBytes(queues);
    this.queueGroups = this.queueSizes.map((_, i) => (options.concurrent === true ? i : 0));
    this.depth = depth;
    this.done = this.queueSizes.map(() => []);
    this.blocked = this.queueSizes.map(() => false);
    this.serial.set(Buffer.from(options.serial ?? '', 'latin1'));
    this.rules.readOnly = options.readOnly ?? false;
    this.rules.flush = options.cache !== 'unsafe';
  }

  attach(context: DeviceContext): void {
    const { state } = context;
    this.context = context;
    this.chain = context.createChain();
    this.memory = new GuestSegmentMemory(context.ram);
    this.reader = new RequestReader(this.memory);
    this.limits = new BlockLimits(state, this.options, this.now);
    this.counters = new BlockCounters(state, this.queueSizes.length);
    this.words = stateWords(state);
    initializeConfig(state, this.options, this.queueSizes[0]! - 2);
    this.backend?.attach({
      complete: (index, result) => this.complete(index, result),
      retry: () => this.schedule(),
      resized: (capacity) => {
        this.newCapacity = capacity;
        this.schedule();
      },
      warn: (site, line) => context.log.warn(site, `${this.name}: ${line}`),
    });
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    const { state } = this.context;
    const value = readLittleEndian(state, offset, size);
    const at = BlockConfig.Writeback - offset;
    if (at < 0 || at >= size) return value;
    return value + (this.writeback - state[BlockConfig.Writeback]!) * 2 ** (8 * at);
  }

  /** `writeback` is the driver's, when it has accepted CONFIG_WCE; the rest is read-only. */
  writeConfig(offset: number, size: ConfigAccessSize, value: number): void {
    if (offset !== BlockConfig.Writeback || size !== 1 || value > 1) return;
    if (!this.context.hasFeature(BlockFeature.ConfigWce)) return;
    this.context.state[BlockConfig.Writeback] = value;
    Atomics.store(this.words, StateWord.WritebackSet, 1);
  }

  /** The field as the driver sees it: without FLUSH it begins as 0 (5.2.5.2). */
  private get writeback(): number {
    const { context } = this;
    const set = Atomics.load(this.words, StateWord.WritebackSet) !== 0;
    const wce = context.hasFeature(BlockFeature.ConfigWce);
    if (wce && !set && !context.hasFeature(BlockFeature.Flush)) return 0;
    return context.state[BlockConfig.Writeback]!;
  }

  /** Writes have to be on persistent storage when they end (5.2.6.2, cases 1 and 2). */
  private get stable(): boolean {
    const { cache } = this.options;
    if (cache === 'writethrough') return true;
    if (cache === 'unsafe') return false;
    const { context } = this;
    if (context.hasFeature(BlockFeature.ConfigWce)) return this.writeback === 0;
    return !context.hasFeature(BlockFeature.Flush);
  }

  reset(): void {
    this.context.state[BlockConfig.Writeback] = this.options.cache === 'writethrough' ? 0 : 1;
    Atomics.store(this.words, StateWord.WritebackSet, 0);
  }

  process(queue: VirtQueue): void {
    const { backend } = this;
    if (backend === undefined) throw new Error('this thread does not serve the disk');
    this.turn = queue.index;
    try {
      this.pump(queue, backend);
    } finally {
      this.turn = -1;
    }
  }

  /** Takes chains as long as there are any and the backend takes requests. */
  private pump(queue: VirtQueue, backend: BlockBackend): void {
    const { chain, context, rules } = this;
    const { index } = queue;
    rules.capacity = readCapacity(context.state);
    rules.discard = context.hasFeature(BlockFeature.Discard);
    rules.writeZeroes = context.hasFeature(BlockFeature.WriteZeroes);
    this.blocked[index] = false;
    for (;;) {
      this.settle(queue);
      const request = this.held ? undefined : this.reserve();
      if (request === undefined) {
        this.blocked[index] = true;
        break;
      }
      const taken = queue.pop(chain);
      const begun = taken && this.begin(queue, chain, request);
      if (!begun) {
        this.free.push(request);
        if (!taken) break;
        queue.unpop(chain);
        break;
      }
    }
    backend.submit();
    this.settle(queue);
  }

  private reserve(): BlockRequest | undefined {
    const request = this.free.pop();
    if (request !== undefined || this.requests.length === this.depth) return request;
    const fresh = new BlockRequest(this.requests.length);
    this.requests.push(fresh);
    return fresh;
  }

  /** Answers a request or gives it to the backend. False: it has to wait. */
  private begin(queue: VirtQueue, chain: DescriptorChain, request: BlockRequest): boolean {
    if (chain.writable.length === 0) {
      this.context.log.warn('block-status', `${this.name}: a request without a status byte`);
      this.free.push(request);
      queue.push(chain.token, 0);
      return true;
    }
    request.queue = queue.index;
    request.result = 0;
    const status = this.reader.read(request, chain, this.rules);
    if (request.type === BlockRequestType.GetId) {
      this.answer(queue, request, this.giveId(chain, request));
      return true;
    }
    if (status !== undefined) {
      this.answer(queue, request, status);
      return true;
    }
    const { limits, counters } = this;
    const bytes = request.rangeCount > 0 ? 0 : request.length;
    if (limits.active) {
      const wait = limits.take(bytes);
      if (wait > 0) {
        counters.add(queue.index, Counter.Throttled);
        this.context.processLater(queue.index, wait);
        return false;
      }
    }
    request.stable = this.stable;
    request.active = true;
    this.active++;
    counters.add(queue.index, Counter.InFlight);
    if (this.start(request)) return true;
    request.active = false;
    this.active--;
    counters.add(queue.index, Counter.InFlight, -1);
    if (limits.active) limits.giveBack(bytes);
    this.blocked[queue.index] = true;
    return false;
  }

  private giveId(chain: DescriptorChain, request: BlockRequest): BlockStatus {
    if (request.room < ID_BYTES) return BlockStatus.IoError;
    request.filled = chain.writable.write(this.serial);
    return BlockStatus.Ok;
  }

  /** Gives a request, or its next range, to the backend. What that throws is an I/O error. */
  private start(request: BlockRequest): boolean {
    const backend = this.backend!;
    const { index, segments, offset, length, stable, unmap } = request;
    try {
      switch (request.type) {
        case BlockRequestType.In:
          if (length > 0) return backend.read(segments, offset, index);
          break;
        case BlockRequestType.Out:
          if (length > 0) return backend.write(segments, offset, index, stable);
          break;
        case BlockRequestType.Flush:
          return backend.flush(index);
        default: {
          const from = request.ranges[2 * request.range]!;
          const bytes = request.ranges[2 * request.range + 1]!;
          if (bytes === 0) break;
          if (request.type === BlockRequestType.Discard) return backend.discard(from, bytes, index);
          return backend.writeZeroes(from, bytes, index, unmap, stable);
        }
      }
      this.complete(index, 0);
    } catch (error) {
      this.context.log.warn('block-backend', `${this.name}: ${errorMessage(error)}`);
      this.complete(index, BlockError.EIO);
    }
    return true;
  }

  /** The backend has done with a request. */
  private complete(index: number, result: number): void {
    const request = this.requests[index];
    if (request?.active !== true) {
      this.context.log.warn('block-backend', `${this.name}: a completion of nothing`);
      return;
    }
    if (result >= 0 && request.range + 1 < request.rangeCount) {
      request.range++;
      if (!this.start(request)) this.stalled.push(request);
      this.schedule();
      return;
    }
    request.active = false;
    request.result = result;
    this.done[request.queue]!.push(request);
    if (this.turn !== request.queue) this.schedule();
  }

  /** Has {@link deliver} called, unless the one who drives the I/O engine does so first. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      if (this.scheduled) this.deliver();
    });
  }

  /**
   * Pushes what has ended, in one turn for each queue, and goes on with queues that have waited for
   * it. Call it after the I/O engine has delivered completions; outside of turns.
   */
  deliver(): void {
    const { backend, context } = this;
    if (backend === undefined) return;
    this.scheduled = false;
    if (this.newCapacity !== undefined) {
      this.setCapacity(this.newCapacity);
      this.newCapacity = undefined;
    }
    while (this.stalled.length > 0) {
      const request = this.stalled.shift()!;
      if (this.start(request)) continue;
      this.stalled.unshift(request);
      break;
    }
    const count = this.queueSizes.length;
    let concerned = 0;
    for (let index = 0; index < count; index++) if (this.concerns(index)) concerned++;
    // Requests that have ended make room, which another queue has first each time. One queue alone
    // pushes and goes on in a single turn.
    this.firstQueue = (this.firstQueue + 1) % count;
    for (let index = 0; index < count && concerned > 1; index++) {
      if (this.done[index]!.length > 0) context.runQueue(index, this.settleTurn);
    }
    for (let i = 0; i < count && concerned > 0; i++) {
      const index = (this.firstQueue + i) % count;
      // It looks for new chains as well: whoever pops last asks the driver for kicks.
      if (this.concerns(index))
        context.runQueue(index, this.held ? this.settleTurn : this.pumpTurn);
    }
    backend.submit();
  }

  /** Something of a queue has ended, or it waits for that. */
  private concerns(index: number): boolean {
    return this.done[index]!.length > 0 || (this.blocked[index] === true && !this.held);
  }

  /** Pushes only; the queue is looked at later, so that its driver is asked for kicks again. */
  private readonly settleTurn = (queue: VirtQueue): void => {
    this.settle(queue);
    this.blocked[queue.index] = true;
  };

  private readonly pumpTurn = (queue: VirtQueue): void => this.process(queue);

  /** Pushes the requests of a queue that have ended. */
  private settle(queue: VirtQueue): void {
    const done = this.done[queue.index]!;
    if (done.length === 0) return;
    for (let request = done.shift(); request !== undefined; request = done.shift()) {
      this.active--;
      this.counters.add(queue.index, Counter.InFlight, -1);
      const failed = !(request.result >= 0);
      if (failed) this.reportFailure(request);
      else this.count(request);
      this.answer(queue, request, failed ? BlockStatus.IoError : BlockStatus.Ok);
    }
    if (this.active > 0) return;
    for (const resolve of this.whenDrained.splice(0)) resolve();
  }

  /** Writes the status byte and gives the chain back. */
  private answer(queue: VirtQueue, request: BlockRequest, status: BlockStatus): void {
    if (status === BlockStatus.IoError) this.counters.add(queue.index, Counter.Errors);
    this.memory.copyIn(request.statusAddress, STATUS_BYTES, status, 1);
    this.free.push(request);
    queue.push(request.token, request.written(status === BlockStatus.Ok));
  }

  private count(request: BlockRequest): void {
    const { counters, context } = this;
    const { queue, type, length } = request;
    switch (type) {
      case BlockRequestType.In:
        request.noteBulk(context.ram);
        counters.add(queue, Counter.Reads);
        counters.add(queue, Counter.ReadBytes, length);
        break;
      case BlockRequestType.Out:
        request.noteBulk(context.ram);
        counters.add(queue, Counter.Writes);
        counters.add(queue, Counter.WriteBytes, length);
        break;
      case BlockRequestType.Flush:
        counters.add(queue, Counter.Flushes);
        break;
      case BlockRequestType.Discard:
        counters.add(queue, Counter.Discards);
        break;
      default:
        counters.add(queue, Counter.WriteZeroes);
    }
  }

  private reportFailure({ type, offset, length, result }: BlockRequest): void {
    const what = BlockRequestType[type] ?? 'request';
    const error = Number.isInteger(result) ? getSystemErrorName(result) : String(result);
    this.context.log.warn(
      'block-io',
      `${this.name}: ${what} of ${length} bytes at ${offset} failed: ${error}`,
    );
  }

  /** Bytes of the disk. */
  get capacity(): number {
    return readCapacity(this.context.state);
  }

  /**
   * Tells the driver of another capacity; from then on requests are checked against it. Any thread.
   * @param bytes a multiple of 512
   */
  setCapacity(bytes: number): void {
    if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes % SECTOR !== 0) {
      throw new RangeError(`a disk cannot have ${bytes} bytes`);
    }
    const { context } = this;
    context.lock();
    writeCapacity(context.state, bytes);
    context.configChanged();
    context.unlock();
  }

  /**
   * Resizes the backend and tells the driver. Only on the thread that serves the queues; with several
   * of those, on each. A smaller disk loses what is behind its end.
   * @throws VexitError ERR_DISK when the backend cannot be resized
   */
  async resize(bytes: number): Promise<void> {
    if (bytes < this.capacity) {
      this.setCapacity(bytes);
      await this.hold();
    }
    try {
      await this.backend?.resize?.(bytes);
      if (bytes !== this.capacity) this.setCapacity(bytes);
    } finally {
      this.release();
    }
  }

  /** Other limits from now on, in this thread. */
  setRateLimits(limits: DiskRateLimits): void {
    this.limits = new BlockLimits(this.context.state, limits, this.now);
    this.schedule();
  }

  /** What the disk has done, all queues together. Any thread. */
  get statistics(): BlockStatistics {
    return this.counters.read();
  }

  /**
   * True when this thread has no request with the backend: then the device is nothing but its
   * register blocks.
   */
  get drained(): boolean {
    return this.active === 0;
  }

  /**
   * Takes no more chains from the queues; resolves when nothing is in flight, in this thread. The
   * chains stay in the rings, where a copy of the registers finds them.
   */
  hold(): Promise<void> {
    this.held = true;
    if (this.active === 0) return Promise.resolve();
    return new Promise((resolve) => this.whenDrained.push(resolve));
  }

  /** Goes on after {@link hold}. */
  release(): void {
    if (!this.held) return;
    this.held = false;
    this.deliver();
  }

  /** Waits for what is in flight, then closes the backend. Chains that are left stay in the rings. */
  async close(): Promise<void> {
    await this.hold();
    await this.backend?.close();
  }
}
