/** One pair of queues of a network device, in the thread that serves it. */
import type { VirtQueue } from '../queue/virt-queue.js';

/** What a device does with a pair, whatever its network is. */
export interface QueuePair {
  /** A turn of the transmit queue. */
  send(queue: VirtQueue): void;
  /** A turn of the receive queue. */
  fill(queue: VirtQueue): void;
  /** Of the first pair: so many are in use from now on. */
  usePairs?(pairs: number): void;
  /** Frames wait at the host from now on. */
  hold(): void;
  /** The end of {@link hold}. */
  release(): void;
}
