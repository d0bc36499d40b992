/** UDP (RFC 768) headers from and to the guest. */
import { checksumDatagram, type IpOutput, type Route } from './ip-output.js';
import { get16, put16 } from './wire/bytes.js';
import { Protocol, type Packet } from './wire/packet.js';

export const UDP_HEADER = 8;
const CHECKSUM = 6;

/** Checks length and checksum of a datagram from the guest, and cuts off what is behind its end. */
export function checkUdp(packet: Packet): boolean {
  if (!packet.has(UDP_HEADER)) return false;
  const { header, transport } = packet;
  const length = get16(header, transport + 4);
  if (length < UDP_HEADER || length > packet.transportLength) return false;
  packet.transportLength = length;
  // RFC 768: without a checksum in IPv4; RFC 8200, 8.1: never in IPv6.
  const none = get16(header, transport + 6) === 0;
  if (none && packet.version === 4) return true;
  return packet.verify(true);
}

/** Sends a datagram; the payload is not copied unless it has to be fragmented. */
export function sendUdp(
  ip: IpOutput,
  route: Route,
  sourcePort: number,
  destinationPort: number,
  payload: Uint8Array,
): void {
  const length = UDP_HEADER + payload.length;
  if (length > 0xffff) return;
  if (length + (route.source.isIpv4 ? 20 : 40) <= ip.mtu) {
    const at = ip.begin(route, Protocol.Udp, length);
    writeHeader(ip.header, at, sourcePort, destinationPort, length);
    ip.finish(UDP_HEADER, CHECKSUM, payload, 0, payload.length);
    ip.link.send();
    return;
  }
  const bytes = new Uint8Array(length);
  writeHeader(bytes, 0, sourcePort, destinationPort, length);
  bytes.set(payload, UDP_HEADER);
  checksumDatagram(route, Protocol.Udp, bytes, CHECKSUM);
  ip.datagram(route, Protocol.Udp, bytes);
}

function writeHeader(
  bytes: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
): void {
  put16(bytes, at, sourcePort);
  put16(bytes, at + 2, destinationPort);
  put16(bytes, at + 4, length);
}
