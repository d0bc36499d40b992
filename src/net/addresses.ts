/** The addresses of a user network: one guest, and a gateway that is router, DHCP and DNS server. */
import { Cidr, IpAddress } from './wire/address.js';
import { MacAddress } from './wire/mac.js';

export class NetworkAddresses {
  readonly v4: {
    readonly range: Cidr;
    readonly bits: number;
    readonly gateway: IpAddress;
    readonly guest: IpAddress;
  };
  readonly v6: { readonly range: Cidr; readonly gateway: IpAddress };
  /** The gateway's address that router advertisements come from. */
  readonly linkLocal = IpAddress.of('fe80::2');
  readonly mac: MacAddress;

  private static readonly LINK_LOCAL = Cidr.of('fe80::/64');

  /**
   * @param net IPv4 range
   * @param net6 an IPv6 prefix of 64 bits
   * @param hosts which addresses of the range the two have
   */
  constructor(net: Cidr, net6: Cidr, hosts = { gateway: 2, guest: 15 }) {
    const base = net.base.w3;
    this.v4 = {
      range: net,
      bits: net.bits - 96,
      gateway: IpAddress.v4(base + hosts.gateway),
      guest: IpAddress.v4(base + hosts.guest),
    };
    const { w0, w1 } = net6.base;
    this.v6 = { range: net6, gateway: new IpAddress(w0, w1, 0, 2) };
    // Locally administered; the rest is the gateway's IPv4 address, as QEMU does.
    this.mac = new MacAddress(0x5255, this.v4.gateway.w3);
  }

  get netmask(): number {
    return -1 << (32 - this.v4.bits);
  }

  get broadcast(): IpAddress {
    return IpAddress.v4(this.v4.range.base.w3 | ~this.netmask);
  }

  isGateway(address: IpAddress): boolean {
    return (
      address.equals(this.v4.gateway) ||
      address.equals(this.v6.gateway) ||
      address.equals(this.linkLocal)
    );
  }

  /** True when a packet from the guest may have this source. */
  isGuest(address: IpAddress): boolean {
    if (this.isGateway(address)) return false;
    if (address.isIpv4) {
      const host = address.w3 & ~this.netmask;
      const last = ~this.netmask;
      return this.v4.range.contains(address) && host !== 0 && host !== last;
    }
    return this.v6.range.contains(address) || NetworkAddresses.LINK_LOCAL.contains(address);
  }

  /** True for what is on the guest's own link and not to be forwarded. */
  isLocal(address: IpAddress): boolean {
    return (
      this.v4.range.contains(address) ||
      this.v6.range.contains(address) ||
      NetworkAddresses.LINK_LOCAL.contains(address)
    );
  }
}
