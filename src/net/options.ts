/** What people write about networks, as plain data that can be sent to a worker. */
import { VexitError } from '../util/errors.js';
import { isHostName, parsePorts, type NetTarget } from './policy/target.js';
import { Cidr, IpAddress } from './wire/address.js';

/** A port of the host that leads to the guest. */
export interface Publication {
  readonly protocol: 'tcp' | 'udp';
  /** Address of the host to listen on. */
  readonly hostAddress: string;
  /** 0: the host chooses. */
  readonly hostPort: number;
  readonly guestPort: number;
}

/** A user network. Plain data; everything has a default. */
export interface UserNetOptions {
  readonly kind: 'user';
  /** IPv4 range, from /8 to /27: gateway .2, guest .15; `10.0.2.0/24`. */
  readonly net?: string;
  /** IPv6 prefix of 64 bits; `fd76:6578:6974::/64`. */
  readonly net6?: string;
  /** False: no IPv6 on the guest's link. */
  readonly ipv6?: boolean;
  /** False: the guest does not reach the host, whose loopback is at the gateway's address. */
  readonly host?: boolean;
  /** Bytes of a packet, 1280 to 65520; 1500. */
  readonly mtu?: number;
  /** Name that DHCP gives the guest, and that it finds itself by. */
  readonly hostName?: string;
  /** Domain that DHCP gives the guest for short names. */
  readonly domain?: string;
  /** Name servers instead of the host's: `192.0.2.53` or `192.0.2.53:5353`. */
  readonly dns?: readonly string[];
  readonly publish?: readonly Publication[];
  /** With at least one, everything else is denied. */
  readonly allow?: readonly NetTarget[];
  /** Goes before `allow`. */
  readonly deny?: readonly NetTarget[];
  /** File to capture all frames in, as pcapng. */
  readonly pcap?: string;
  /** TCP connections; 4096. */
  readonly maxConnections?: number;
}

export const DEFAULT_NET = '10.0.2.0/24';
export const DEFAULT_NET6 = 'fd76:6578:6974::/64';
export const DEFAULT_MTU = 1500;
/** RFC 8200, 5: what every IPv6 link carries. */
export const SMALLEST_MTU = 1280;
export const LARGEST_MTU = 65520;
const KEYS = 'net=, net6=, ipv6=, host=, mtu=, hostname=, domain=, dns=, max-connections=';

function fail(message: string, hint: string): never {
  throw new VexitError('ERR_CONFIG', message, hint);
}

/**
 * Parses `[ADDRESS:]HOSTPORT:GUESTPORT[/tcp|udp]`, or one port for both.
 * @throws VexitError ERR_CONFIG when it cannot be understood
 */
export function parsePublish(text: string): Publication {
  const hint =
    'write [ADDRESS:]HOSTPORT:GUESTPORT[/tcp|/udp], as in 8080:80, 0.0.0.0:5353:53/udp or [::1]:8080:80';
  const wrong = (what: string): never => fail(`${what} in published port "${text}"`, hint);
  const match = /^(?:(\[[^\]]*\]|[^:[\]]*):)?(?:(\d{1,5}):)?(\d{1,5})(?:\/(\w+))?$/.exec(
    text.trim(),
  );
  if (match === null) return wrong('a mistake');
  let [, address, hostText] = match;
  const [, , , guestText, protocol = 'tcp'] = match;
  if (protocol !== 'tcp' && protocol !== 'udp') return wrong(`unknown protocol ${protocol}`);
  // With one colon only, what is before it is a port.
  if (hostText === undefined && address !== undefined) {
    hostText = address;
    address = undefined;
  }
  hostText ??= guestText!;
  const guest = parsePorts(guestText!)?.[0];
  const hostPort = hostText === '0' ? 0 : parsePorts(hostText)?.[0];
  if (guest === undefined) return wrong(`"${guestText!}" is not a port`);
  if (hostPort === undefined || hostText.includes('-')) return wrong(`"${hostText}" is not a port`);
  const hostAddress = address?.replace(/^\[(.*)\]$/, '$1') ?? '127.0.0.1';
  if (IpAddress.parse(hostAddress) === undefined)
    return wrong(`"${hostAddress}" is not an address`);
  return { protocol, hostAddress, hostPort, guestPort: guest };
}

/**
 * Parses the value of `--net`: `user`, or `user,KEY=VALUE,...`.
 * @throws VexitError ERR_CONFIG when it cannot be understood
 */
