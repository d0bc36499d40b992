/** Which address of the host's world stands behind an address the guest uses. */
import { networkInterfaces } from 'node:os';
import type { NetworkAddresses } from '../addresses.js';
import type { Clock } from '../timers.js';
import { Cidr, IpAddress } from '../wire/address.js';

/** Never destinations of sockets: they mean the host itself, a group, or nothing. */
const UNROUTABLE = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '224.0.0.0/3',
  '::/96',
  '::ffff:0:0:0/96',
  'fe80::/10',
  'ff00::/8',
].map((text) => Cidr.of(text));
const REFRESH_MS = 5000;

/** An address to connect to, or why there is none. */
export type Reached = { readonly host: string } | 'host-denied' | 'unreachable';

export class Reach {
  private own = new Set<string>();
  private refreshed = -Infinity;

  /** @param host whether the guest may reach the host: its loopback behind the gateway's address */
  constructor(
    private readonly addresses: NetworkAddresses,
    private readonly host: boolean,
    private readonly clock: Clock,
  ) {}

  find(address: IpAddress): Reached {
    if (this.addresses.isGateway(address)) {
      if (!this.host) return 'host-denied';
      return { host: address.isIpv4 ? '127.0.0.1' : '::1' };
    }
    if (this.addresses.isLocal(address)) return 'unreachable';
    if (UNROUTABLE.some((range) => range.contains(address))) return 'unreachable';
    const text = address.toString();
    if (!this.host && this.isOwn(text)) return 'host-denied';
    return { host: text };
  }

  /** True for an address of one of the host's interfaces. */
  private isOwn(address: string): boolean {
    const now = this.clock.now();
    if (now - this.refreshed >= REFRESH_MS) {
      this.refreshed = now;
      const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
      // In the one form that texts of addresses have here.
      this.own = new Set(all.map((entry) => IpAddress.parse(entry.address)?.toString() ?? ''));
    }
    return this.own.has(address);
  }
}
