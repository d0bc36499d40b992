/**
 * What a device sees of a virtqueue (virtio 1.2, 2.6). Split or packed makes no difference to it:
 * the token stands for the buffer id of either.
 */
import type { DescriptorChain } from './descriptor-chain.js';

/** A queue during one turn of its device; see {@link VirtioDevice.process}. */
export interface VirtQueue {
  /** Index of the queue in its device. */
  readonly index: number;
  /** Entries of the ring, as the driver has configured it; 0 while the queue is not ready. */
  readonly size: number;
  /** Chains taken and not pushed back. */
  readonly inFlight: number;
  /** Changes whenever the queue is reset. */
  readonly epoch: number;

  /**
   * Takes the next chain into `chain`. False when there is none, when the turn has used up its
   * budget (another turn follows), or when the queue has failed. A device that stops before it
   * sees false waits for something other than the driver, and has to ask for the next turn itself.
   */
  pop(chain: DescriptorChain): boolean;

  /** Puts back the chain of the last `pop` of this turn, as if it had not been taken. */
  unpop(chain: DescriptorChain): void;

  /**
   * Gives a chain back to the driver, in any order. The driver is told at the end of the turn, once
   * for all chains. A token from before a reset of the queue is accepted and has no effect.
   * @param written bytes written, counted from the first writable one; may be an underestimate
   */
  push(token: number, written: number): void;
}

/** What the device core does with a queue, apart from its device. */
export interface QueueControl extends VirtQueue {
  /** Why the queue failed in this turn, or undefined. */
  readonly failure: string | undefined;
  /**
   * Begins a turn. The queue's lock is held until after {@link end}.
   * @param live false lets nothing be popped, but chains can be pushed
   */
  begin(live: boolean, budget: number): void;
  /**
   * The device has thrown: the chain it popped last is lost if it has not been pushed, and nothing
   * waits for it.
   */
  abandon(): void;
  /**
   * Ends the turn: publishes what was pushed, then decides about notifications, see below.
   * @param polled the driver is not asked for kicks: somebody looks at {@link pending} instead
   */
  end(polled?: boolean): void;
  /** Without a turn or a lock: the driver has made chains available since the last turn. */
  pending(): boolean;
  /**
   * After a turn that was polled, under the queue's lock: from now on the driver is to kick, unless
   * the device has left chains in the queue, for which it waits for something else.
   */
  rest(): void;
  /** After {@link end}: the driver wants to hear of the chains that were pushed. */
  readonly notify: boolean;
  /** After {@link end}: the turn ended with chains left, and the driver will not kick for them. */
  readonly more: boolean;
}
