/** Memory of our own that system calls can use by its address: tables, edges of blocks, zeroes. */
import { native } from '../kvm/native.js';
import type { SegmentMemory } from './segments.js';

/** Page-aligned bytes, zeroed, taken from the host as they are touched. */
export interface HostBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Address in this process. */
  readonly address: number;
  release(): void;
}

/** Where such memory comes from. */
export type HostAllocator = (length: number) => HostBytes;

/** A memfd, which the addon maps. */
export const allocateHostBytes: HostAllocator = (length) => {
  const { id, address } = native().memoryCreate('vexit-block', Math.ceil(length / 4096) * 4096);
  const buffer = native().memoryWrap(id, 0, Math.ceil(length / 4096) * 4096);
  return {
    bytes: new Uint8Array(buffer, 0, length),
    address: Number(address),
    release: () => {
      native().memoryUnwrap(buffer);
      native().memoryRelease(id);
    },
  };
};

/** Such memory as segments see it; addresses are offsets. */
export class HostMemory implements SegmentMemory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly host: HostBytes;

  constructor(length: number, allocate: HostAllocator = allocateHostBytes) {
    this.host = allocate(length);
    this.bytes = this.host.bytes;
  }

  copyOut(address: number, target: Uint8Array, offset: number, length: number): void {
    target.set(this.bytes.subarray(address, address + length), offset);
  }

  copyIn(address: number, source: Uint8Array, offset: number, length: number): void {
    this.bytes.set(source.subarray(offset, offset + length), address);
  }

  hostAddress(address: number): number {
    return this.host.address + address;
  }

  /** Gives it back; nothing may be in flight on it. */
  release(): void {
    this.host.release();
  }
}
