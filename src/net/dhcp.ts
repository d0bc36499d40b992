/** A DHCP server (RFC 2131) with one address to give: the guest's. */
import type { NetworkAddresses } from './addresses.js';
import { IpAddress } from './wire/address.js';
import { get16, get32, put16, put32 } from './wire/bytes.js';

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

enum Message {
  Discover = 1,
  Offer = 2,
  Request = 3,
  Decline = 4,
  Ack = 5,
  Nak = 6,
  Release = 7,
  Inform = 8,
}

/** Options of RFC 2132. */
enum Option {
  Pad = 0,
  SubnetMask = 1,
  Router = 3,
  DnsServer = 6,
  HostName = 12,
  DomainName = 15,
  InterfaceMtu = 26,
  Broadcast = 28,
  RequestedAddress = 50,
  LeaseTime = 51,
  MessageType = 53,
  ServerIdentifier = 54,
  RenewalTime = 58,
  RebindingTime = 59,
  End = 255,
}

const FIXED = 236;
const COOKIE = 0x6382_5363;
const OPTIONS = FIXED + 4;
/** BOOTP clients expect as much. */
const SHORTEST_REPLY = 300;
const LARGEST_REPLY = 548;
const BROADCAST_FLAG = 0x8000;
const LEASE_S = 86_400;

/** An answer, and whether it is for the whole link. */
export interface DhcpReply {
  readonly bytes: Uint8Array;
  readonly broadcast: boolean;
  /** Where the client is, unless the answer is a broadcast. */
  readonly address: IpAddress;
}

export interface DhcpOptions {
  readonly mtu: number;
  /** Name that the guest gets. */
  readonly hostName?: string | undefined;
  /** Domain that short names are looked up in. */
  readonly domain?: string | undefined;
  /** False: there is no way out through the server. */
  readonly router?: boolean;
}

export class DhcpServer {
  constructor(
    private readonly addresses: NetworkAddresses,
    private readonly options: DhcpOptions,
  ) {}

  /** Answers a message, if it wants an answer. */
  input(bytes: Uint8Array): DhcpReply | undefined {
    const isRequest =
      bytes.length >= OPTIONS &&
      bytes[0] === 1 &&
      bytes[1] === 1 &&
      bytes[2] === 6 &&
      get32(bytes, FIXED) === COOKIE;
    if (!isRequest) return undefined;
    const options = parseOptions(bytes);
    const server = options.get(Option.ServerIdentifier);
    if (server !== undefined && !this.isUs(server)) return undefined;
    switch (options.get(Option.MessageType)?.[0]) {
      case Message.Discover:
        return this.reply(bytes, Message.Offer);
      case Message.Request:
        return this.onRequest(bytes, options);
      case Message.Inform:
        return this.reply(bytes, Message.Ack, true);
      default:
        // DECLINE and RELEASE change nothing: the address stays the guest's.
        return undefined;
    }
  }

  private onRequest(bytes: Uint8Array, options: Map<number, Uint8Array>): DhcpReply {
    const requested = options.get(Option.RequestedAddress);
    // A client that renews says its address in ciaddr (4.3.2).
    const address = requested?.length === 4 ? get32(requested, 0) : get32(bytes, 12);
    const ours = address === this.addresses.v4.guest.w3;
    return this.reply(bytes, ours ? Message.Ack : Message.Nak);
  }

  private isUs(server: Uint8Array): boolean {
    return server.length === 4 && get32(server, 0) === this.addresses.v4.gateway.w3;
  }

  private reply(request: Uint8Array, type: Message, inform = false): DhcpReply {
    const { guest, gateway } = this.addresses.v4;
    const bytes = new Uint8Array(LARGEST_REPLY);
    bytes.set(request.subarray(0, 8));
    bytes[0] = 2;
    bytes[3] = 0;
    const flags = get16(request, 10);
    put16(bytes, 10, flags);
    const client = get32(request, 12);
    if (type !== Message.Nak) put32(bytes, 12, client);
    if (type !== Message.Nak && !inform) guest.write(bytes, 16);
    gateway.write(bytes, 20);
    // giaddr and chaddr.
    bytes.set(request.subarray(24, 44), 24);
    put32(bytes, FIXED, COOKIE);
    const writer = new OptionWriter(bytes, OPTIONS);
    writer.add(Option.MessageType, [type]);
    writer.address(Option.ServerIdentifier, gateway);
    if (type !== Message.Nak) this.addSettings(writer, inform);
    writer.end();
    const broadcast = type === Message.Nak || (client === 0 && (flags & BROADCAST_FLAG) !== 0);
    return {
      bytes: bytes.subarray(0, Math.max(SHORTEST_REPLY, writer.length)),
      broadcast,
      address: client === 0 ? guest : IpAddress.v4(client),
    };
  }

  private addSettings(writer: OptionWriter, inform: boolean): void {
    const { addresses, options } = this;
    if (!inform) {
      writer.number(Option.LeaseTime, LEASE_S);
      writer.number(Option.RenewalTime, LEASE_S / 2);
      writer.number(Option.RebindingTime, (LEASE_S * 7) / 8);
    }
    writer.number(Option.SubnetMask, addresses.netmask);
    writer.address(Option.Broadcast, addresses.broadcast);
    if (options.router !== false) writer.address(Option.Router, addresses.v4.gateway);
    writer.address(Option.DnsServer, addresses.v4.gateway);
    writer.add(Option.InterfaceMtu, [options.mtu >>> 8, options.mtu & 255]);
    if (options.hostName !== undefined) writer.text(Option.HostName, options.hostName);
    if (options.domain !== undefined) writer.text(Option.DomainName, options.domain);
  }
}

class OptionWriter {
  constructor(
    private readonly bytes: Uint8Array,
    public length: number,
  ) {}

  add(option: Option, value: ArrayLike<number>): void {
    this.bytes[this.length] = option;
    this.bytes[this.length + 1] = value.length;
    this.bytes.set(value, this.length + 2);
    this.length += 2 + value.length;
  }

  number(option: Option, value: number): void {
    const bytes = new Uint8Array(4);
    put32(bytes, 0, value);
    this.add(option, bytes);
  }

  address(option: Option, address: IpAddress): void {
    this.number(option, address.w3);
  }

  text(option: Option, text: string): void {
    this.add(option, Buffer.from(text.slice(0, 64), 'latin1'));
  }

  end(): void {
    this.bytes[this.length++] = Option.End;
  }
}

function parseOptions(bytes: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  let at = OPTIONS;
  while (at < bytes.length) {
    const option = bytes[at]!;
    if (option === Option.End) break;
    if (option === Option.Pad) {
      at++;
      continue;
    }
    const length = at + 1 < bytes.length ? bytes[at + 1]! : 256;
    if (at + 2 + length > bytes.length) break;
    options.set(option, bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}
