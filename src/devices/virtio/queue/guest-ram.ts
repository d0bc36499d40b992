/**
 * Guest memory as queues see it: bounds-checked, without allocation on the way.
 *
 * The guest changes memory under the reader's hands, so a value is fetched once, into a local
 * variable, and only the variable is checked and used. Indexes and flags that the two sides
 * exchange go through Atomics, which on every processor order the accesses around them.
 */
import type { GuestAddress } from '../../../memory/guest-memory.js';

/** Where RAM comes from; `GuestMemory` is one. */
export interface RamSource {
  readonly regions: readonly { readonly start: GuestAddress; readonly size: number }[];
  /** The pieces of host memory behind a range, in order, without copying. */
  slices(address: GuestAddress, length: number): Uint8Array<ArrayBuffer>[];
  /** Address in this process of a guest range. */
  hostAddress(address: GuestAddress, length: number): bigint;
  /** Gives whole pages back to the host; the guest reads zeroes there. */
  discard(address: GuestAddress, length: number): void;
  /** Takes note of bulk I/O to or from a range; see `HugePages`. */
  transferred?(address: GuestAddress, length: number, times?: number): void;
}

/** A piece of RAM that one ArrayBuffer covers. */
export interface RamWindow {
  readonly start: GuestAddress;
  readonly end: GuestAddress;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly u16: Uint16Array<ArrayBuffer>;
  readonly u32: Uint32Array<ArrayBuffer>;
}

interface HostRegion {
  readonly start: GuestAddress;
  readonly end: GuestAddress;
  readonly host: number;
}

/** Up to this length a loop is quicker than a view and `set`, and makes no garbage. */
const LOOP_LIMIT = 64;
/** The same for a loop over words. */
const WORD_LOOP_LIMIT = 256;

/** RAM of the guest. One object a thread. */
export class GuestRam {
  private readonly regions: HostRegion[];
  private readonly windows: RamWindow[] = [];

  constructor(private readonly source: RamSource) {
    this.regions = source.regions.map(({ start, size }) => ({
      start,
      end: start + size,
      host: Number(source.hostAddress(start, size)),
    }));
    for (const { start, size } of source.regions) {
      let at = start;
      for (const bytes of source.slices(start, size)) {
        const { buffer, byteOffset, length } = bytes;
        const u16 = new Uint16Array(buffer, byteOffset, length / 2);
        const u32 = new Uint32Array(buffer, byteOffset, length / 4);
        this.windows.push({ start: at, end: at + length, bytes, u16, u32 });
        at += length;
      }
    }
  }

  /** Where RAM begins. */
  get start(): GuestAddress {
    return this.regions[0]!.start;
  }

  /** Bytes of RAM. */
  get size(): number {
    return this.regions.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** True when [address, address + length) is RAM without a gap; any number is a valid question. */
  contains(address: GuestAddress, length: number): boolean {
    for (const region of this.regions) {
      if (address >= region.start && address + length <= region.end) return length >= 0;
    }
    return false;
  }

  /**
   * Address in this process, for system calls on guest memory.
   * @throws RangeError when any byte lies outside RAM
   */
  hostAddress(address: GuestAddress, length: number): number {
    for (const { start, end, host } of this.regions) {
      if (address >= start && address + length <= end) return host + (address - start);
    }
    throw outside(address, length);
  }

  /** Gives the whole pages of a range back to the host. */
  discard(address: GuestAddress, length: number): void {
    this.source.discard(address, length);
  }

  /**
   * Tells that bulk I/O has gone to or from a range.
   * @param times how many ranges like this one it stands for
   */
  transferred(address: GuestAddress, length: number, times = 1): void {
    this.source.transferred?.(address, length, times);
  }

  /** The window that holds an address. */
  find(address: GuestAddress): RamWindow {
    for (const window of this.windows) {
      if (address >= window.start && address < window.end) return window;
    }
    throw outside(address, 1);
  }
}

/** Two offsets and a length of a piece that is copied word by word. */
function isWordwise(from: number, to: number, length: number): boolean {
  return length <= WORD_LOOP_LIMIT && ((from | to | length) & 3) === 0;
}

function outside(address: GuestAddress, length: number): RangeError {
  return new RangeError(`guest address 0x${address.toString(16)} (+${length}) is not in RAM`);
}

/**
 * A reader and writer that remembers which window it used last: have one for each place that is
 * accessed often. Accesses of two and four bytes are naturally aligned.
 */
export class RamCursor {
  private window: RamWindow;

