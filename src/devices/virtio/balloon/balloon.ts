/**
 * The traditional memory balloon (virtio 1.2, 5.5): the guest hands pages over, and the host takes
 * their memory back at once. With free page reporting it does so for all memory it does not use.
 *
 * Free page hinting and MUST_TELL_HOST are not offered: a page that the guest takes out of the
 * balloon is there, and zero, from its first access on.
 */
import type { Doorbell } from '../../../bus/device.js';
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { BalloonFeature, BalloonQueue, ConfigField } from './balloon-layout.js';
import { BALLOON_PAGE, CONFIG_BYTES, STATE_BYTES } from './balloon-layout.js';
import { StatisticsStore, type BalloonStatistics } from './balloon-stats.js';
import { discardPages, discardRange } from './page-runs.js';

/** Page numbers in one request: what Linux sends; a driver that sends more keeps the rest. */
const PAGES_LIMIT = 256;
/** Where the specification has the reporting queue; Linux counts queues that exist only. */
const REPORTING_INDEX = 4;

/** Settings of the device; everything is offered unless it is switched off. */
export interface BalloonOptions {
  readonly statistics?: boolean;
  readonly freePageReporting?: boolean;
  readonly deflateOnOom?: boolean;
  /** Rung when statistics have come. */
  readonly statisticsDoorbell?: Doorbell;
}

/** virtio-balloon, with what the host does to it. */
export class BalloonDevice implements VirtioDevice {
  readonly type = DeviceType.Balloon;
  readonly name = 'balloon';
  readonly features: readonly number[];
  readonly queueSizes: readonly number[] = [128, 128, 64, 64, 64];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes = STATE_BYTES;
  /** Every chain can cost a system call for each of its pages. */
  readonly budget = 16;

  private context!: DeviceContext;
  private chain!: DescriptorChain;
  private view!: DataView<SharedArrayBuffer>;
  private store!: StatisticsStore;
  private readonly numbers = new Uint32Array(PAGES_LIMIT);
  private readonly numberBytes = new Uint8Array(this.numbers.buffer);
  private readonly statisticsDoorbell: Doorbell | undefined;

  constructor(options: BalloonOptions = {}) {
    const features: number[] = [];
    if (options.statistics !== false) features.push(BalloonFeature.StatsQueue);
    if (options.deflateOnOom !== false) features.push(BalloonFeature.DeflateOnOom);
    if (options.freePageReporting !== false) {
      features.push(BalloonFeature.PagePoison, BalloonFeature.PageReporting);
    }
    this.features = features;
    this.statisticsDoorbell = options.statisticsDoorbell;
  }

  attach(context: DeviceContext): void {
    const { state } = context;
    this.context = context;
    this.chain = context.createChain();
    this.view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    this.store = new StatisticsStore(state);
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.context.state, offset, size);
  }

  /** `actual` and `poison_val` are the driver's; the rest is read-only. */
  writeConfig(offset: number, size: ConfigAccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      const field = offset + i - ((offset + i) % 4);
      if (field !== ConfigField.Actual && field !== ConfigField.PoisonValue) continue;
      this.context.state[offset + i] = Math.floor(value / 2 ** (8 * i)) % 256;
    }
  }

  reset(): void {
    this.view.setUint32(ConfigField.Actual, 0, true);
    this.view.setUint32(ConfigField.PoisonValue, 0, true);
    this.store.clear();
  }

  process(queue: VirtQueue): void {
    switch (this.roleOf(queue.index)) {
      case BalloonQueue.Inflate:
        this.inflate(queue);
        break;
      case BalloonQueue.Deflate:
        while (queue.pop(this.chain)) queue.push(this.chain.token, 0);
        break;
      case BalloonQueue.Stats:
        this.takeStatistics(queue);
        break;
      case BalloonQueue.Reporting:
        this.report(queue);
        break;
      default:
      // A queue of a feature that has not been negotiated.
    }
  }

  private roleOf(index: number): BalloonQueue | undefined {
    const { context } = this;
    const reporting = context.hasFeature(BalloonFeature.PageReporting);
    if (index === REPORTING_INDEX) return reporting ? BalloonQueue.Reporting : undefined;
    const roles = [BalloonQueue.Inflate, BalloonQueue.Deflate];
    if (context.hasFeature(BalloonFeature.StatsQueue)) roles.push(BalloonQueue.Stats);
    if (reporting) roles.push(BalloonQueue.Reporting);
    return roles[index];
  }

  private inflate(queue: VirtQueue): void {
    const { chain, context } = this;
    while (queue.pop(chain)) {
      const { length } = chain.readable;
      const count = Math.floor(chain.readable.read(this.numberBytes) / 4);
      const outside = discardPages(context.ram, this.numbers.subarray(0, count));
      if (outside > 0) context.log.warn('balloon-ram', `balloon: ${outside} pages outside RAM`);
      if (length !== 4 * count) {
        context.log.warn('balloon-length', `balloon: ${length} bytes of page numbers`);
      }
      queue.push(chain.token, 0);
    }
  }

  /** The buffer stays in the queue until the host wants to know more (5.5.6.3). */
  private takeStatistics(queue: VirtQueue): void {
    if (!queue.pop(this.chain)) return;
    this.store.store(this.chain.readable);
    queue.unpop(this.chain);
    this.statisticsDoorbell?.ring();
  }

  /** Free pages become zero, unless the driver has filled them with something else (5.5.6.7.2). */
  private report(queue: VirtQueue): void {
    const { chain, context, view } = this;
    const poisoned = context.hasFeature(BalloonFeature.PagePoison);
    const keep = poisoned && view.getUint32(ConfigField.PoisonValue, true) !== 0;
    while (queue.pop(chain)) {
      const { writable } = chain;
      for (let i = 0; i < writable.count && !keep; i++) {
        discardRange(context.ram, writable.address(i), writable.size(i));
      }
      queue.push(chain.token, 0);
    }
  }

  /** Asks the guest for a balloon of so many bytes, rounded down to pages and at most all RAM. */
  setTarget(bytes: number): void {
    const limit = Math.min(this.context.ram.size, BALLOON_PAGE * 0xffff_ffff);
    const pages = Math.floor(Math.min(Math.max(bytes, 0), limit) / BALLOON_PAGE);
    this.context.lock();
    this.view.setUint32(ConfigField.NumPages, pages, true);
    this.context.configChanged();
    this.context.unlock();
  }

  /** Bytes the host asks for. */
  get target(): number {
    return this.view.getUint32(ConfigField.NumPages, true) * BALLOON_PAGE;
  }

  /** Bytes in the balloon, by the word of the guest. */
  get actual(): number {
    return this.view.getUint32(ConfigField.Actual, true) * BALLOON_PAGE;
  }

  /** Asks for statistics; the doorbell rings when they have come, if the guest sends any. */
  requestStatistics(): void {
    if (!this.context.hasFeature(BalloonFeature.StatsQueue)) return;
    this.context.runQueue(BalloonQueue.Stats, (queue) => {
      while (queue.pop(this.chain)) queue.push(this.chain.token, 0);
    });
  }

  /** The statistics that came last. */
  get statistics(): BalloonStatistics {
    let statistics: BalloonStatistics = {};
    this.context.runQueue(BalloonQueue.Stats, () => (statistics = this.store.parse()));
    return statistics;
  }
}
