/** The driver's side of a split ring: makes chains available and takes used ones. */
import { DescriptorFlag } from '../../../src/devices/virtio/constants.js';
import type { FakeRam } from './fake-ram.js';

/** One buffer of a chain. */
export interface Buffer {
  readonly address: number | bigint;
  readonly length: number;
  readonly writable?: boolean;
}

export interface RingPlace {
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
}

export const PLACE: RingPlace = { descriptors: 0x1000, driver: 0x2000, device: 0x3000 };

export class RingDriver {
  availableIndex = 0;
  usedIndex = 0;
  private nextDescriptor = 0;

  constructor(
    readonly ram: FakeRam,
    readonly size: number,
    readonly place: RingPlace = PLACE,
  ) {}

  /** Writes a descriptor with any content. */
  descriptor(
    index: number,
    address: number | bigint,
    length: number,
    flags: number,
    next = 0,
    table = this.place.descriptors,
  ): void {
    const at = table + 16 * index;
    this.ram.set64(at, BigInt(address));
    this.ram.set(at + 8, 4, length);
    this.ram.set(at + 12, 2, flags);
    this.ram.set(at + 14, 2, next);
  }

  /** Writes a chain of descriptors; returns its head. */
  chain(buffers: readonly Buffer[]): number {
    const head = this.nextDescriptor % this.size;
    buffers.forEach(({ address, length, writable }, i) => {
      const index = this.nextDescriptor++ % this.size;
      const last = i === buffers.length - 1;
      const flags =
        (writable === true ? DescriptorFlag.Write : 0) | (last ? 0 : DescriptorFlag.Next);
      this.descriptor(index, address, length, flags, last ? 0 : this.nextDescriptor % this.size);
    });
    return head;
  }

  /** Writes a table at `table` and one descriptor that refers to it; returns its head. */
  indirect(table: number, buffers: readonly Buffer[], flags = 0): number {
    buffers.forEach(({ address, length, writable }, i) => {
      const last = i === buffers.length - 1;
      const own = (writable === true ? DescriptorFlag.Write : 0) | (last ? 0 : DescriptorFlag.Next);
      this.descriptor(i, address, length, own, last ? 0 : i + 1, table);
    });
    const head = this.nextDescriptor++ % this.size;
    this.descriptor(head, table, 16 * buffers.length, DescriptorFlag.Indirect | flags);
    return head;
  }

  /** Puts heads into the available ring and moves its index. */
  offer(...heads: readonly number[]): void {
    for (const head of heads) {
      this.ram.set(this.place.driver + 4 + 2 * (this.availableIndex % this.size), 2, head);
      this.availableIndex = (this.availableIndex + 1) & 0xffff;
    }
    this.setAvailableIndex(this.availableIndex);
  }

  setAvailableIndex(index: number): void {
    this.ram.set(this.place.driver + 2, 2, index);
  }

  /** A chain made available. */
  send(...buffers: readonly Buffer[]): number {
    const head = this.chain(buffers);
    this.offer(head);
    return head;
  }

  setAvailableFlags(flags: number): void {
    this.ram.set(this.place.driver, 2, flags);
  }

  /** used_event: notify when the used index passes this. */
  setUsedEvent(event: number): void {
    this.ram.set(this.place.driver + 4 + 2 * this.size, 2, event);
  }

  get usedFlags(): number {
    return this.ram.get(this.place.device, 2);
  }

  get deviceIndex(): number {
    return this.ram.get(this.place.device + 2, 2);
  }

  get availableEvent(): number {
    return this.ram.get(this.place.device + 4 + 8 * this.size, 2);
  }

  /** Takes the used entries since the last call. */
  take(): { id: number; length: number }[] {
    const entries: { id: number; length: number }[] = [];
    while (this.usedIndex !== this.deviceIndex) {
      const at = this.place.device + 4 + 8 * (this.usedIndex % this.size);
      entries.push({ id: this.ram.get(at, 4), length: this.ram.get(at + 4, 4) });
      this.usedIndex = (this.usedIndex + 1) & 0xffff;
    }
    return entries;
  }
}
