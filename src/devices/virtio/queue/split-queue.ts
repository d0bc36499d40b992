/**
 * The split virtqueue (virtio 1.2, 2.7).
 *
 * ```
 *   descriptor area        driver area (available)        device area (used)
 *   size x 16 bytes        flags idx ring[size] event     flags idx {id len}[size] event
 *                                    ^                              ^
 *        device fetches:  idx with a fence, then the ring   device: ring, then idx with a fence,
 *        entry, then each descriptor once                   then the driver's event or flags
 * ```
 *
 * Positions live in the queue's register block; during a turn they are fields of this object, and
 * `end` puts them back. So a queue that nobody is serving is nothing but its registers.
 */
import { constants } from '../constants.js';
import type { DescriptorChain } from './descriptor-chain.js';
import { RamCursor, type GuestRam } from './guest-ram.js';
import { QueueArea, QueueWord, type QueueRegisters } from './queue-registers.js';
import { SplitChainReader } from './split-chain.js';
import { splitLayoutProblem } from './split-layout.js';
import type { QueueControl } from './virt-queue.js';

/** One thread's view of a split queue. */
export class SplitQueue implements QueueControl {
  failure: string | undefined;
  notify = false;
  more = false;

  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly driver: RamCursor;
  private readonly device: RamCursor;
  private readonly reader: SplitChainReader;

  // Copies of the registers for one turn.
  private live = false;
  private entries = 0;
  private mask = 0;
  private descriptorArea = 0;
  private driverArea = 0;
  private deviceArea = 0;
  private eventIndex = false;
  private indirect = false;
  private nextAvailable = 0;
  private nextUsed = 0;
  private taken = 0;
  // State of the turn.
  private available = 0;
  private budget = 0;
  private sawEmpty = false;
  /** The available index at the end of a polled turn, and whether that took all there was. */
  private looked = 0;
  private drained = false;
  /** Head of the last chain popped, as long as it has not been pushed; or -1. */
  private inHand = -1;

  constructor(
    readonly registers: QueueRegisters,
    private readonly ram: GuestRam,
    readonly index: number,
    ramStart: number,
  ) {
    this.words = registers.words;
    this.driver = new RamCursor(ram, ramStart);
    this.device = new RamCursor(ram, ramStart);
    this.reader = new SplitChainReader(ram, ramStart);
  }

  get size(): number {
    return this.entries;
  }

  get inFlight(): number {
    return this.taken;
  }

  get epoch(): number {
    return this.words[QueueWord.Epoch]! & constants.EPOCH_MASK;
  }

  begin(live: boolean, budget: number): void {
    const { words, registers } = this;
    this.failure = undefined;
    this.notify = false;
    this.more = false;
    this.sawEmpty = false;
    this.inHand = -1;
    this.budget = budget;
    this.live = live && words[QueueWord.Ready] === 1;
    this.entries = 0;
    this.taken = Math.max(words[QueueWord.InFlight]!, 0);
    if (words[QueueWord.Ready] !== 1) return;
    // Checked when the queue was made ready; a restored block can hold anything.
    const problem = splitLayoutProblem(registers, this.ram);
    if (problem !== undefined) {
      this.fail(problem);
      return;
    }
    this.entries = words[QueueWord.Size]!;
    this.mask = this.entries - 1;
    this.descriptorArea = registers.areaAddress(QueueArea.Descriptor);
    this.driverArea = registers.areaAddress(QueueArea.Driver);
    this.deviceArea = registers.areaAddress(QueueArea.Device);
    this.eventIndex = words[QueueWord.EventIndex] !== 0;
    this.indirect = words[QueueWord.Indirect] !== 0;
    this.nextAvailable = words[QueueWord.NextAvailable]! & 0xffff;
    this.nextUsed = words[QueueWord.NextUsed]! & 0xffff;
    this.available = this.nextAvailable;
  }

  pop(chain: DescriptorChain): boolean {
    if (!this.live) return false;
    if (this.budget <= 0) {
      this.more = true;
      return false;
    }
    const at = this.nextAvailable;
    if (at === this.available && !this.fetchAvailable()) return false;
    const head = this.driver.get16(this.driverArea + 4 + 2 * (at & this.mask));
    if (head >= this.entries) return this.fail(`chain head ${head} is outside the ring`);
    if (this.registers.isInFlight(head)) return this.fail(`chain head ${head} is in flight`);
    const { reader, descriptorArea, entries, indirect } = this;
    const problem = reader.read(chain, descriptorArea, entries, head, indirect);
    if (problem !== undefined) return this.fail(problem);
    if (!this.eventIndex && this.words[QueueWord.Suppressed] === 0) this.suppressKicks();
    this.registers.setInFlight(head, true);
    this.nextAvailable = (at + 1) & 0xffff;
    this.taken++;
    this.budget--;
    this.sawEmpty = false;
    this.inHand = head;
    chain.token = this.epoch * 2 ** 16 + head;
    return true;
  }

