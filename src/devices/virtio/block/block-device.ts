/**
 * virtio-blk (virtio 1.2, 5.2): registers, configuration and what the host does with a disk.
 *
 * Registers are for every thread. Queues are served by threads that have a backend, see
 * {@link BlockService}; a disk whose backend is not `concurrent` has all its queues in one.
 */
import { SECTOR, type BlockBackend } from '../../../block/backend.js';
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { initializeConfig, offeredFeatures, readCapacity, writeCapacity } from './block-config.js';
import { BlockConfig, CONFIG_BYTES, ID_BYTES, blockStateBytes } from './block-layout.js';
import { BlockLimits } from './block-limits.js';
import {
  checkBlockOptions,
  type BlockDeviceOptions,
  type DiskRateLimits,
} from './block-options.js';
import { BlockService, type BlockServiceHost } from './block-service.js';
import { BlockCounters, type BlockStatistics } from './block-statistics.js';
import { WriteCache } from './write-cache.js';

const DEFAULT_QUEUE_SIZE = 256;
const DEFAULT_DEPTH = 128;

/** A virtio disk. */
export class BlockDevice implements VirtioDevice, BlockServiceHost {
  readonly type = DeviceType.Block;
  readonly name: string;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes: number;
  readonly queueGroups: readonly number[];
  readonly queueCount: number;
  readonly depth: number;
  readonly serial = new Uint8Array(ID_BYTES);
  readonly readOnly: boolean;
  readonly flush: boolean;
  context!: DeviceContext;
  limits!: BlockLimits;
  counters!: BlockCounters;
  private cache!: WriteCache;
  private service: BlockService | undefined;

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
    this.queueCount = queues;
    this.queueSizes = Array<number>(queues).fill(queueSize);
    this.stateBytes = blockStateBytes(queues);
    this.queueGroups = this.queueSizes.map((_, i) => (options.concurrent === true ? i : 0));
    this.depth = depth;
    this.serial.set(Buffer.from(options.serial ?? '', 'latin1'));
    this.readOnly = options.readOnly ?? false;
    this.flush = options.cache !== 'unsafe';
  }

  attach(context: DeviceContext): void {
    const { state } = context;
    this.context = context;
    this.limits = new BlockLimits(state, this.options, this.now);
    this.counters = new BlockCounters(state, this.queueCount);
    this.cache = new WriteCache(context, this.options.cache);
    initializeConfig(state, this.options, this.queueSizes[0]! - 2);
    if (this.backend !== undefined) this.service = new BlockService(this, this.backend);
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    const { state } = this.context;
    const value = readLittleEndian(state, offset, size);
    const at = BlockConfig.Writeback - offset;
    if (at < 0 || at >= size) return value;
    return value + (this.cache.writeback - state[BlockConfig.Writeback]!) * 2 ** (8 * at);
  }

  /** `writeback` is the only field that is not read-only. */
  writeConfig(offset: number, size: ConfigAccessSize, value: number): void {
    if (offset === BlockConfig.Writeback && size === 1) this.cache.writeback = value;
  }

  get stable(): boolean {
    return this.cache.stable;
  }

  reset(): void {
    this.cache.reset();
  }

  process(queue: VirtQueue): void {
    if (this.service === undefined) throw new Error('this thread does not serve the disk');
    this.service.process(queue);
  }

  /**
   * Pushes what has ended. Call it after the I/O engine has delivered completions; outside of turns.
   */
  deliver(): void {
    this.service?.deliver();
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
      await this.service?.resize(bytes);
      if (bytes !== this.capacity) this.setCapacity(bytes);
    } finally {
      this.release();
    }
  }

  /** Other limits from now on, in this thread. */
  setRateLimits(limits: DiskRateLimits): void {
    this.limits = new BlockLimits(this.context.state, limits, this.now);
    this.service?.schedule();
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
    return this.service?.drained ?? true;
  }

  /**
   * Takes no more chains from the queues; resolves when nothing is in flight, in this thread. The
   * chains stay in the rings, where a copy of the registers finds them.
   */
  async hold(): Promise<void> {
    await this.service?.hold();
  }

  /** Goes on after {@link hold}. */
  release(): void {
    this.service?.release();
  }

  /** Waits for what is in flight, then closes the backend. Chains that are left stay in the rings. */
  async close(): Promise<void> {
    if (this.service === undefined) await this.backend?.close();
    else await this.service.close();
  }
}
