/**
 * Addresses of the internet protocols. An IPv4 address is kept as the IPv4-mapped IPv6 address
 * (RFC 4291, 2.5.5.2), so that flows, rules and tables know one kind only. Packets cannot carry
 * the mapped form: the IPv6 parser refuses it.
 */
import { get32, put32 } from './bytes.js';

const MAPPED = 0xffff;

/** The four 32-bit words of an address, signed. */
export type Words = ArrayLike<number>;

/** True for the words of an IPv4 address. */
export function isIpv4Words(words: Words): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === MAPPED;
}

/** Reads 16 bytes of an IPv6 header. */
export function readIpv6(bytes: Uint8Array, at: number, words: Int32Array): void {
  for (let i = 0; i < 4; i++) words[i] = get32(bytes, at + 4 * i);
}

/** Reads 4 bytes of an IPv4 header. */
export function readIpv4(bytes: Uint8Array, at: number, words: Int32Array): void {
  words[0] = 0;
  words[1] = 0;
  words[2] = MAPPED;
  words[3] = get32(bytes, at);
}

function parseIpv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0;
  for (let i = 1; i <= 4; i++) {
    const part = match[i]!;
    // A leading zero means octal to some programs: refused, as inet_pton does.
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    value = (value << 8) | Number(part);
  }
  return value;
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const last = i === parts.length - 1 ? parseIpv4(part) : undefined;
      if (last === undefined) return undefined;
      groups.push(last >>> 16, last & 0xffff);
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!);
  const tail = halves.length === 2 ? parseGroups(halves[1]!) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** An address that does not change. */
export class IpAddress {
  constructor(
    readonly w0: number,
    readonly w1: number,
    readonly w2: number,
    readonly w3: number,
  ) {}

  static from(words: Words): IpAddress {
    return new IpAddress(words[0]!, words[1]!, words[2]!, words[3]!);
  }

  /** @param value 32 bits, the first byte on top */
  static v4(value: number): IpAddress {
    return new IpAddress(0, 0, MAPPED, value | 0);
  }

  /** An address as people write it; undefined for anything else. Mapped addresses become IPv4. */
  static parse(text: string): IpAddress | undefined {
    const v4 = parseIpv4(text);
    if (v4 !== undefined) return IpAddress.v4(v4);
    if (text.length > 45 || !text.includes(':')) return undefined;
    const groups = parseIpv6(text);
    if (groups === undefined) return undefined;
    const word = (i: number): number => (groups[2 * i]! << 16) | groups[2 * i + 1]!;
    return new IpAddress(word(0), word(1), word(2), word(3));
  }

  /** @throws Error for text that is no address: for constants of the program */
  static of(text: string): IpAddress {
    const address = IpAddress.parse(text);
    if (address === undefined) throw new Error(`not an address: ${text}`);
    return address;
  }

  get isIpv4(): boolean {
    return this.w0 === 0 && this.w1 === 0 && this.w2 === MAPPED;
  }

  equals(other: IpAddress): boolean {
    return (
      this.w3 === other.w3 && this.w2 === other.w2 && this.w1 === other.w1 && this.w0 === other.w0
    );
  }

  equalsWords(words: Words): boolean {
    return (
      this.w3 === words[3] && this.w2 === words[2] && this.w1 === words[1] && this.w0 === words[0]
    );
  }

  /** Sum of the address for a pseudo-header, not folded. */
  get sum(): number {
    const half = (word: number): number => (word >>> 16) + (word & 0xffff);
    if (this.isIpv4) return half(this.w3);
    return half(this.w0) + half(this.w1) + half(this.w2) + half(this.w3);
  }

  /** Writes the 4 or 16 bytes that headers carry; returns how many. */
  write(bytes: Uint8Array, at: number): number {
    if (this.isIpv4) {
      put32(bytes, at, this.w3);
      return 4;
    }
    put32(bytes, at, this.w0);
    put32(bytes, at + 4, this.w1);
    put32(bytes, at + 8, this.w2);
    put32(bytes, at + 12, this.w3);
    return 16;
  }

  /** RFC 5952 for IPv6, dotted for IPv4. */
  toString(): string {
    if (this.isIpv4) {
      const value = this.w3;
      return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
    }
    const groups = [this.w0, this.w1, this.w2, this.w3].flatMap((w) => [w >>> 16, w & 0xffff]);
    let best = { start: -1, length: 1 };
    for (let start = 0; start < 8; start++) {
      let length = 0;
      while (start + length < 8 && groups[start + length] === 0) length++;
      if (length > best.length) best = { start, length };
    }
    const text = (list: number[]): string => list.map((group) => group.toString(16)).join(':');
    if (best.start < 0) return text(groups);
    return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
  }
}

/** A range of addresses with a common prefix. */
export class Cidr {
  /** @param bits length of the prefix among all 128 bits */
  private constructor(
    readonly base: IpAddress,
    readonly bits: number,
  ) {}

  /** `10.0.0.0/8`, `2001:db8::/32` or a single address; undefined for anything else. */
  static parse(text: string): Cidr | undefined {
    const [addressText, bitsText, ...more] = text.split('/');
    const base = IpAddress.parse(addressText!);
    if (base === undefined || more.length > 0) return undefined;
    const width = base.isIpv4 ? 32 : 128;
    if (bitsText !== undefined && !/^\d{1,3}$/.test(bitsText)) return undefined;
    const bits = bitsText === undefined ? width : Number(bitsText);
    return bits <= width ? new Cidr(base, bits + 128 - width) : undefined;
  }

  /** @throws Error for text that is no range: for constants of the program */
  static of(text: string): Cidr {
    const cidr = Cidr.parse(text);
    if (cidr === undefined) throw new Error(`not a range of addresses: ${text}`);
    return cidr;
  }

  contains(address: IpAddress): boolean {
    const { base, bits } = this;
    return (
      samePrefix(base.w0, address.w0, bits) &&
      samePrefix(base.w1, address.w1, bits - 32) &&
      samePrefix(base.w2, address.w2, bits - 64) &&
      samePrefix(base.w3, address.w3, bits - 96)
    );
  }

  toString(): string {
    return `${this.base.toString()}/${this.base.isIpv4 ? this.bits - 96 : this.bits}`;
  }
}

function samePrefix(a: number, b: number, bits: number): boolean {
  if (bits <= 0) return true;
  return bits >= 32 ? a === b : (a ^ b) >>> (32 - bits) === 0;
}

/** An address and a port as people write them: an IPv6 address stands in brackets. */
export function hostAndPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
