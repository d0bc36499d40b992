/** IPv4 headers (RFC 791) of packets from the guest. Options are stepped over, never acted on. */
import { readIpv4 } from './address.js';
import { get16, get32 } from './bytes.js';
import { foldSum, sumBytes } from './checksum.js';
import type { Packet } from './packet.js';
import type { Reassembler } from './reassembler.js';

const SHORTEST = 20;
const MORE_FRAGMENTS = 0x2000;
const OFFSET = 0x1fff;

/** Parses the header. False: not a packet, or a fragment of one that is not complete. */
export function parseIpv4(packet: Packet, reassembler: Reassembler): boolean {
  const { header, network: at } = packet;
  const available = packet.data.length - at;
  if (available < SHORTEST) return false;
  const headerLength = (header[at]! & 15) * 4;
  const total = get16(header, at + 2);
  if (header[at]! >>> 4 !== 4 || headerLength < SHORTEST) return false;
  // What follows the packet is padding of short frames.
  if (total < headerLength || total > available) return false;
  if (foldSum(sumBytes(header, at, headerLength)) !== 0xffff) return false;
  packet.version = 4;
  packet.ttl = header[at + 8]!;
  packet.protocol = header[at + 9]!;
  readIpv4(header, at + 12, packet.source);
  readIpv4(header, at + 16, packet.destination);
  packet.setTransport(at + headerLength, total - headerLength);
  const fragment = get16(header, at + 6);
  if ((fragment & (MORE_FRAGMENTS | OFFSET)) === 0) return true;
  const identification = get16(header, at + 4);
  const key = `${identification}/${packet.protocol}/${get32(header, at + 12)}/${get32(header, at + 16)}`;
  const offset = (fragment & OFFSET) * 8;
  return reassembler.add(packet, key, offset, (fragment & MORE_FRAGMENTS) !== 0);
}
