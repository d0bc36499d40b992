/**
 * Guest physical memory: one sealed memfd, mapped once per process, wrapped by every thread.
 *
 * RAM below the 32-bit hole and RAM above 4 GiB are two regions of the same file. JavaScript sees
 * each region through windows of at most 1 GiB, because an ArrayBuffer ends at 4 GiB on Node.js 20.
 */
import { native } from '../kvm/native.js';
import { VexitError } from '../util/errors.js';
import { HugePages } from './huge-pages.js';

/** A guest physical address, or a size: integers up to 2^53 - 1. */
export type GuestAddress = number;

/** RAM at [start, start + size), backed by the memory file from `offset`. */
export interface MemoryRegion {
  readonly start: GuestAddress;
  readonly size: number;
  readonly offset: number;
}

/** What another thread needs to wrap the same memory; plain data. */
export interface GuestMemoryDescriptor {
  readonly id: number;
  readonly fd: number;
  readonly hostAddress: bigint;
  readonly regions: readonly MemoryRegion[];
}

const WINDOW_SIZE = 2 ** 30;

interface Window {
  readonly start: GuestAddress;
  readonly end: GuestAddress;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
}

/**
 * Bounds-checked access to guest memory. Every accessor throws a RangeError when any byte of the
 * access lies outside RAM; multi-byte values are little-endian.
 */
export class GuestMemory {
  private readonly windows: Window[];
  private last: Window;
  private hugePages: HugePages | undefined;

  private constructor(
    readonly descriptor: GuestMemoryDescriptor,
    private readonly owner: boolean,
  ) {
    this.windows = descriptor.regions.flatMap((region) => {
      const windows: Window[] = [];
      for (let done = 0; done < region.size; done += WINDOW_SIZE) {
        const length = Math.min(WINDOW_SIZE, region.size - done);
        const buffer = native().memoryWrap(descriptor.id, region.offset + done, length);
        const start = region.start + done;
        const bytes = new Uint8Array(buffer);
        windows.push({ start, end: start + length, bytes, view: new DataView(buffer) });
      }
      return windows;
    });
    const first = this.windows[0];
    if (first === undefined) throw new VexitError('ERR_MEMORY', 'guest memory has no region');
    this.last = first;
  }

  /**
   * Creates guest memory for the regions; nothing is reserved until the guest touches it.
   * @param name shown in /proc/self/maps
   * @throws VexitError ERR_MEMORY when the host cannot map that much
   */
  static create(name: string, regions: readonly { start: number; size: number }[]): GuestMemory {
    let offset = 0;
    const placed = regions.map(({ start, size }) => {
      const region = { start, size, offset };
      offset += size;
      return region;
    });
    try {
      const { id, fd, address } = native().memoryCreate(name, offset);
      return new GuestMemory({ id, fd, hostAddress: address, regions: placed }, true);
    } catch (error) {
      const mib = Math.ceil(offset / 2 ** 20);
      throw new VexitError(
        'ERR_MEMORY',
        `the host cannot map ${mib} MiB of guest memory: ${error instanceof Error ? error.message : ''}`,
        'give the guest less with --memory',
        { cause: error },
      );
    }
  }

  /** Wraps memory that another thread of this process created. */
  static attach(descriptor: GuestMemoryDescriptor): GuestMemory {
    return new GuestMemory(descriptor, false);
  }

  /** Bytes of RAM. */
  get size(): number {
    return this.regions.reduce((sum, region) => sum + region.size, 0);
  }

  get regions(): readonly MemoryRegion[] {
    return this.descriptor.regions;
  }

  /** End of RAM below 4 GiB. */
  get lowEnd(): GuestAddress {
    return this.regions[0]!.start + this.regions[0]!.size;
  }

  /** True when [address, address + length) is RAM without a gap. */
  contains(address: GuestAddress, length: number): boolean {
    return this.regions.some(
      ({ start, size }) => address >= start && length >= 0 && address + length <= start + size,
    );
  }

  private window(address: GuestAddress, length: number): Window {
    const { last } = this;
    if (address >= last.start && address + length <= last.end) return last;
    for (const window of this.windows) {
      if (address >= window.start && address + length <= window.end) {
        this.last = window;
        return window;
      }
    }
    throw new RangeError(`guest address 0x${address.toString(16)} (+${length}) is not in RAM`);
  }

