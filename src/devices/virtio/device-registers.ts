/**
 * The shared memory of one virtio device: a block for the device with its transport, and one for
 * each queue, so that queues can be served by different threads at the same time.
 *
 * ```
 *   device block:  core words | transport words | state of the device
 *   queue blocks:  position, addresses, chains in flight          (queue/queue-registers.ts)
 * ```
 *
 * Locks are taken in this order: device, then queue.
 */
import {
  RegisterBlock,
  type RegisterBlockHandle,
  type RegisterFileBuilder,
} from '../../bus/register-block.js';
import type { VirtioDevice } from './device.js';
import { QueueRegisters, QueueWord, queueRegisterBytes } from './queue/queue-registers.js';

/** Words of the device core. */
export enum CoreWord {
  Status,
  /** Feature bits the driver has written, 32 a word. */
  DriverFeatures0,
  DriverFeatures1,
  DriverFeatures2,
  DriverFeatures3,
  /** Set when the driver has accepted a feature bit above 127. */
  DriverFeaturesBeyond,
  ConfigGeneration,
  /** A reset waits for chains to come back. */
  Resetting,
  /** First of the words that belong to the transport. */
  Transport,
}

/** Words a transport has for its selectors and interrupt state. */
export const TRANSPORT_WORDS = 24;

/** A multiple of 8 bytes, so that the state can be viewed as 64-bit numbers. */
const STATE_WORD = CoreWord.Transport + TRANSPORT_WORDS;

/** Where the blocks are; plain data for other threads. */
export interface VirtioRegisterPlan {
  readonly device: RegisterBlockHandle;
  readonly queues: readonly RegisterBlockHandle[];
}

/** What the plan depends on. */
export type DeviceShape = Pick<VirtioDevice, 'queueSizes' | 'stateBytes'>;

/** Reserves the blocks of a device. */
export function planVirtioRegisters(
  builder: RegisterFileBuilder,
  name: string,
  shape: DeviceShape,
): VirtioRegisterPlan {
  return {
    device: builder.allocate(name, STATE_WORD * 4 + shape.stateBytes),
    queues: shape.queueSizes.map((size, i) =>
      builder.allocate(`${name}.queue${i}`, queueRegisterBytes(size)),
    ),
  };
}

/** The blocks of one device as one thread sees them. */
export class VirtioRegisters {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The words of the transport. */
  readonly transport: Int32Array<SharedArrayBuffer>;
  readonly state: Uint8Array<SharedArrayBuffer>;
  readonly queues: readonly QueueRegisters[];

  constructor(
    readonly block: RegisterBlock,
    queues: readonly RegisterBlock[],
    shape: DeviceShape,
  ) {
    this.words = block.words;
    this.transport = block.words.subarray(CoreWord.Transport, STATE_WORD);
    this.state = block.bytes.subarray(STATE_WORD * 4, STATE_WORD * 4 + shape.stateBytes);
    this.queues = shape.queueSizes.map((size, i) => new QueueRegisters(queues[i]!, size));
    for (const { words, maximumSize } of this.queues) {
      // A fresh block: the one register whose default is not zero.
      const fresh = words[QueueWord.Epoch] === 0 && words[QueueWord.Ready] === 0;
      if (fresh && words[QueueWord.Size] === 0) words[QueueWord.Size] = maximumSize;
    }
  }

  /** Opens the blocks of a plan in this thread. */
  static open(
    buffer: SharedArrayBuffer,
    plan: VirtioRegisterPlan,
    shape: DeviceShape,
  ): VirtioRegisters {
    const open = (handle: RegisterBlockHandle): RegisterBlock => new RegisterBlock(buffer, handle);
    return new VirtioRegisters(open(plan.device), plan.queues.map(open), shape);
  }

  /** Blocks of their own, for tests and single-threaded use. */
  static standalone(shape: DeviceShape): VirtioRegisters {
    const block = RegisterBlock.standalone(STATE_WORD * 4 + shape.stateBytes, 'virtio');
    const queues = shape.queueSizes.map((size) =>
      RegisterBlock.standalone(queueRegisterBytes(size), 'queue'),
    );
    return new VirtioRegisters(block, queues, shape);
  }

  /** Private copies of all blocks, the device first. All threads are stopped, or hold still. */
  save(): Uint8Array[] {
    return [this.block.save(), ...this.queues.map(({ block }) => block.save())];
  }

  /**
   * Puts saved blocks back.
   * @throws RangeError when their number or a length is another
   */
  restore(saved: readonly Uint8Array[]): void {
    if (saved.length !== 1 + this.queues.length) {
      throw new RangeError(`${saved.length} blocks of state, not ${1 + this.queues.length}`);
    }
    this.block.restore(saved[0]!);
    this.queues.forEach(({ block }, i) => block.restore(saved[i + 1]!));
  }
}
