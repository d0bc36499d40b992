/** ARP (RFC 826): answers for the gateway, learns where the guest is. */
import { EtherType, type IpOutput } from './ip-output.js';
import type { NetworkAddresses } from './addresses.js';
import { IpAddress } from './wire/address.js';
import { get16, get32, put16, put32 } from './wire/bytes.js';
import { isStation, MacAddress } from './wire/mac.js';
import type { Neighbors } from './neighbors.js';
import { ETHERNET_HEADER, type Packet } from './wire/packet.js';

const LENGTH = 28;
const HARDWARE_ETHERNET = 1;
const REQUEST = 1;
const REPLY = 2;
const EVERYBODY = new MacAddress(0xffff, -1);

export class Arp {
  constructor(
    private readonly ip: IpOutput,
    private readonly addresses: NetworkAddresses,
    private readonly neighbors: Neighbors,
  ) {}

  input(packet: Packet): void {
    const { header } = packet;
    const at = ETHERNET_HEADER;
    if (packet.headerLength < at + LENGTH) return;
    const wrong =
      get16(header, at) !== HARDWARE_ETHERNET ||
      get16(header, at + 2) !== EtherType.Ipv4 ||
      header[at + 4] !== 6 ||
      header[at + 5] !== 4;
    if (wrong || !isStation(header, at + 8)) return;
    const operation = get16(header, at + 6);
    const sender = IpAddress.v4(get32(header, at + 14));
    const mac = MacAddress.read(header, at + 8);
    if (this.addresses.isGuest(sender)) this.neighbors.learn(sender, mac);
    if (operation !== REQUEST || get32(header, at + 24) !== this.addresses.v4.gateway.w3) return;
    this.send(REPLY, mac, mac, sender);
  }

  /** Asks who has an address. */
  request(address: IpAddress): void {
    this.send(REQUEST, EVERYBODY, new MacAddress(0, 0), address);
  }

  private send(operation: number, to: MacAddress, target: MacAddress, address: IpAddress): void {
    const { header, link } = this.ip;
    const at = this.ip.ethernet(to, EtherType.Arp);
    put16(header, at, HARDWARE_ETHERNET);
    put16(header, at + 2, EtherType.Ipv4);
    header[at + 4] = 6;
    header[at + 5] = 4;
    put16(header, at + 6, operation);
    this.addresses.mac.write(header, at + 8);
    put32(header, at + 14, this.addresses.v4.gateway.w3);
    target.write(header, at + 18);
    put32(header, at + 24, address.w3);
    link.frame.headerLength = at + LENGTH;
    link.frame.setPayload(header, 0, 0);
    link.send();
  }
}
