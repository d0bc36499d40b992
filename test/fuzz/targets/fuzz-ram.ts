/** Guest memory for fuzzing: small, quick to clear, and cut into windows with a hole between them. */
import type { RamSource } from '../../../src/devices/virtio/queue/guest-ram.js';

const WINDOW = 0x8000;
export const LOW_SIZE = 0x20000;
export const HIGH_START = 2 ** 32;
export const HIGH_SIZE = 0x4000;
const HOST_BASE = 0x7f00_0000_0000;

export class FuzzRam implements RamSource {
  readonly regions = [
    { start: 0, size: LOW_SIZE },
    { start: HIGH_START, size: HIGH_SIZE },
  ];
  /** Low region, then the high one. */
  readonly bytes = new Uint8Array(LOW_SIZE + HIGH_SIZE);
  private readonly view = new DataView(this.bytes.buffer);

  clear(): void {
    this.bytes.fill(0);
  }

  contains(address: number, length: number): boolean {
    return this.regions.some(
      ({ start, size }) => address >= start && address + length <= start + size,
    );
  }

  private offset(address: number, length: number): number {
    if (!this.contains(address, length)) throw new RangeError('not in RAM');
    return address < LOW_SIZE ? address : address - HIGH_START + LOW_SIZE;
  }

  slices(address: number, length: number): Uint8Array<ArrayBuffer>[] {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const start = this.offset(address, length);
    for (let at = start; at < start + length;) {
      const end = Math.min(start + length, at - (at % WINDOW) + WINDOW);
      pieces.push(this.bytes.subarray(at, end));
      at = end;
    }
    return pieces;
  }

  hostAddress(address: number, length = 1): bigint {
    return BigInt(HOST_BASE + this.offset(address, length));
  }

  /** As madvise does: whole pages of RAM, or it is a mistake of the device's. */
  discard(address: number, length: number): void {
    if (address % 4096 !== 0 || length % 4096 !== 0) throw new Error('half a page is discarded');
    const start = this.offset(address, length);
    this.bytes.fill(0, start, start + length);
  }

  write(address: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, this.offset(address, bytes.length));
  }

  get16(address: number): number {
    return this.view.getUint16(this.offset(address, 2), true);
  }

  get32(address: number): number {
    return this.view.getUint32(this.offset(address, 4), true);
  }

  set8(address: number, value: number): void {
    this.bytes[this.offset(address, 1)] = value;
  }

  set16(address: number, value: number): void {
    this.view.setUint16(this.offset(address, 2), value, true);
  }

  set32(address: number, value: number): void {
    this.view.setUint32(this.offset(address, 4), value, true);
  }

  set64(address: number, value: bigint): void {
    this.view.setBigUint64(this.offset(address, 8), value, true);
  }
}
