/** Frames that a case spells out: a frame of the right kind, bytes of it changed, checksums made right. */
import type { Input } from '../engine/input.js';

const GATEWAY_MAC = '52550a000202';
const GUEST_MAC = '525400123456';
const V4 = `${GATEWAY_MAC}${GUEST_MAC}0800`;
const V6 = `${GATEWAY_MAC}${GUEST_MAC}86dd`;
const GUEST = '0a00020f';
const GATEWAY = '0a000202';
const GUEST6 = 'fe80000000000000505400fffe123456';
const GATEWAY6 = 'fe800000000000000000000000000002';
const NODES6 = 'ff020000000000000000000000000001';

/** An IPv4 header without options; lengths and checksums are filled in later. */
const ip4 = (protocol: string, to = GATEWAY, fragment = '4000', from = GUEST): string =>
  `${V4}4500000000010000${fragment}40${protocol}0000${from}${to}`.replace(
    '00010000' + fragment,
    '0001' + fragment,
  );
const ip6 = (next: string, to = GATEWAY6, hops = '40'): string =>
  `${V6}600000000000${next}${hops}${GUEST6}${to}`;
const udp = (from: string, to: string): string => `${from}${to}00000000`;
const DNS = '1234010000010000000000000161036c616200000100010000';
const DHCP = `0101060012345678000080000000000000000000000000000000000052540012345600000000000000000000${'00'.repeat(192)}63825363`;

/** In hexadecimal. */
const TEMPLATES = [
  `ffffffffffff${GUEST_MAC}08060001080006040001${GUEST_MAC}${GUEST}000000000000${GATEWAY}`,
  `${GATEWAY_MAC}${GUEST_MAC}08060001080006040002${GUEST_MAC}${GUEST}${GATEWAY_MAC}${GATEWAY}`,
  `${ip4('01')}0800000012340001000102030405060708090a0b0c0d0e0f`,
  `${ip4('01', '08080808')}08000000123400010001020304050607`,
  `${ip4('11')}${udp('1388', '0035')}${DNS}`,
  `${ip4('11', 'ffffffff', '4000', '00000000')}${udp('0044', '0043')}${DHCP}350101ff`,
  `${ip4('11')}${udp('0044', '0043')}${DHCP}35010332040a00020f3604${GATEWAY}ff`,
  `${ip4('11')}${udp('0044', '0043')}${DHCP}350108370401030f1aff`,
  `${ip4('11', '08080808')}${udp('1389', '1f90')}00010203`,
  `${ip4('06')}1388003500000001000000007002200000000000020405b4010303070101`,
  `${ip4('06', '08080808')}13890050000000010000000050022000000000000000`,
  `${ip4('06')}138800350000000200000000501020000000000000${DNS.slice(0, 30)}`,
  `${ip4('01', GATEWAY, '2000')}0800000012340001${'5a'.repeat(24)}`,
  `${ip4('01', GATEWAY, '2003')}${'5b'.repeat(16)}`,
  `${ip4('01', GATEWAY, '0004')}${'5c'.repeat(16)}`,
  `${ip6('3a')}8000000000280001000102030405060708090a0b`,
  `${ip6('3a', 'ff020000000000000000000000000002', 'ff')}85000000000000000101${GUEST_MAC}`,
  `${ip6('3a', 'ff0200000000000000000001ff000002', 'ff')}8700000000000000${GATEWAY6}0101${GUEST_MAC}`,
  `${ip6('3a', GATEWAY6, 'ff')}8800000060000000${GUEST6}0201${GUEST_MAC}`,
  `${ip6('2c')}3a000001000000018000000000280001${'5a'.repeat(16)}`,
  `${ip6('2c')}3a000018000000015b5b5b5b5b5b5b5b`,
  `${ip6('00', NODES6)}3a0005020000010080000000002800010001020304050607`,
  `${ip6('3c')}11000104000000001388003500000000${DNS}`,
  `${ip6('11')}${udp('1388', '0035')}${DNS}`,
  `${ip6('06')}1388003500000001000000007002200000000000020405b4010303070101`,
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));
export const TEMPLATE_COUNT = TEMPLATES.length;

function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  if (at + 2 > bytes.length) return;
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 255;
}

function sum(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let total = start;
  for (let i = from; i < to; i += 2) total += bytes[i]! * 256 + (i + 1 < to ? bytes[i + 1]! : 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

const CHECKSUM_AT: Readonly<Record<number, number>> = { 1: 2, 6: 16, 17: 6, 58: 2 };

/** Lengths and checksums of IP and what it carries, as far as the frame has them. */
export function finish(frame: Uint8Array): void {
  const type = get16(frame, 12);
  const start = 14;
  if (type === 0x0800 && frame.length >= start + 20) {
    const header = (frame[start]! & 15) * 4;
    put16(frame, start + 2, frame.length - start);
    put16(frame, start + 10, 0);
    const end = Math.min(frame.length, start + header);
    put16(frame, start + 10, ~sum(frame, start, end) & 0xffff);
    const pseudo = sum(frame, start + 12, start + 20) + frame[start + 9]!;
    if ((get16(frame, start + 6) & 0x3fff) === 0) {
      finishTransport(frame, start + header, frame[start + 9]!, pseudo);
    }
  } else if (type === 0x86dd && frame.length >= start + 40) {
    put16(frame, start + 4, frame.length - start - 40);
    let at = start + 40;
    let next = frame[start + 6]!;
    // Hop-by-hop and destination options.
    for (let i = 0; i < 4 && (next === 0 || next === 60) && at + 8 <= frame.length; i++) {
      next = frame[at]!;
      at += 8 * ((frame[at + 1] ?? 0) + 1);
    }
    finishTransport(frame, at, next, sum(frame, start + 8, start + 40) + next);
  }
}

function finishTransport(frame: Uint8Array, at: number, protocol: number, pseudo: number): void {
  const field = CHECKSUM_AT[protocol];
  const length = frame.length - at;
  if (field === undefined || length < field + 2) return;
  if (protocol === 17) put16(frame, at + 4, length);
  put16(frame, at + field, 0);
  const start = protocol === 1 ? 0 : pseudo + length;
  put16(frame, at + field, ~sum(frame, at, frame.length, start) & 0xffff || 0xffff);
}

/** The next frame of a case. */
export function nextFrame(input: Input): Uint8Array {
  const kind = input.u8();
  if (kind >= 250) return input.take(input.below(120)).slice();
  const template = TEMPLATES[kind % TEMPLATE_COUNT]!;
  const shape = input.u8();
  const tail = (shape & 1) === 0 ? new Uint8Array(0) : tailOf(input);
  let frame = new Uint8Array(template.length + tail.length);
  frame.set(template);
  frame.set(tail, template.length);
  for (let i = (shape >> 1) & 7; i > 0; i--) {
    const at = input.u8();
    if (at < frame.length) frame[at] = input.u8();
  }
  if ((shape & 0x10) !== 0) frame = frame.slice(0, input.u8() + 1);
  if (shape < 0xe0) finish(frame);
  return frame;
}

/** Bytes of the case, or many of the same. */
function tailOf(input: Input): Uint8Array {
  if (input.chance(64)) return new Uint8Array(input.u16() & 0x7ff).fill(input.u8());
  return input.take(input.below(64));
}
