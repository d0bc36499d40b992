/**
 * Walks a chain of a split ring's descriptor table (virtio 1.2, 2.7.5), with or without an indirect
 * table (2.7.5.3), and copies it into a {@link DescriptorChain}.
 *
 * Each descriptor is fetched once, into local variables; what is checked is what is used.
 */
import { DescriptorFlag, constants } from '../constants.js';
import type { DescriptorChain } from './descriptor-chain.js';
import { RamCursor, type GuestRam } from './guest-ram.js';

const { DESCRIPTOR_SIZE, MAX_CHAIN_BYTES } = constants;
/** `next` has 16 bits: no entry of an indirect table behind this one can be reached. */
const MAX_INDIRECT_ENTRIES = 65536;

/** Reads chains of one queue. */
export class SplitChainReader {
  private readonly direct: RamCursor;
  private readonly indirect: RamCursor;
  private readonly scratch = new Uint8Array(DESCRIPTOR_SIZE);
  private readonly words = new Uint32Array(this.scratch.buffer);

  constructor(
    private readonly ram: GuestRam,
    start: number,
  ) {
    this.direct = new RamCursor(ram, start);
    this.indirect = new RamCursor(ram, start);
  }

  /**
   * Copies the chain that begins at `head`.
   * @param table address of the descriptor table, which lies in RAM
   * @param size entries of the table; `head` is one of them
   * @returns what is wrong with the chain, or undefined
   */
  read(
    chain: DescriptorChain,
    table: number,
    size: number,
    head: number,
    indirectAllowed: boolean,
  ): string | undefined {
    const { words } = this;
    chain.clear();
    let base = table;
    let entries = size;
    let inTable = false;
    let limit = Math.min(size, chain.capacity);
    let total = 0;
    let written = false;
    for (let index = head, seen = 0; ; seen++) {
      if (seen === limit) return 'a descriptor chain is a loop or too long';
      this.fetch(inTable, base + index * DESCRIPTOR_SIZE);
      const address = words[1]! * 2 ** 32 + words[0]!;
      const length = words[2]!;
      const flags = words[3]! & 0xffff;
      const next = words[3]! >>> 16;
      if ((flags & DescriptorFlag.Indirect) !== 0) {
        // The WRITE flag of this descriptor is ignored, as 2.7.5.3.2 demands.
        const reason = this.checkIndirect(indirectAllowed, inTable, flags, address, length);
        if (reason !== undefined) return reason;
        base = address;
        entries = length / DESCRIPTOR_SIZE;
        inTable = true;
        index = 0;
        limit = chain.capacity + 1;
        continue;
      }
      // A descriptor without length carries nothing, and its address means nothing.
      if (length > 0) {
        if (!this.ram.contains(address, length)) return 'a descriptor points outside RAM';
        total += length;
        if (total > MAX_CHAIN_BYTES) return 'a descriptor chain is longer than 2^32 bytes';
        if ((flags & DescriptorFlag.Write) !== 0) {
          written = true;
          chain.writable.append(address, length);
        } else if (written) {
          return 'a readable descriptor follows a writable one';
        } else {
          chain.readable.append(address, length);
        }
      }
      if ((flags & DescriptorFlag.Next) === 0) return undefined;
      if (next >= entries) return 'the next descriptor is outside the table';
      index = next;
    }
  }

  /** Copies one descriptor into private words. Indirect tables can have any alignment. */
  private fetch(indirect: boolean, address: number): void {
    const { words } = this;
    if (indirect && address % 4 !== 0) {
      this.indirect.copyOut(address, this.scratch, 0, DESCRIPTOR_SIZE);
      return;
    }
    (indirect ? this.indirect : this.direct).getWords(address, words);
  }

  private checkIndirect(
    allowed: boolean,
    nested: boolean,
    flags: number,
    address: number,
    length: number,
  ): string | undefined {
    if (!allowed) return 'an indirect descriptor without VIRTIO_F_INDIRECT_DESC';
    if (nested) return 'an indirect descriptor in an indirect table';
    if ((flags & DescriptorFlag.Next) !== 0) return 'an indirect descriptor with NEXT';
    if (length === 0 || length % DESCRIPTOR_SIZE !== 0) {
      return 'the length of an indirect table is not a multiple of 16';
    }
    if (length > MAX_INDIRECT_ENTRIES * DESCRIPTOR_SIZE) return 'an indirect table is too long';
    if (!this.ram.contains(address, length)) return 'an indirect table is outside RAM';
    return undefined;
  }
}