export function parseNetOption(text: string): UserNetOptions {
  const [kind, ...settings] = text.split(',');
  if (kind !== 'user') {
    fail(
      `unknown network "${kind!}"`,
      `write lan=NAME, tap=NAME, user, or user with settings: ${KEYS}`,
    );
  }
  const options: { -readonly [K in keyof UserNetOptions]: UserNetOptions[K] } = { kind: 'user' };
  const seen = new Set<string>();
  for (const setting of settings) {
    const [key, value = 'on'] = splitOnce(setting);
    if (seen.has(key) && key !== 'dns')
      fail(`network setting ${key} is given twice`, 'leave one out');
    seen.add(key);
    Object.assign(options, parseSetting(key, value, options));
  }
  checkNetOptions(options);
  return options;
}

function splitOnce(text: string): [string, string?] {
  const at = text.indexOf('=');
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function parseSetting(key: string, value: string, sofar: UserNetOptions): Partial<UserNetOptions> {
  const flag = (): boolean => {
    if (value !== 'on' && value !== 'off')
      fail(`${key}=${value} is neither on nor off`, `write ${key}=on or ${key}=off`);
    return value === 'on';
  };
  const integer = (): number => {
    if (!/^\d{1,6}$/.test(value))
      fail(`${key}=${value} is not a number`, `write ${key}= and a number`);
    return Number(value);
  };
  switch (key) {
    case 'net':
      return { net: value };
    case 'net6':
      return { net6: value };
    case 'ipv6':
      return { ipv6: flag() };
    case 'host':
      return { host: flag() };
    case 'mtu':
      return { mtu: integer() };
    case 'hostname':
      return { hostName: value };
    case 'domain':
      return { domain: value };
    case 'dns':
      return { dns: [...(sofar.dns ?? []), value] };
    case 'max-connections':
      return { maxConnections: integer() };
    default:
      return fail(`unknown network setting "${key}"`, `settings are ${KEYS}`);
  }
}

/**
 * Checks options that may come from a program.
 * @throws VexitError ERR_CONFIG for the first that makes no sense
 */
export function checkNetOptions(options: UserNetOptions): void {
  const { net = DEFAULT_NET, net6 = DEFAULT_NET6, mtu = DEFAULT_MTU, maxConnections = 1 } = options;
  const range = Cidr.parse(net);
  const bits = (range?.bits ?? 0) - 96;
  if (range === undefined || !range.base.isIpv4 || bits < 8 || bits > 27 || !isBase(range, net)) {
    fail(`network ${net} is not an IPv4 range`, 'write a range from /8 to /27, as in 10.0.2.0/24');
  }
  const range6 = Cidr.parse(net6);
  if (range6 === undefined || range6.base.isIpv4 || range6.bits !== 64 || !isBase(range6, net6)) {
    fail(`network ${net6} is not an IPv6 prefix of 64 bits`, 'write one as in fd12:3456:789a::/64');
  }
  if (!(Number.isInteger(mtu) && mtu >= SMALLEST_MTU && mtu <= LARGEST_MTU)) {
    fail(`an MTU of ${mtu} does not work`, `write one from ${SMALLEST_MTU} to ${LARGEST_MTU}`);
  }
  if (!(Number.isInteger(maxConnections) && maxConnections >= 1 && maxConnections <= 65_536)) {
    fail(`${maxConnections} connections do not work`, 'write a number from 1 to 65536');
  }
  for (const name of [options.hostName, options.domain]) {
    if (name !== undefined && !isHostName(name.toLowerCase())) {
      fail(`"${name}" is not a host name`, 'use letters, digits, hyphens and dots');
    }
  }
  for (const server of options.dns ?? []) checkServer(server);
  checkPublications(options.publish ?? []);
}

/** True when a range is written with its first address. */
function isBase(range: Cidr, text: string): boolean {
  const { w0, w1, w2, w3 } = range.base;
  const host = range.bits === 64 ? w2 | w3 : w3 & ~(-1 << (128 - range.bits));
  return host === 0 && text.includes('/') && (w0 | w1 | w2) !== 0;
}

function checkServer(text: string): void {
  const match = /^\[(.*)\]:(\d{1,5})$/.exec(text) ?? /^([^:]*):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? text;
  const port = match?.[2] === undefined || parsePorts(match[2]) !== undefined;
  if (IpAddress.parse(address) === undefined || !port) {
    fail(`"${text}" is not the address of a name server`, 'write 192.0.2.53 or 192.0.2.53:5353');
  }
}

function checkPublications(publications: readonly Publication[]): void {
  const seen = new Set<string>();
  for (const { protocol, hostAddress, hostPort } of publications) {
    const key = `${hostAddress}:${hostPort}/${protocol}`;
    if (hostPort !== 0 && seen.has(key)) fail(`port ${key} is published twice`, 'leave one out');
    seen.add(key);
  }
}
