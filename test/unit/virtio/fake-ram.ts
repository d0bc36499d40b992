/** Guest memory without KVM: cut into small windows, so that everything crosses one sometimes. */
import type { RamSource } from '../../../src/devices/virtio/queue/guest-ram.js';

export const WINDOW = 0x10000;
export const RAM_SIZE = 0x100000;
/** A second region behind a hole, as above 4 GiB. */
export const HIGH_RAM = 2 ** 32;
const HOST_BASE = 0x7f00_0000_0000n;

export class FakeRam implements RamSource {
  readonly regions: { start: number; size: number }[];
  readonly discarded: { address: number; length: number }[] = [];
  private readonly windows = new Map<number, Uint8Array<ArrayBuffer>>();

  /**
   * @param highBytes size of the second region
   * @param window makes the bytes of a window of the first region
   */
  constructor(highBytes = RAM_SIZE, window?: (start: number) => Uint8Array<ArrayBuffer>) {
    this.regions = [
      { start: 0, size: RAM_SIZE },
      { start: HIGH_RAM, size: highBytes },
    ];
    for (const { start, size } of this.regions) {
      for (let at = 0; at < size; at += WINDOW) {
        const shared = start === 0 ? window?.(at) : undefined;
        this.windows.set(start + at, shared ?? new Uint8Array(WINDOW));
      }
    }
  }

  slices(address: number, length: number): Uint8Array<ArrayBuffer>[] {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (let at = address, left = length; left > 0;) {
      const start = at - (at % WINDOW);
      const window = this.windows.get(start);
      if (window === undefined) throw new RangeError('not in RAM');
      const count = Math.min(left, start + WINDOW - at);
      pieces.push(window.subarray(at - start, at - start + count));
      at += count;
      left -= count;
    }
    return pieces;
  }

  hostAddress(address: number): bigint {
    return HOST_BASE + BigInt(address);
  }

  discard(address: number, length: number): void {
    this.discarded.push({ address, length });
    for (const piece of this.slices(address, length)) piece.fill(0);
  }

  read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of this.slices(address, length)) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  write(address: number, bytes: ArrayLike<number>): void {
    let at = 0;
    for (const piece of this.slices(address, bytes.length)) {
      for (let i = 0; i < piece.length; i++) piece[i] = bytes[at++]!;
    }
  }

  private byte(address: number): [Uint8Array, number] {
    const offset = address % WINDOW;
    return [this.windows.get(address - offset)!, offset];
  }

  get(address: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) {
      const [window, offset] = this.byte(address + i);
      value = value * 256 + window[offset]!;
    }
    return value;
  }

  set(address: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const [window, offset] = this.byte(address + i);
      window[offset] = Math.floor(value / 256 ** i) % 256;
    }
  }

  set64(address: number, value: bigint): void {
    this.set(address, 4, Number(value & 0xffff_ffffn));
    this.set(address + 4, 4, Number((value >> 32n) & 0xffff_ffffn));
  }

  /** A copy of everything, to see whether anything has changed. */
  snapshot(): string {
    return [...this.windows.values()].map((w) => Buffer.from(w).toString('latin1')).join('');
  }
}
