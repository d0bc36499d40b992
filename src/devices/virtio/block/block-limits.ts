/** Rate limits of a disk: bytes and operations a second, shared by all its queues and threads. */
import { TokenBucket } from '../token-bucket.js';
import { BYTES_BUCKET, OPERATIONS_BUCKET, StateWord, stateWords } from './block-layout.js';
import type { DiskRateLimits } from './block-options.js';

const LOCK_TRIES = 1000;

/**
 * Two buckets of tokens behind one lock. A request may begin when its tokens are there, or a full
 * burst; what it takes beyond that is a debt, so that large requests hold to the rate as well.
 */
export class BlockLimits {
  /** False when nothing is limited. */
  readonly active: boolean;
  private readonly bytes: TokenBucket | undefined;
  private readonly operations: TokenBucket | undefined;
  private readonly words: Int32Array<SharedArrayBuffer>;

  constructor(
    state: Uint8Array<SharedArrayBuffer>,
    private readonly options: DiskRateLimits,
    now: () => number,
  ) {
    const { byteLimit, operationLimit } = options;
    this.words = stateWords(state);
    if (byteLimit !== undefined) {
      this.bytes = new TokenBucket(state, BYTES_BUCKET, byteLimit, now);
    }
    if (operationLimit !== undefined) {
      this.operations = new TokenBucket(state, OPERATIONS_BUCKET, operationLimit, now);
    }
    this.active = this.bytes !== undefined || this.operations !== undefined;
  }

  /** Milliseconds until a request of so many bytes may begin; 0 takes its tokens. */
  take(bytes: number): number {
    this.lock();
    try {
      const wait = Math.max(
        shortage(this.bytes, bytes, this.options.byteLimit?.burst),
        shortage(this.operations, 1, this.options.operationLimit?.burst),
      );
      if (wait > 0) return wait;
      if (bytes > 0) this.bytes?.take(bytes);
      this.operations?.take(1);
      return 0;
    } finally {
      this.unlock();
    }
  }

  /** Gives tokens back: the request did not begin. */
  giveBack(bytes: number): void {
    this.lock();
    if (bytes > 0) this.bytes?.take(-bytes);
    this.operations?.take(-1);
    this.unlock();
  }

  private lock(): void {
    const { words } = this;
    // Nobody holds it for long: a restored state may say that somebody does who never was.
    for (let tries = 0; tries < LOCK_TRIES; tries++) {
      if (Atomics.compareExchange(words, StateWord.LimitLock, 0, 1) === 0) return;
      Atomics.wait(words, StateWord.LimitLock, 1, 1);
    }
  }

  private unlock(): void {
    Atomics.store(this.words, StateWord.LimitLock, 0);
    Atomics.notify(this.words, StateWord.LimitLock, 1);
  }
}

function shortage(bucket: TokenBucket | undefined, count: number, burst = 0): number {
  if (bucket === undefined || count === 0) return 0;
  const available = bucket.available();
  return available >= Math.min(count, burst) ? 0 : Math.max(1, bucket.wait(count));
}
