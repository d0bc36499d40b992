/** Networks between VMs of one host, by name: what users write, and what follows from the name. */
import { createHash } from 'node:crypto';
import { VexitError } from '../../util/errors.js';
import { NetworkAddresses } from '../addresses.js';
import { DEFAULT_MTU, LARGEST_MTU, SMALLEST_MTU } from '../options.js';
import { Cidr, IpAddress } from '../wire/address.js';
import { isStation, MacAddress } from '../wire/mac.js';

/** An interface on a LAN. Plain data. */
export interface LanNetOptions {
  readonly kind: 'lan';
  /** VMs that name the same LAN are on one Ethernet switch. */
  readonly lan: string;
  /** Bytes of a packet, 1280 to 65520, the same for all; 1500. */
  readonly mtu?: number;
}

/** Host numbers of VMs: 1 is the service that every member has. */
export const FIRST_HOST = 2;
export const LAST_HOST = 254;
const SERVICE_HOST = 1;

/**
 * Checks options that may come from a program.
 * @throws VexitError ERR_CONFIG
 */
export function checkLanOptions({ lan, mtu = DEFAULT_MTU }: LanNetOptions): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(lan)) {
    throw new VexitError(
      'ERR_CONFIG',
      `${JSON.stringify(lan)} is not a name for a LAN`,
      'use letters, digits, "_" and "-", at most 32, beginning with a letter or digit',
    );
  }
  if (!(Number.isInteger(mtu) && mtu >= SMALLEST_MTU && mtu <= LARGEST_MTU)) {
    throw new VexitError(
      'ERR_CONFIG',
      `an MTU of ${mtu} does not work`,
      `write one from ${SMALLEST_MTU} to ${LARGEST_MTU}`,
    );
  }
}

/** The IPv4 range of a LAN: 10.1.0.0/24 to 10.255.255.0/24, so never the user network's. */
export function lanRange(lan: string): Cidr {
  const hash = createHash('sha256').update(`vexit lan ${lan}`).digest();
  return Cidr.of(`10.${1 + (hash[0]! % 255)}.${hash[1]!}.0/24`);
}

/** The IPv6 prefix of a LAN, a unique local one (RFC 4193). */
function lanPrefix(lan: string): Cidr {
  const hash = createHash('sha256').update(`vexit lan ${lan}`).digest('hex');
  const groups = [hash.slice(4, 6), hash.slice(6, 10), hash.slice(10, 14)];
  return Cidr.of(`fd${groups[0]!}:${groups[1]!}:${groups[2]!}::/64`);
}

/** The addresses on a LAN, as the member with this host number sees it. */
export function lanAddresses(lan: string, host: number): NetworkAddresses {
  const hosts = { gateway: SERVICE_HOST, guest: host };
  return new NetworkAddresses(lanRange(lan), lanPrefix(lan), hosts);
}

/** The address of a member. */
export function memberAddress(lan: string, host: number): IpAddress {
  return IpAddress.v4(lanRange(lan).base.w3 + host);
}

/** The host number and the address of a card that a VM gets if they are free. */
export function preferredIdentity(lan: string, name: string): { host: number; mac: string } {
  const hash = createHash('sha256').update(`${lan}/${name.toLowerCase()}`).digest();
  const host = FIRST_HOST + (hash.readUInt16BE(0) % (LAST_HOST - FIRST_HOST + 1));
  return { host, mac: new MacAddress(0x5254, hash.readUInt32BE(2) & 0xffffff).toString() };
}

/** An address that a card can have; undefined for anything else. */
export function parseStation(text: string): MacAddress | undefined {
  const mac = MacAddress.parse(text);
  if (mac === undefined) return undefined;
  const bytes = new Uint8Array(6);
  mac.write(bytes, 0);
  return isStation(bytes, 0) ? mac : undefined;
}
