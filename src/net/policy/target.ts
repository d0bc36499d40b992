/** What a rule of a policy is about, as people write it: `example.org:443`, `10.0.0.0/8`, `:53/udp`. */
import { VexitError } from '../../util/errors.js';
import type { NetProtocol } from '../events.js';
import { Cidr } from '../wire/address.js';

/** Destinations. Plain data; what is absent matches everything. */
export interface NetTarget {
  /** A name, or `*.` and a name: everything below that, at any depth. In lower case. */
  readonly name?: string;
  /** A range of addresses, or one address. */
  readonly cidr?: string;
  /** First and last port. */
  readonly ports?: readonly [number, number];
  readonly protocol?: NetProtocol;
}

const HINT =
  'write NAME, *.NAME, ADDRESS or ADDRESS/BITS, then :PORT or :FIRST-LAST and /tcp, /udp or /icmp as you need: example.org:443, 10.0.0.0/8, [2001:db8::]/32:443';
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

function fail(text: string, what: string): never {
  throw new VexitError('ERR_CONFIG', `${what} in network rule "${text}"`, HINT);
}

/** True for a name that DNS can carry; lower case, no dot at its end. */
export function isHostName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => LABEL.test(label));
}

/**
 * First and last of `443` or `8000-8010`; undefined for anything else.
 * @param text one port or a range, from 1 to 65535
 */
export function parsePorts(text: string): [number, number] | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first >= 1 && last <= 65535 && first <= last ? [first, last] : undefined;
}

/** Takes `/tcp` and the like, and `:443`, off the end. */
function splitTail(text: string): { head: string; ports?: string; protocol?: string } {
  const protocol = /\/([a-z]+)$/.exec(text);
  const rest = protocol === null ? text : text.slice(0, protocol.index);
  const parts: { head: string; ports?: string; protocol?: string } = { head: rest };
  if (protocol !== null) parts.protocol = protocol[1]!;
  // More than one colon and no bracket: an IPv6 address without a port.
  const bare = !rest.includes('[') && rest.split(':').length > 2;
  const colon = bare || rest.endsWith(']') ? -1 : rest.lastIndexOf(':');
  if (colon >= 0) {
    parts.head = rest.slice(0, colon);
    parts.ports = rest.slice(colon + 1);
  }
  return parts;
}

/**
 * Parses the target of a rule.
 * @throws VexitError ERR_CONFIG when it cannot be understood
 */
export function parseTarget(text: string): NetTarget {
  const { head, ports: portText, protocol } = splitTail(text.trim().toLowerCase());
  const target: {
    -readonly [K in keyof NetTarget]: NetTarget[K];
  } = {};
  if (protocol !== undefined) {
    if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'icmp') {
      fail(text, `unknown protocol ${protocol}`);
    }
    target.protocol = protocol;
  }
  if (portText !== undefined) {
    const ports = parsePorts(portText);
    if (ports === undefined) fail(text, `"${portText}" is not a port`);
    if (protocol === 'icmp') fail(text, 'a port for ICMP, which has none,');
    target.ports = ports;
  }
  const place = head.replace(/^\[(.*?)\]/, '$1');
  if (place === '') {
    if (target.ports === undefined && protocol === undefined) fail(text, 'nothing');
  } else if (place !== '*' && place !== 'any') {
    Object.assign(target, parsePlace(text, place));
  }
  return target;
}

function parsePlace(text: string, place: string): NetTarget {
  const cidr = Cidr.parse(place);
  if (cidr !== undefined) return { cidr: cidr.toString() };
  if (/^[\d./]+$/.test(place) || place.includes(':') || place.includes('/')) {
    fail(text, `"${place}" is not an address`);
  }
  const name = place.replace(/\.$/, '');
  if (!isHostName(name.replace(/^\*\./, ''))) fail(text, `"${place}" is not a host name`);
  return { name };
}

/**
 * Parses the value of `--allow-net` or `--deny-net`: one or more targets, separated by commas.
 * @throws VexitError ERR_CONFIG when one cannot be understood
 */
export function parseAllowNet(text: string): NetTarget[] {
  return text.split(',').map((part) => {
    if (part.trim() === '') fail(text, 'an empty target');
    return parseTarget(part);
  });
}
