/** A driver's side of a split ring that a case of a fuzzer directs. */
import { DescriptorFlag } from '../../../src/devices/virtio/constants.js';
import type { Input } from '../engine/input.js';
import { HIGH_SIZE, HIGH_START, LOW_SIZE, type FuzzRam } from './fuzz-ram.js';

export interface Piece {
  readonly address: number | bigint;
  readonly length: number;
  readonly writable: boolean;
}

export interface RingPlace {
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
}

/** A guest address: in RAM, at one of its edges, or anywhere. */
export function anyAddress(input: Input): bigint {
  const kind = input.u8();
  if (kind < 128) return BigInt(input.u16() * 2);
  if (kind < 160) return BigInt(LOW_SIZE - 32 + input.below(64));
  if (kind < 192) return BigInt(HIGH_START + input.below(HIGH_SIZE));
  if (kind < 208) return BigInt(HIGH_START + HIGH_SIZE - 32 + input.below(64));
  return input.long();
}

export class FuzzRing {
  availableIndex = 0;
  usedIndex = 0;
  private next = 0;

  constructor(
    readonly ram: FuzzRam,
    public size: number,
    readonly place: RingPlace,
    /** Where indirect tables are written. */
    readonly table: number,
  ) {}

  /** As a driver that begins. Memory has been zeroed. */
  restart(size: number): void {
    this.size = size;
    this.availableIndex = 0;
    this.usedIndex = 0;
    this.next = 0;
  }

  descriptor(
    index: number,
    { address, length }: Pick<Piece, 'address' | 'length'>,
    flags: number,
    next: number,
    table = this.place.descriptors,
  ): void {
    const at = table + 16 * index;
    this.ram.set64(at, BigInt(address));
    this.ram.set32(at + 8, length);
    this.ram.set16(at + 12, flags);
    this.ram.set16(at + 14, next);
  }

  /** A chain of descriptors as the specification has it; its head. */
  chain(pieces: readonly Piece[]): number {
    const count = Math.min(pieces.length, this.size);
    const head = this.next % this.size;
    for (let i = 0; i < count; i++) {
      const index = this.next++ % this.size;
      const last = i === count - 1;
      const flags = (pieces[i]!.writable ? DescriptorFlag.Write : 0) | (last ? 0 : 1);
      this.descriptor(index, pieces[i]!, flags, last ? 0 : this.next % this.size);
    }
    return head;
  }

  /** The same in an indirect table. */
  indirect(pieces: readonly Piece[]): number {
    pieces.forEach((piece, i) => {
      const last = i === pieces.length - 1;
      const flags = (piece.writable ? DescriptorFlag.Write : 0) | (last ? 0 : 1);
      this.descriptor(i, piece, flags, last ? 0 : i + 1, this.table);
    });
    const head = this.next++ % this.size;
    const table = { address: this.table, length: 16 * pieces.length };
    this.descriptor(head, table, DescriptorFlag.Indirect, 0);
    return head;
  }

  offer(head: number): void {
    this.ram.set16(this.place.driver + 4 + 2 * (this.availableIndex % this.size), head);
    this.availableIndex = (this.availableIndex + 1) & 0xffff;
    this.ram.set16(this.place.driver + 2, this.availableIndex);
  }

  send(pieces: readonly Piece[], indirect = false): number {
    const head = indirect ? this.indirect(pieces) : this.chain(pieces);
    this.offer(head);
    return head;
  }

  /** Makes something about the ring wrong, or strange. */
  damage(input: Input): void {
    const { ram, place, size } = this;
    const table = input.chance(96) ? this.table : place.descriptors;
    const at = table + 16 * (input.below(32) % (table === this.table ? 32 : size));
    switch (input.below(10)) {
      case 0:
        ram.set64(at, anyAddress(input));
        break;
      case 1:
        ram.set32(at + 8, input.word());
        break;
      case 2:
        ram.set16(at + 12, input.u8() & 7);
        break;
      case 3:
        ram.set16(at + 14, input.below(64));
        break;
      case 4:
        ram.set16(at + 12 + 2 * input.below(2), input.u16());
        break;
      case 5:
        ram.set16(place.driver + 4 + 2 * input.below(size), input.below(2 * size));
        break;
      case 6:
        this.availableIndex = (this.availableIndex + input.below(size + 2)) & 0xffff;
        ram.set16(place.driver + 2, this.availableIndex);
        break;
      case 7:
        ram.set16(place.driver + 2, input.u16());
        break;
      case 8:
        ram.set16(place.driver, input.below(4));
        break;
      default:
        ram.set16(place.driver + 4 + 2 * size, input.u16());
    }
  }

  /** Lengths of the chains that have come back since the last call, up to a ring full. */
  take(): number[] {
    const lengths: number[] = [];
    const index = this.ram.get16(this.place.device + 2);
    while (this.usedIndex !== index && lengths.length < this.size) {
      const at = this.place.device + 4 + 8 * (this.usedIndex % this.size);
      lengths.push(this.ram.get32(at + 4));
      this.usedIndex = (this.usedIndex + 1) & 0xffff;
    }
    return lengths;
  }
}
