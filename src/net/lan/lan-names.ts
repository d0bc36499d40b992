/** Names of the VMs of LANs: `db` and `db.lan`, and back from an address to its name. */
import {
  addressAnswer,
  errorAnswer,
  nameAnswer,
  RecordType,
  ResponseCode,
  type DnsQuery,
} from '../dns/dns-message.js';
import { IpAddress } from '../wire/address.js';
import { lanRange, memberAddress } from './lan-options.js';
import { Leases } from './leases.js';

/** The domain that all LANs are in. */
export const LAN_DOMAIN = 'lan';
/** VMs come and go. */
const TTL_S = 5;

/** A LAN and where its members are listed. */
export interface LanListing {
  readonly lan: string;
  readonly directory: string;
}

/** The address in a name of the reverse zone of IPv4. */
function reverseAddress(name: string): IpAddress | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(name);
  return match === null ? undefined : IpAddress.parse(match.slice(1, 5).reverse().join('.'));
}

/** What a name server knows about some LANs. */
export class LanNames {
  private readonly lans: readonly { readonly lan: string; readonly leases: Leases }[];

  constructor(lans: readonly LanListing[]) {
    this.lans = lans.map(({ lan, directory }) => ({ lan, leases: new Leases(directory) }));
  }

  /** The answer to a question about a LAN; undefined when it is about something else. */
  answer(query: DnsQuery): Uint8Array | undefined {
    const address = reverseAddress(query.name);
    if (address !== undefined) return this.reverse(query, address);
    const suffix = `.${LAN_DOMAIN}`;
    const qualified = query.name.endsWith(suffix);
    const name = qualified ? query.name.slice(0, -suffix.length) : query.name;
    // A VM that is called example.org is not what others mean by that.
    const found = qualified || !name.includes('.') ? this.find(name) : undefined;
    if (found !== undefined) {
      return addressAnswer(query, query.type === RecordType.A ? [found] : [], TTL_S);
    }
    const ours = qualified || query.name === LAN_DOMAIN;
    return ours ? errorAnswer(query.bytes, ResponseCode.NameError, query.end) : undefined;
  }

  private find(name: string): IpAddress | undefined {
    for (const { lan, leases } of this.lans) {
      const lease = leases.find((member) => member.name.toLowerCase() === name);
      if (lease !== undefined) return memberAddress(lan, lease.host);
    }
    return undefined;
  }

  private reverse(query: DnsQuery, address: IpAddress): Uint8Array | undefined {
    const entry = this.lans.find(({ lan }) => lanRange(lan).contains(address));
    if (entry === undefined) return undefined;
    const lease = entry.leases.find(({ host }) => host === (address.w3 & 255));
    if (lease === undefined || query.type !== RecordType.PTR) {
      const code = lease === undefined ? ResponseCode.NameError : ResponseCode.NoError;
      return errorAnswer(query.bytes, code, query.end);
    }
    return nameAnswer(query, `${lease.name}.${LAN_DOMAIN}`, TTL_S);
  }
}