  /**
   * The pieces of host memory behind a range, in order: one unless it crosses a window.
   * The views alias guest memory: the guest can change them at any time.
   */
  slices(address: GuestAddress, length: number): Uint8Array<ArrayBuffer>[] {
    if (!this.contains(address, length)) {
      throw new RangeError(`guest address 0x${address.toString(16)} (+${length}) is not in RAM`);
    }
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (let at = address, left = length; left > 0;) {
      const window = this.window(at, 1);
      const count = Math.min(left, window.end - at);
      pieces.push(window.bytes.subarray(at - window.start, at - window.start + count));
      at += count;
      left -= count;
    }
    return pieces;
  }

  /** A private copy of a range. */
  read(address: GuestAddress, length: number): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(length);
    let at = 0;
    for (const piece of this.slices(address, length)) {
      copy.set(piece, at);
      at += piece.length;
    }
    return copy;
  }

  /** Copies bytes into guest memory. */
  write(address: GuestAddress, bytes: Uint8Array): void {
    let at = 0;
    for (const piece of this.slices(address, bytes.length)) {
      piece.set(bytes.subarray(at, at + piece.length));
      at += piece.length;
    }
  }

  /** Sets a range to one byte value. */
  fill(address: GuestAddress, length: number, value = 0): void {
    for (const piece of this.slices(address, length)) piece.fill(value);
  }

  getUint8(address: GuestAddress): number {
    const window = this.window(address, 1);
    return window.view.getUint8(address - window.start);
  }
  getUint16(address: GuestAddress): number {
    const window = this.window(address, 2);
    return window.view.getUint16(address - window.start, true);
  }
  getUint32(address: GuestAddress): number {
    const window = this.window(address, 4);
    return window.view.getUint32(address - window.start, true);
  }
  getUint64(address: GuestAddress): bigint {
    const window = this.window(address, 8);
    return window.view.getBigUint64(address - window.start, true);
  }
  setUint8(address: GuestAddress, value: number): void {
    const window = this.window(address, 1);
    window.view.setUint8(address - window.start, value);
  }
  setUint16(address: GuestAddress, value: number): void {
    const window = this.window(address, 2);
    window.view.setUint16(address - window.start, value, true);
  }
  setUint32(address: GuestAddress, value: number): void {
    const window = this.window(address, 4);
    window.view.setUint32(address - window.start, value, true);
  }
  setUint64(address: GuestAddress, value: bigint): void {
    const window = this.window(address, 8);
    window.view.setBigUint64(address - window.start, value, true);
  }

  /** Address in this process of a guest range, for system calls on guest memory. */
  hostAddress(address: GuestAddress, length: number): bigint {
    const region = this.regionOf(address, length);
    if (region === undefined) {
      throw new RangeError(`guest address 0x${address.toString(16)} (+${length}) is not in RAM`);
    }
    return this.descriptor.hostAddress + BigInt(region.offset + address - region.start);
  }

  private regionOf(address: GuestAddress, length: number): MemoryRegion | undefined {
    return this.regions.find(
      ({ start, size }) => address >= start && address + length <= start + size,
    );
  }

  /**
   * Bulk I/O has gone to or from a range: memory that much of it goes to gets huge pages.
   * @param times how many ranges like this one it stands for
   */
  transferred(address: GuestAddress, length: number, times = 1): void {
    const region = this.regionOf(address, length);
    if (region === undefined) return;
    const { id } = this.descriptor;
    this.hugePages ??= new HugePages(this.size, (offset, done) =>
      native().memoryCollapse(id, offset, done),
    );
    this.hugePages.transferred(region.offset + address - region.start, length, times);
  }

  /** Gives whole pages back to the host; the guest reads zeroes there. */
  discard(address: GuestAddress, length: number): void {
    const region = this.regionOf(address, length);
    if (region === undefined) throw new RangeError('the range to discard is not in RAM');
    native().memoryDiscard(this.descriptor.id, region.offset + address - region.start, length);
  }

  /**
   * Detaches every view, and for the creator gives the pages back to the host and drops its
   * reference. The mapping goes when the last thread has closed its GuestMemory.
   */
  close(): void {
    const windows = this.windows.splice(0);
    if (windows.length === 0) return;
    for (const { bytes } of windows) native().memoryUnwrap(bytes.buffer);
    if (this.owner) {
      const size = this.regions.reduce((sum, region) => sum + region.size, 0);
      native().memoryDiscard(this.descriptor.id, 0, size);
      native().memoryRelease(this.descriptor.id);
    }
  }
}
