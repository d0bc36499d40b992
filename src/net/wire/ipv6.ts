/** IPv6 headers (RFC 8200) of packets from the guest, with the extension headers stepped over. */
import { isIpv4Words, readIpv6 } from './address.js';
import { get16, get32 } from './bytes.js';
import type { Packet } from './packet.js';
import type { Reassembler } from './reassembler.js';

const HEADER = 40;
const MOST_EXTENSIONS = 8;

enum NextHeader {
  HopByHop = 0,
  Routing = 43,
  Fragment = 44,
  Destination = 60,
}

/** Parses the headers. False: not a packet, or a fragment of one that is not complete. */
export function parseIpv6(packet: Packet, reassembler: Reassembler): boolean {
  const { header, network: at } = packet;
  const available = packet.data.length - at;
  if (available < HEADER || header[at]! >>> 4 !== 6) return false;
  const payload = get16(header, at + 4);
  if (payload > available - HEADER) return false;
  packet.version = 6;
  packet.ttl = header[at + 7]!;
  readIpv6(header, at + 8, packet.source);
  readIpv6(header, at + 24, packet.destination);
  // The mapped form is how IPv4 looks inside; on the wire it would be a way around rules.
  if (isIpv4Words(packet.source) || isIpv4Words(packet.destination)) return false;
  packet.protocol = header[at + 6]!;
  packet.setTransport(at + HEADER, payload);
  return stepOver(packet, reassembler);
}

function stepOver(packet: Packet, reassembler: Reassembler): boolean {
  const { header } = packet;
  for (let i = 0; i < MOST_EXTENSIONS; i++) {
    const kind = packet.protocol;
    const at = packet.transport;
    if (kind === NextHeader.Fragment) {
      if (!packet.has(8)) return false;
      packet.protocol = header[at]!;
      const field = get16(header, at + 2);
      const identification = get32(header, at + 4);
      packet.advance(8);
      const addresses = `${packet.source.join()}/${packet.destination.join()}`;
      if (
        !reassembler.add(
          packet,
          `${identification}/${addresses}`,
          field & 0xfff8,
          (field & 1) !== 0,
        )
      )
        return false;
      continue;
    }
    const skip =
      kind === NextHeader.HopByHop ||
      kind === NextHeader.Destination ||
      kind === NextHeader.Routing;
    if (!skip) return true;
    if (!packet.has(8)) return false;
    // Source routes were the trouble that RFC 5095 ends.
    if (kind === NextHeader.Routing && header[at + 3] !== 0) return false;
    const length = 8 + header[at + 1]! * 8;
    if (!packet.has(length)) return false;
    packet.protocol = header[at]!;
    packet.advance(length);
  }
  return false;
}
