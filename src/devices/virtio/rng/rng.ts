/**
 * The entropy device (virtio 1.2, 5.4): random bytes of the host, straight into guest memory.
 *
 * A buffer gets 64 KiB at most, and all of them together what a rate limit allows, so that a guest
 * cannot keep the host's processor busy with it. A buffer may come back shorter than it is (5.4.6.2).
 */
import { randomFillSync } from 'node:crypto';
import { DeviceType } from '../constants.js';
import type { DeviceContext, VirtioDevice } from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import { TokenBucket, type RateLimit } from '../token-bucket.js';

/** The most that one buffer gets. */
export const RNG_BUFFER_LIMIT = 65536;

/** Bytes: a burst for a guest that boots, then 1 MiB a second. */
const DEFAULT_LIMIT: RateLimit = { perSecond: 2 ** 20, burst: 2 ** 20 };
/** A buffer is not cut shorter than this for want of tokens. */
const SMALLEST_SHARE = 512;

/** Settings of the device. */
export interface RngOptions {
  /** Bytes a second, and in a burst. */
  readonly limit?: RateLimit;
  /** Fills bytes with randomness; the host's generator unless a test wants otherwise. */
  readonly fill?: (bytes: Uint8Array) => void;
  /** Milliseconds. */
  readonly now?: () => number;
}

/** virtio-rng. */
export class RngDevice implements VirtioDevice {
  readonly type = DeviceType.Entropy;
  readonly name = 'rng';
  readonly features: readonly number[] = [];
  readonly queueSizes: readonly number[] = [64];
  readonly configBytes = 0;
  readonly stateBytes = TokenBucket.STATE_BYTES;

  private readonly limit: RateLimit;
  private readonly fill: (bytes: Uint8Array) => void;
  private readonly now: () => number;
  private context!: DeviceContext;
  private chain!: DescriptorChain;
  private bucket!: TokenBucket;

  constructor(options: RngOptions = {}) {
    this.limit = options.limit ?? DEFAULT_LIMIT;
    this.fill = options.fill ?? ((bytes) => void randomFillSync(bytes));
    this.now = options.now ?? (() => performance.now());
  }

  attach(context: DeviceContext): void {
    this.context = context;
    this.chain = context.createChain();
    this.bucket = new TokenBucket(context.state, 0, this.limit, this.now);
  }

  readConfig(): number {
    return 0;
  }

  process(queue: VirtQueue): void {
    const { chain, bucket } = this;
    const smallest = Math.min(SMALLEST_SHARE, this.limit.burst);
    while (queue.pop(chain)) {
      const { writable } = chain;
      const wanted = Math.min(writable.length, RNG_BUFFER_LIMIT);
      const available = bucket.available();
      if (available < Math.min(wanted, smallest)) {
        queue.unpop(chain);
        this.context.processLater(queue.index, bucket.wait(Math.min(wanted, smallest)));
        return;
      }
      const filled = writable.fill(Math.min(wanted, available), this.fill);
      bucket.take(filled);
      queue.push(chain.token, filled);
    }
  }
}