  /** Looks how far the driver has got; false when there is nothing new. */
  private fetchAvailable(): boolean {
    const index = this.driver.load16(this.driverArea + 2);
    const pending = (index - this.nextAvailable) & 0xffff;
    if (pending === 0) {
      this.sawEmpty = true;
      return false;
    }
    if (pending > this.entries) {
      return this.fail(`the available index jumped by ${pending} in a ring of ${this.entries}`);
    }
    this.available = index;
    return true;
  }

  unpop(chain: DescriptorChain): void {
    const head = chain.token & 0xffff;
    if (chain.token < 0 || !this.registers.isInFlight(head)) throw new Error('nothing to put back');
    this.registers.setInFlight(head, false);
    this.nextAvailable = (this.nextAvailable - 1) & 0xffff;
    this.taken--;
    this.inHand = -1;
    chain.clear();
  }

  push(token: number, written: number): void {
    const head = token & 0xffff;
    const { epoch } = this;
    if (!(token >= 0) || Math.floor(token / 2 ** 16) !== epoch) {
      this.registers.drained();
      return;
    }
    if (head >= this.entries || !this.registers.isInFlight(head)) {
      throw new Error(`chain ${head} of queue ${this.index} is not in flight`);
    }
    this.registers.setInFlight(head, false);
    this.taken--;
    if (head === this.inHand) this.inHand = -1;
    const at = this.deviceArea + 4 + 8 * (this.nextUsed & this.mask);
    this.device.set32(at, head);
    this.device.set32(at + 4, written);
    this.nextUsed = (this.nextUsed + 1) & 0xffff;
  }

  abandon(): void {
    if (this.inHand < 0) return;
    this.registers.setInFlight(this.inHand, false);
    this.taken--;
    this.inHand = -1;
  }

  end(polled = false): void {
    const { words } = this;
    this.live = false;
    if (this.entries === 0) return;
    words[QueueWord.NextAvailable] = this.nextAvailable;
    words[QueueWord.InFlight] = this.taken;
    this.publish();
    const empty = this.sawEmpty && this.failure === undefined;
    if (polled) {
      this.drained = empty;
      this.looked = empty ? this.available : this.driver.load16(this.driverArea + 2);
    } else if (empty) {
      this.allowKicks(this.available);
    }
  }

  pending(): boolean {
    const { words } = this;
    if (words[QueueWord.Ready] !== 1) return false;
    const area = this.registers.areaAddress(QueueArea.Driver);
    try {
      return this.driver.load16(area + 2) !== this.looked;
    } catch {
      // The queue is being reset and set up again: half of an address is not RAM.
      return false;
    }
  }

  rest(): void {
    this.begin(true, 0);
    if (this.live && this.drained) {
      // Chains that were put back lie between the two; turns since then may have gone past `looked`.
      const left = (this.looked - this.nextAvailable) & 0xffff;
      this.allowKicks(left <= this.entries ? this.looked : this.nextAvailable);
    }
    this.live = false;
  }

  /** Makes the used entries visible; one decision for all of them (2.7.7.2, 2.7.10). */
  private publish(): void {
    const { words, nextUsed } = this;
    const before = words[QueueWord.NextUsed]! & 0xffff;
    if (nextUsed === before) return;
    this.device.store16(this.deviceArea + 2, nextUsed);
    words[QueueWord.NextUsed] = nextUsed;
    if (this.eventIndex) {
      const event = this.driver.load16(this.driverArea + 4 + 2 * this.entries);
      this.notify = ((nextUsed - event - 1) & 0xffff) < ((nextUsed - before) & 0xffff);
    } else {
      const flags = this.driver.load16(this.driverArea);
      this.notify = (flags & constants.AVAIL_NO_INTERRUPT) === 0;
    }
  }

  private suppressKicks(): void {
    this.words[QueueWord.Suppressed] = 1;
    this.device.store16(this.deviceArea, constants.USED_NO_NOTIFY);
  }

  /**
   * Asks for a kick for the chain at `next`, then looks whether it has come in between (2.7.10). Chains
   * before it that have been put back are too few for what the device waits with.
   */
  private allowKicks(next: number): void {
    if (this.eventIndex) {
      this.device.store16(this.deviceArea + 4 + 8 * this.entries, next);
    } else if (this.words[QueueWord.Suppressed] !== 0) {
      this.words[QueueWord.Suppressed] = 0;
      this.device.store16(this.deviceArea, 0);
    }
    this.more = this.driver.load16(this.driverArea + 2) !== next;
  }

  private fail(reason: string): false {
    this.failure = `queue ${this.index}: ${reason}`;
    this.live = false;
    return false;
  }
}
