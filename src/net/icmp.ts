/**
 * ICMP (RFC 792) and ICMPv6 (RFC 4443): echo for the gateway, errors for what cannot be reached.
 */
import type { IpOutput, Route } from './ip-output.js';
import { checksumDatagram } from './ip-output.js';
import type { Clock } from './timers.js';
import type { IpAddress } from './wire/address.js';
import { put16, put32 } from './wire/bytes.js';
import { Protocol, type Packet } from './wire/packet.js';

enum Icmp4 {
  EchoReply = 0,
  Unreachable = 3,
  Echo = 8,
  TimeExceeded = 11,
}

enum Icmp6 {
  Unreachable = 1,
  TimeExceeded = 3,
  Echo = 128,
  EchoReply = 129,
}

/** Why something cannot be reached. */
export type Unreachable = 'network' | 'host' | 'port' | 'prohibited';

const CODES_4: Record<Unreachable, number> = { network: 0, host: 1, port: 3, prohibited: 13 };
const CODES_6: Record<Unreachable, number> = { network: 0, host: 3, port: 4, prohibited: 1 };

/** What an error quotes: the packet that caused it, as far as it matters. */
export interface Quoted {
  /** From the host that was to be reached, to the guest. */
  readonly route: Route;
  readonly protocol: Protocol;
  /** First 8 bytes after the IP header: ports, and the sequence number of TCP. */
  readonly start: Uint8Array;
}

/** RFC 1812, 4.3.2.8 and RFC 4443, 2.4(f): errors are limited. */
const MOST_ERRORS = 200;
const SECOND_MS = 1000;
const HEADER = 8;

/** The 8 bytes of a transport header that errors quote. */
export function quotedStart(sourcePort: number, destinationPort: number, rest: number): Uint8Array {
  const bytes = new Uint8Array(8);
  put16(bytes, 0, sourcePort);
  put16(bytes, 2, destinationPort);
  put32(bytes, 4, rest);
  return bytes;
}

export class IcmpAnswers {
  private errors = 0;
  private errorsSince = -Infinity;

  /** @param gateways addresses that errors come from, by version */
  constructor(
    private readonly ip: IpOutput,
    private readonly gateways: { readonly v4: IpAddress; readonly v6: IpAddress },
    private readonly clock: Clock,
  ) {}

  /** Answers an echo request to the gateway. The packet's checksum has been verified. */
  echo(packet: Packet, route: Route): void {
    const v4 = packet.version === 4;
    const { header, transport } = packet;
    if (header[transport] !== (v4 ? Icmp4.Echo : Icmp6.Echo) || header[transport + 1] !== 0) return;
    const bytes = packet.payload(0);
    bytes[0] = v4 ? Icmp4.EchoReply : Icmp6.EchoReply;
    const protocol = v4 ? Protocol.Icmp : Protocol.Icmpv6;
    checksumDatagram(route, protocol, bytes, 2);
    this.ip.datagram(route, protocol, bytes);
  }

  unreachable(quoted: Quoted, why: Unreachable): void {
    const v4 = quoted.route.source.isIpv4;
    if (v4) this.error(quoted, Icmp4.Unreachable, CODES_4[why]);
    else this.error(quoted, Icmp6.Unreachable, CODES_6[why]);
  }

  timeExceeded(quoted: Quoted): void {
    this.error(quoted, quoted.route.source.isIpv4 ? Icmp4.TimeExceeded : Icmp6.TimeExceeded, 0);
  }

  private error({ route, protocol, start }: Quoted, type: number, code: number): void {
    const now = this.clock.now();
    if (now - this.errorsSince >= SECOND_MS) {
      this.errorsSince = now;
      this.errors = 0;
    }
    if (++this.errors > MOST_ERRORS) return;
    const v4 = route.source.isIpv4;
    const original = originalHeader(route, protocol, start);
    const bytes = new Uint8Array(HEADER + original.length);
    bytes[0] = type;
    bytes[1] = code;
    bytes.set(original, HEADER);
    const source = v4 ? this.gateways.v4 : this.gateways.v6;
    const back = { mac: route.mac, source, destination: route.destination };
    const icmp = v4 ? Protocol.Icmp : Protocol.Icmpv6;
    checksumDatagram(back, icmp, bytes, 2);
    this.ip.datagram(back, icmp, bytes);
  }
}

/** The IP header of the guest's packet and what followed. */
function originalHeader(
  { source, destination }: Route,
  protocol: number,
  start: Uint8Array,
): Uint8Array {
  const v4 = source.isIpv4;
  const length = v4 ? 20 : 40;
  const bytes = new Uint8Array(length + start.length);
  if (v4) {
    bytes[0] = 0x45;
    put16(bytes, 2, bytes.length);
    bytes[8] = 64;
    bytes[9] = protocol;
  } else {
    bytes[0] = 0x60;
    put16(bytes, 4, start.length);
    bytes[6] = protocol;
    bytes[7] = 64;
  }
  const addresses = v4 ? 12 : 8;
  const size = destination.write(bytes, addresses);
  source.write(bytes, addresses + size);
  bytes.set(start, length);
  return bytes;
}
