/**
 * A case as decisions: targets read their way through the bytes, so that mutation of bytes is
 * mutation of what a driver does. Behind the end everything is zero.
 */

const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 513, 4095, 4096, 4097,
  0x7fff, 0x8000, 0xffff, 0x1_0000, 0x1_0001, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
] as const;

export class Input {
  private at = 0;

  constructor(readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  /** Bytes that have not been read. */
  get left(): number {
    return Math.max(0, this.bytes.length - this.at);
  }

  u8(): number {
    return this.bytes[this.at++] ?? 0;
  }

  u16(): number {
    return this.u8() | (this.u8() << 8);
  }

  u32(): number {
    return (this.u16() | (this.u16() << 16)) >>> 0;
  }

  /** 0 to `limit` - 1, `limit` up to 65536. */
  below(limit: number): number {
    return limit <= 256 ? this.u8() % limit : this.u16() % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** True for `of256` values of a byte in 256. A zero is never true: what ends is harmless. */
  chance(of256: number): boolean {
    return this.u8() > 255 - of256;
  }

  /** 32 bits: an edge, a small number, or any. */
  word(): number {
    const kind = this.u8();
    if (kind < 128) return EDGES[kind % EDGES.length]!;
    return kind < 192 ? this.u8() : this.u32();
  }

  /** 64 bits of the same kind. */
  long(): bigint {
    const low = BigInt(this.word());
    return this.chance(64) ? low | (BigInt(this.word()) << 32n) : low;
  }

  /** So many of the bytes that follow; fewer at the end. */
  take(length: number): Uint8Array {
    const start = Math.min(this.at, this.bytes.length);
    const piece = this.bytes.subarray(start, start + length);
    this.at = start + piece.length;
    return piece;
  }
}
