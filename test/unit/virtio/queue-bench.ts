/** A split queue with its driver, without a device around it. */
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { DescriptorChain } from '../../../src/devices/virtio/queue/descriptor-chain.js';
import { GuestRam } from '../../../src/devices/virtio/queue/guest-ram.js';
import {
  QueueRegisters,
  QueueWord,
  queueRegisterBytes,
} from '../../../src/devices/virtio/queue/queue-registers.js';
import { SplitQueue } from '../../../src/devices/virtio/queue/split-queue.js';
import { FakeRam } from './fake-ram.js';
import { PLACE, RingDriver, type RingPlace } from './ring-driver.js';

export interface BenchOptions {
  readonly size?: number;
  readonly maximumSize?: number;
  readonly eventIndex?: boolean;
  readonly indirect?: boolean;
  readonly place?: RingPlace;
}

/** A chain that was popped, copied out of the reusable object. */
export interface Popped {
  readonly token: number;
  readonly readable: { address: number; length: number }[];
  readonly writable: { address: number; length: number }[];
}

export class QueueBench {
  readonly ram = new FakeRam();
  readonly driver: RingDriver;
  readonly registers: QueueRegisters;
  readonly queue: SplitQueue;
  readonly chain: DescriptorChain;

  constructor({
    size = 16,
    maximumSize = Math.max(size, 256),
    eventIndex = false,
    indirect = true,
    place = PLACE,
  }: BenchOptions = {}) {
    this.driver = new RingDriver(this.ram, size, place);
    const block = RegisterBlock.standalone(queueRegisterBytes(maximumSize));
    this.registers = new QueueRegisters(block, maximumSize);
    const { words } = this.registers;
    words[QueueWord.Size] = size;
    words[QueueWord.EventIndex] = eventIndex ? 1 : 0;
    words[QueueWord.Indirect] = indirect ? 1 : 0;
    words[QueueWord.Ready] = 1;
    [place.descriptors, place.driver, place.device].forEach((address, i) => {
      words[QueueWord.DescriptorLow + 2 * i] = address % 2 ** 32;
      words[QueueWord.DescriptorHigh + 2 * i] = Math.floor(address / 2 ** 32);
    });
    const ram = new GuestRam(this.ram);
    this.queue = new SplitQueue(this.registers, ram, 0, 0);
    this.chain = new DescriptorChain(ram, maximumSize, 0);
  }

  /** One turn. */
  turn(action: () => void, budget = 64): this {
    this.queue.begin(true, budget);
    action();
    this.queue.end();
    return this;
  }

  /** Everything that can be popped, not pushed back. */
  popAll(budget = 1 << 20): Popped[] {
    const popped: Popped[] = [];
    this.turn(() => {
      while (this.queue.pop(this.chain)) popped.push(this.copy());
    }, budget);
    return popped;
  }

  /** Pops and pushes everything. */
  serve(budget = 1 << 20): Popped[] {
    const popped: Popped[] = [];
    this.turn(() => {
      while (this.queue.pop(this.chain)) {
        popped.push(this.copy());
        this.queue.push(this.chain.token, this.chain.writable.length);
      }
    }, budget);
    return popped;
  }

  private copy(): Popped {
    const { token, readable, writable } = this.chain;
    const list = (segments: typeof readable | typeof writable): Popped['readable'] =>
      Array.from({ length: segments.count }, (_, i) => ({
        address: segments.address(i),
        length: segments.size(i),
      }));
    return { token, readable: list(readable), writable: list(writable) };
  }
}
