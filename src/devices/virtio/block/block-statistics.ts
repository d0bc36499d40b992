/** Counters of a disk, in its state: each queue has its own, so that no two threads write one. */
import { BlockRequestType, COUNTERS, Counter } from './block-layout.js';

/** What a disk has done since power-on. Bytes are those of requests that succeeded. */
export interface BlockStatistics {
  readonly reads: number;
  readonly readBytes: number;
  readonly writes: number;
  readonly writeBytes: number;
  readonly flushes: number;
  readonly discards: number;
  readonly writeZeroes: number;
  /** Requests the guest was told have failed. */
  readonly errors: number;
  /** Times a request had to wait for a rate limit. */
  readonly throttled: number;
  /** Requests with the backend now. */
  readonly inFlight: number;
}

/** The counters of all queues. */
export class BlockCounters {
  private readonly numbers: Float64Array<SharedArrayBuffer>;

  constructor(
    state: Uint8Array<SharedArrayBuffer>,
    private readonly queues: number,
  ) {
    this.numbers = new Float64Array(
      state.buffer,
      state.byteOffset + COUNTERS,
      queues * Counter.Count,
    );
  }

  /** Adds to a counter of a queue; the caller has the queue's lock. */
  add(queue: number, counter: Counter, value = 1): void {
    this.numbers[queue * Counter.Count + counter]! += value;
  }

  /** Counts a request that succeeded. */
  succeeded(queue: number, type: BlockRequestType, length: number): void {
    switch (type) {
      case BlockRequestType.In:
        this.add(queue, Counter.Reads);
        this.add(queue, Counter.ReadBytes, length);
        break;
      case BlockRequestType.Out:
        this.add(queue, Counter.Writes);
        this.add(queue, Counter.WriteBytes, length);
        break;
      case BlockRequestType.Flush:
        this.add(queue, Counter.Flushes);
        break;
      case BlockRequestType.Discard:
        this.add(queue, Counter.Discards);
        break;
      default:
        this.add(queue, Counter.WriteZeroes);
    }
  }

  /** The sum over all queues. */
  sum(counter: Counter): number {
    let sum = 0;
    for (let queue = 0; queue < this.queues; queue++) {
      sum += this.numbers[queue * Counter.Count + counter]!;
    }
    return sum;
  }

  read(): BlockStatistics {
    return {
      reads: this.sum(Counter.Reads),
      readBytes: this.sum(Counter.ReadBytes),
      writes: this.sum(Counter.Writes),
      writeBytes: this.sum(Counter.WriteBytes),
      flushes: this.sum(Counter.Flushes),
      discards: this.sum(Counter.Discards),
      writeZeroes: this.sum(Counter.WriteZeroes),
      errors: this.sum(Counter.Errors),
      throttled: this.sum(Counter.Throttled),
      inFlight: this.sum(Counter.InFlight),
    };
  }
}
