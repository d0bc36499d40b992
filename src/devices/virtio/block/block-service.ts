/**
 * Serves a disk's queues in one thread: requests to the backend, and their results back, in whatever order
 * they come. Nothing of a request is outside of this object, so a disk with nothing in flight
 * ({@link BlockService.hold}) is saved with its blocks.
 */
import { getSystemErrorName } from 'node:util';
import { BlockError, type BlockBackend } from '../../../block/backend.js';
import { errorMessage } from '../../../util/errors.js';
import type { DeviceContext } from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { readCapacity } from './block-config.js';
import { BlockFeature, BlockRequestType, BlockStatus, Counter, ID_BYTES } from './block-layout.js';
import type { BlockLimits } from './block-limits.js';
import { BlockRequest, GuestSegmentMemory, RequestReader } from './block-request.js';
import type { BlockCounters } from './block-statistics.js';

const STATUS_BYTES = Uint8Array.of(BlockStatus.Ok, BlockStatus.IoError, BlockStatus.Unsupported);

/** What serving queues needs of the device. */
export interface BlockServiceHost {
  readonly name: string;
  readonly context: DeviceContext;
  readonly queueCount: number;
  /** Requests that may be with the backend. */
  readonly depth: number;
  readonly serial: Uint8Array;
  readonly readOnly: boolean;
  /** FLUSH is served. */
  readonly flush: boolean;
  readonly limits: BlockLimits;
  readonly counters: BlockCounters;
  /** Writes have to be on persistent storage when they end. */
  readonly stable: boolean;
  /** The backend has another size. */
  setCapacity(bytes: number): void;
}

/** The queues of one disk that one thread serves. */
export class BlockService {
  private readonly chain: DescriptorChain;
  private readonly memory: GuestSegmentMemory;
  private readonly reader: RequestReader;
  private readonly rules;
  private readonly requests: BlockRequest[] = [];
  private readonly free: BlockRequest[] = [];
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

  constructor(
    private readonly host: BlockServiceHost,
    private readonly backend: BlockBackend,
  ) {
    const { context, name, queueCount, readOnly, flush } = host;
    this.chain = context.createChain();
    this.memory = new GuestSegmentMemory(context.ram);
    this.reader = new RequestReader(this.memory);
    this.rules = { capacity: 0, readOnly, flush, discard: false, writeZeroes: false };
    this.done = Array.from({ length: queueCount }, () => []);
    this.blocked = Array<boolean>(queueCount).fill(false);
    backend.attach({
      complete: (index, result) => this.complete(index, result),
      retry: () => this.schedule(),
      resized: (capacity) => {
        this.newCapacity = capacity;
        this.schedule();
      },
      warn: (site, line) => context.log.warn(site, `${name}: ${line}`),
    });
  }

  process(queue: VirtQueue): void {
    this.turn = queue.index;
    try {
      this.pump(queue);
    } finally {
      this.turn = -1;
    }
  }

  /** Takes chains as long as there are any and the backend takes requests. */
  private pump(queue: VirtQueue): void {
    const { backend, chain, rules } = this;
    const { context } = this.host;
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
    if (request !== undefined || this.requests.length === this.host.depth) return request;
    const fresh = new BlockRequest(this.requests.length);
    this.requests.push(fresh);
    return fresh;
  }

  /** Answers a request or gives it to the backend. False: it has to wait. */
  private begin(queue: VirtQueue, chain: DescriptorChain, request: BlockRequest): boolean {
    if (chain.writable.length === 0) {
      this.warn('block-status', `a request without a status byte`);
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
    const { context, counters, limits } = this.host;
    const bytes = request.rangeCount > 0 ? 0 : request.length;
    if (limits.active) {
      const wait = limits.take(bytes);
      if (wait > 0) {
        counters.add(queue.index, Counter.Throttled);
        context.processLater(queue.index, wait);
        return false;
      }
    }
    request.stable = this.host.stable;
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
    request.filled = chain.writable.write(this.host.serial);
    return BlockStatus.Ok;
  }

  /** Gives a request, or its next range, to the backend. What that throws is an I/O error. */
  private start(request: BlockRequest): boolean {
    const { backend } = this;
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
      this.warn('block-backend', errorMessage(error));
      this.complete(index, BlockError.EIO);
    }
    return true;
  }

  /** The backend has done with a request. */
  private complete(index: number, result: number): void {
    const request = this.requests[index];
    if (request?.active !== true) {
      this.warn('block-backend', `a completion of nothing`);
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
  schedule(): void {
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
    const { backend, host } = this;
    const { context, queueCount: count } = host;
    this.scheduled = false;
    if (this.newCapacity !== undefined) {
      host.setCapacity(this.newCapacity);
      this.newCapacity = undefined;
    }
    while (this.stalled.length > 0) {
      const request = this.stalled.shift()!;
      if (this.start(request)) continue;
      this.stalled.unshift(request);
      break;
    }
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
      this.host.counters.add(queue.index, Counter.InFlight, -1);
      const failed = !(request.result >= 0);
      if (failed) this.reportFailure(request);
      else this.succeeded(request);
      this.answer(queue, request, failed ? BlockStatus.IoError : BlockStatus.Ok);
    }
    if (this.active > 0) return;
    for (const resolve of this.whenDrained.splice(0)) resolve();
  }

  /** Writes the status byte and gives the chain back. */
  private answer(queue: VirtQueue, request: BlockRequest, status: BlockStatus): void {
    if (status === BlockStatus.IoError) this.host.counters.add(queue.index, Counter.Errors);
    this.memory.copyIn(request.statusAddress, STATUS_BYTES, status, 1);
    this.free.push(request);
    queue.push(request.token, request.written(status === BlockStatus.Ok));
  }

  private succeeded(request: BlockRequest): void {
    const { counters, context } = this.host;
    const { queue, type, length } = request;
    if (type === BlockRequestType.In || type === BlockRequestType.Out)
      request.noteBulk(context.ram);
    counters.succeeded(queue, type, length);
  }

  private warn(site: string, line: string): void {
    this.host.context.log.warn(site, `${this.host.name}: ${line}`);
  }

  private reportFailure({ type, offset, length, result }: BlockRequest): void {
    const what = BlockRequestType[type] ?? 'request';
    const error = Number.isInteger(result) ? getSystemErrorName(result) : String(result);
    this.warn('block-io', `${what} of ${length} bytes at ${offset} failed: ${error}`);
  }

  /** True when no request is with the backend. */
  get drained(): boolean {
    return this.active === 0;
  }

  /** Takes no more chains from the queues; resolves when nothing is in flight. */
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

  /** Resizes the backend, if it can be. */
  async resize(bytes: number): Promise<void> {
    await this.backend.resize?.(bytes);
  }

  /** Waits for what is in flight, then closes the backend. */
  async close(): Promise<void> {
    await this.hold();
    await this.backend.close();
  }
}
