/** DNS messages (RFC 1035), as far as a forwarder looks into them. */
import { IpAddress, readIpv4, readIpv6 } from '../wire/address.js';
import { get16, get32, put16, put32 } from '../wire/bytes.js';

export const DNS_HEADER = 12;
const LONGEST_NAME = 255;
const MOST_POINTERS = 32;
const CLASS_IN = 1;
const RESPONSE = 0x8000;
const AUTHORITATIVE = 0x0400;
const TRUNCATED = 0x0200;
const RECURSION_DESIRED = 0x0100;
const RECURSION_AVAILABLE = 0x0080;
const OPCODE = 0x7800;

export enum RecordType {
  A = 1,
  NS = 2,
  CNAME = 5,
  SOA = 6,
  PTR = 12,
  MX = 15,
  TXT = 16,
  AAAA = 28,
  SRV = 33,
  ANY = 255,
}

export enum ResponseCode {
  NoError = 0,
  FormatError = 1,
  ServerFailure = 2,
  NameError = 3,
  NotImplemented = 4,
}

/** A query with its one question. */
export interface DnsQuery {
  readonly bytes: Uint8Array;
  readonly id: number;
  /** In lower case, without the dot at its end. */
  readonly name: string;
  readonly type: number;
  /** Offset after the question. */
  readonly end: number;
}

/** An address that an answer gives to the name of its question. */
export interface DnsAddress {
  readonly address: IpAddress;
  /** Seconds. */
  readonly ttl: number;
}

/** The name of a record type, or `TYPE` and its number (RFC 3597). */
export function recordTypeName(type: number): string {
  return RecordType[type] ?? `TYPE${type}`;
}

/**
 * Reads a name; undefined when it is malformed. A compression pointer leads to what ends before the
 * pointer, and not into the header: a name made of that changes with the id of the message, and one
 * that reads on behind the pointer is another name when what follows is cut off.
 */
function readName(bytes: Uint8Array, start: number): { name: string; end: number } | undefined {
  const labels: string[] = [];
  let at = start;
  let end = -1;
  let length = 0;
  let limit = bytes.length;
  for (let pointers = 0; at < limit;) {
    const size = bytes[at]!;
    if (size === 0) {
      return { name: labels.join('.'), end: end < 0 ? at + 1 : end };
    }
    if (size >= 0xc0) {
      if (at + 2 > limit || ++pointers > MOST_POINTERS) return undefined;
      const target = get16(bytes, at) & 0x3fff;
      if (target >= at || target < DNS_HEADER) return undefined;
      if (end < 0) end = at + 2;
      limit = at;
      at = target;
      continue;
    }
    length += size + 1;
    if (size > 63 || at + 1 + size > limit || length >= LONGEST_NAME) return undefined;
    labels.push(labelText(bytes.subarray(at + 1, at + 1 + size)));
    at += 1 + size;
  }
  return undefined;
}

/** A label in lower case; bytes that no host name has are escaped, so that no name looks like another. */
function labelText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const letter = byte >= 65 && byte <= 90 ? byte + 32 : byte;
    const plain = letter > 32 && letter < 127 && letter !== 46 && letter !== 92;
    text += plain ? String.fromCharCode(letter) : `\\${String(letter).padStart(3, '0')}`;
  }
  return text;
}

/** Reads a query. Undefined: not even an answer is due. A number: the answer is that error. */
export function parseQuery(bytes: Uint8Array): DnsQuery | ResponseCode | undefined {
  if (bytes.length < DNS_HEADER || (get16(bytes, 2) & RESPONSE) !== 0) return undefined;
  if ((get16(bytes, 2) & OPCODE) !== 0) return ResponseCode.NotImplemented;
  if (get16(bytes, 4) !== 1) return ResponseCode.FormatError;
  const name = readName(bytes, DNS_HEADER);
  if (name === undefined || name.end + 4 > bytes.length) return ResponseCode.FormatError;
  const type = get16(bytes, name.end);
  return { bytes, id: get16(bytes, 0), name: name.name, type, end: name.end + 4 };
}