  /** @param address any address in RAM, usually where the cursor is going to be used */
  constructor(
    readonly ram: GuestRam,
    address: GuestAddress,
  ) {
    this.window = ram.find(address);
  }

  private at(address: GuestAddress): RamWindow {
    const { window } = this;
    if (address >= window.start && address < window.end) return window;
    return (this.window = this.ram.find(address));
  }

  /** Fetches a half word with a full fence. */
  load16(address: GuestAddress): number {
    const window = this.at(address);
    return Atomics.load(window.u16, (address - window.start) >>> 1);
  }

  /** Stores a half word with a full fence: what was stored before is visible before it. */
  store16(address: GuestAddress, value: number): void {
    const window = this.at(address);
    Atomics.store(window.u16, (address - window.start) >>> 1, value);
  }

  /** Fetches a half word once, without a fence. */
  get16(address: GuestAddress): number {
    const window = this.at(address);
    return window.u16[(address - window.start) >>> 1]!;
  }

  /** Fetches a word once, without a fence. */
  get32(address: GuestAddress): number {
    const window = this.at(address);
    return window.u32[(address - window.start) >>> 2]!;
  }

  /** Fetches `target.length` words once each, without a fence. The range has been checked. */
  getWords(address: GuestAddress, target: Uint32Array): void {
    const window = this.at(address);
    const first = (address - window.start) >>> 2;
    const inside = Math.min(target.length, window.u32.length - first);
    for (let i = 0; i < inside; i++) target[i] = window.u32[first + i]!;
    for (let i = inside; i < target.length; i++) target[i] = this.get32(address + 4 * i);
  }

  set16(address: GuestAddress, value: number): void {
    const window = this.at(address);
    window.u16[(address - window.start) >>> 1] = value;
  }

  set32(address: GuestAddress, value: number): void {
    const window = this.at(address);
    window.u32[(address - window.start) >>> 2] = value;
  }

  /**
   * Copies guest memory into `target[offset, offset + length)`. The range has been checked.
   * @param words the same memory as `target`, for those who copy often: aligned pieces go word by word
   */
  copyOut(
    address: GuestAddress,
    target: Uint8Array,
    offset: number,
    length: number,
    words?: Uint32Array,
  ): void {
    for (let done = 0; done < length;) {
      const window = this.at(address + done);
      const from = address + done - window.start;
      const count = Math.min(length - done, window.bytes.length - from);
      if (words !== undefined && isWordwise(from, offset + done, count)) {
        const { u32 } = window;
        const [source, to] = [from >>> 2, (offset + done) >>> 2];
        for (let i = 0; i < count >>> 2; i++) words[to + i] = u32[source + i]!;
      } else if (count <= LOOP_LIMIT) {
        for (let i = 0; i < count; i++) target[offset + done + i] = window.bytes[from + i]!;
      } else {
        target.set(window.bytes.subarray(from, from + count), offset + done);
      }
      done += count;
    }
  }

  /**
   * Copies `source[offset, offset + length)` into guest memory. The range has been checked.
   * @param words the same memory as `source`, as for {@link copyOut}
   */
  copyIn(
    address: GuestAddress,
    source: Uint8Array,
    offset: number,
    length: number,
    words?: Uint32Array,
  ): void {
    for (let done = 0; done < length;) {
      const window = this.at(address + done);
      const to = address + done - window.start;
      const count = Math.min(length - done, window.bytes.length - to);
      if (words !== undefined && isWordwise(to, offset + done, count)) {
        const { u32 } = window;
        const [target, from] = [to >>> 2, (offset + done) >>> 2];
        for (let i = 0; i < count >>> 2; i++) u32[target + i] = words[from + i]!;
      } else if (count <= LOOP_LIMIT) {
        for (let i = 0; i < count; i++) window.bytes[to + i] = source[offset + done + i]!;
      } else {
        window.bytes.set(source.subarray(offset + done, offset + done + count), to);
      }
      done += count;
    }
  }

  /**
   * A view of guest memory from an address on, as long as the range and one window allow. It
   * aliases what the guest can change at any time: fill it, do not decide by what is in it.
   */
  view(address: GuestAddress, length: number): Uint8Array<ArrayBuffer> {
    const window = this.at(address);
    const from = address - window.start;
    return window.bytes.subarray(from, Math.min(from + length, window.bytes.length));
  }
}
