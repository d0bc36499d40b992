/** Ethernet addresses as two numbers: they are compared and copied for every frame. */
import { get16, get32, put16, put32 } from './bytes.js';

export class MacAddress {
  /**
   * @param high the first two bytes
   * @param low the other four, signed
   */
  constructor(
    readonly high: number,
    readonly low: number,
  ) {}

  static read(bytes: Uint8Array, at: number): MacAddress {
    return new MacAddress(get16(bytes, at), get32(bytes, at + 2));
  }

  /** `52:54:00:12:34:56`; undefined for anything else. */
  static parse(text: string): MacAddress | undefined {
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
    return MacAddress.read(Buffer.from(text.replaceAll(':', ''), 'hex'), 0);
  }

  write(bytes: Uint8Array, at: number): void {
    put16(bytes, at, this.high);
    put32(bytes, at + 2, this.low);
  }

  equals(bytes: Uint8Array, at: number): boolean {
    return this.high === get16(bytes, at) && this.low === get32(bytes, at + 2);
  }

  toString(): string {
    const bytes = Buffer.alloc(6);
    this.write(bytes, 0);
    return bytes.toString('hex').replace(/..(?=.)/g, '$&:');
  }
}

/** True for an address that one station can have: not a group, not all zero. */
export function isStation(bytes: Uint8Array, at: number): boolean {
  if ((bytes[at]! & 1) !== 0) return false;
  return get16(bytes, at) !== 0 || get32(bytes, at + 2) !== 0;
}
