/** The name server that the guest sees at the gateway's address. */
import type { NetworkAddresses } from '../addresses.js';
import type { Gate } from '../policy/gate.js';
import { Cidr, type IpAddress } from '../wire/address.js';
import {
  addressAnswer,
  answerAddresses,
  DNS_HEADER,
  errorAnswer,
  parseQuery,
  RecordType,
  recordTypeName,
  ResponseCode,
  type DnsQuery,
} from './dns-message.js';
import type { HostsFile } from './hosts-file.js';
import type { Upstream } from './upstream.js';

export const DNS_PORT = 53;

/** Local names may change at any time. */
const LOCAL_TTL_S = 10;
/** Queries that wait for a decision or an answer. */
const MOST_QUERIES = 256;
const LOOPBACK = [Cidr.of('127.0.0.0/8'), Cidr.of('::1')];

export class DnsService {
  private queries = 0;

  constructor(
    private readonly addresses: NetworkAddresses,
    private readonly gate: Gate,
    private readonly hosts: HostsFile,
    private readonly upstream: Upstream,
    /** The guest's own name. */
    private readonly hostName: string | undefined,
    /** Answers about names of networks that the guest is also on. */
    private readonly known?: (query: DnsQuery) => Uint8Array | undefined,
  ) {}

  /** Answers a message, now or later. False when it is none that has an answer. */
  query(bytes: Uint8Array, tcp: boolean, answer: (bytes: Uint8Array) => void): boolean {
    const query = parseQuery(bytes);
    if (query === undefined) return false;
    if (typeof query === 'number') {
      answer(errorAnswer(bytes, query, DNS_HEADER));
      return true;
    }
    // What this program knows by itself tells nobody anything: the rules are about looking up.
    const known = this.known?.(query);
    if (known !== undefined) {
      answer(known);
      return true;
    }
    if (this.queries >= MOST_QUERIES) {
      answer(errorAnswer(bytes, ResponseCode.ServerFailure, query.end));
      return true;
    }
    this.queries++;
    const done = (result: Uint8Array): void => {
      this.queries--;
      answer(result);
    };
    this.gate.lookup(query.name, recordTypeName(query.type), (verdict) => {
      // A name that is not to be known does not exist: clients give up at once.
      if (verdict === 'deny') done(errorAnswer(bytes, ResponseCode.NameError, query.end));
      else this.resolve(query, tcp, done);
    });
    return true;
  }

  private resolve(query: DnsQuery, tcp: boolean, done: (answer: Uint8Array) => void): void {
    const local = this.local(query);
    if (local !== undefined) {
      for (const address of local) this.remember(query.name, address, LOCAL_TTL_S);
      done(addressAnswer(query, local, LOCAL_TTL_S));
      return;
    }
    void this.upstream.ask(query, tcp).then((answer) => {
      if (answer === undefined) {
        done(errorAnswer(query.bytes, ResponseCode.ServerFailure, query.end));
        return;
      }
      for (const { address, ttl } of answerAddresses(answer)) {
        this.remember(query.name, address, ttl);
      }
      done(answer);
    });
  }

  private remember(name: string, address: IpAddress, ttl: number): void {
    this.gate.names.add(address.toString(), name, ttl);
  }

  /** Addresses of a name that is known here, empty when it has none of the type asked for. */
  private local({ name, type }: DnsQuery): IpAddress[] | undefined {
    const known = this.localAddresses(name);
    if (known === undefined || (type !== RecordType.A && type !== RecordType.AAAA)) {
      return undefined;
    }
    return known.filter(({ isIpv4 }) => isIpv4 === (type === RecordType.A));
  }

  private localAddresses(name: string): readonly IpAddress[] | undefined {
    if (name === this.hostName?.toLowerCase()) return [this.addresses.v4.guest];
    const found = this.hosts.find(name);
    if (found === undefined || name === 'localhost') return found;
    // What is the host's loopback there is the gateway here.
    const { v4, v6 } = this.addresses;
    return found.map((address) => {
      if (!LOOPBACK.some((range) => range.contains(address))) return address;
      return address.isIpv4 ? v4.gateway : v6.gateway;
    });
  }
}