/** An answer without records to any message with a header. */
export function errorAnswer(
  query: Uint8Array,
  code: ResponseCode,
  questionEnd = DNS_HEADER,
): Uint8Array {
  const bytes = Uint8Array.from(query.subarray(0, questionEnd));
  const flags = RESPONSE | RECURSION_AVAILABLE | (get16(query, 2) & (OPCODE | RECURSION_DESIRED));
  put16(bytes, 2, flags | code);
  put16(bytes, 4, questionEnd > DNS_HEADER ? 1 : 0);
  bytes.fill(0, 6, DNS_HEADER);
  return bytes;
}

/** An answer that gives addresses of the type asked for. */
export function addressAnswer(
  query: DnsQuery,
  addresses: readonly IpAddress[],
  ttl: number,
): Uint8Array {
  const head = errorAnswer(query.bytes, ResponseCode.NoError, query.end);
  const size = addresses[0]?.isIpv4 === true ? 4 : 16;
  const bytes = new Uint8Array(head.length + addresses.length * (12 + size));
  bytes.set(head);
  put16(bytes, 2, get16(bytes, 2) | AUTHORITATIVE);
  put16(bytes, 6, addresses.length);
  let at = head.length;
  for (const address of addresses) {
    put16(bytes, at, 0xc000 | DNS_HEADER);
    put16(bytes, at + 2, query.type);
    put16(bytes, at + 4, CLASS_IN);
    put32(bytes, at + 6, ttl);
    put16(bytes, at + 10, size);
    address.write(bytes, at + 12);
    at += 12 + size;
  }
  return bytes;
}

/** An answer that gives a name, to a question about an address. The name is one of a VM. */
export function nameAnswer(query: DnsQuery, name: string, ttl: number): Uint8Array {
  const head = errorAnswer(query.bytes, ResponseCode.NoError, query.end);
  const labels = name.split('.').map((label) => Buffer.from(label, 'latin1').subarray(0, 63));
  const encoded = [...labels.map((label) => [label.length, ...label]), [0]].flat();
  const bytes = new Uint8Array(head.length + 12 + encoded.length);
  bytes.set(head);
  put16(bytes, 2, get16(bytes, 2) | AUTHORITATIVE);
  put16(bytes, 6, 1);
  const at = head.length;
  put16(bytes, at, 0xc000 | DNS_HEADER);
  put16(bytes, at + 2, query.type);
  put16(bytes, at + 4, CLASS_IN);
  put32(bytes, at + 6, ttl);
  put16(bytes, at + 10, encoded.length);
  bytes.set(encoded, at + 12);
  return bytes;
}

/** True when `answer` has the id and the question of `query`, whatever the case of letters. */
export function answersQuery(answer: Uint8Array, query: DnsQuery, id: number): boolean {
  if (answer.length < DNS_HEADER || get16(answer, 0) !== id) return false;
  if ((get16(answer, 2) & RESPONSE) === 0 || get16(answer, 4) !== 1) return false;
  const name = readName(answer, DNS_HEADER);
  if (name?.name !== query.name || name.end + 4 > answer.length) return false;
  return get16(answer, name.end) === query.type;
}

/** True for an answer that was cut to fit. */
export function isTruncated(answer: Uint8Array): boolean {
  return (get16(answer, 2) & TRUNCATED) !== 0;
}

/** Addresses in the answer section, at the end of whatever chain of aliases. */
export function answerAddresses(answer: Uint8Array): DnsAddress[] {
  const found: DnsAddress[] = [];
  const question = readName(answer, DNS_HEADER);
  if (question === undefined) return found;
  let at = question.end + 4;
  const words = new Int32Array(4);
  for (let i = get16(answer, 6); i > 0; i--) {
    const name = readName(answer, at);
    if (name === undefined || name.end + 10 > answer.length) break;
    const type = get16(answer, name.end);
    const length = get16(answer, name.end + 8);
    const data = name.end + 10;
    at = data + length;
    if (at > answer.length) break;
    if (get16(answer, name.end + 2) !== CLASS_IN) continue;
    if (type === RecordType.A && length === 4) readIpv4(answer, data, words);
    else if (type === RecordType.AAAA && length === 16) readIpv6(answer, data, words);
    else continue;
    found.push({ address: IpAddress.from(words), ttl: get32(answer, name.end + 4) >>> 0 });
  }
  return found;
}
