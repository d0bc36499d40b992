/** Says what the rules of a network have denied a guest. */
import type { NetEvent } from '../net/events.js';
import { hostAndPort } from '../net/wire/address.js';

/** Different denials that are said; a guest can cause them without end. */
const MOST_DENIALS = 64;

/** A line about a denial; undefined for other events. */
export function describeDenial(event: NetEvent): string | undefined {
  if (!('verdict' in event) || event.verdict !== 'deny') return undefined;
  if (event.type === 'lookup') return `denied the look-up of ${event.name}`;
  const { protocol, address, port, names } = event;
  const place = protocol === 'icmp' ? address : hostAndPort(address, port);
  const known = names.length === 0 ? '' : ` (${names.join(', ')})`;
  return `denied ${protocol} to ${place}${known}`;
}

/** What tells of networks: a VM. */
interface NetworkSource {
  on(event: 'network', listener: (event: NetEvent) => void): unknown;
}

/** Says every different denial once. */
export function reportDenials(vm: NetworkSource, say: (line: string) => void): void {
  const said = new Set<string>();
  vm.on('network', (event) => {
    const line = describeDenial(event);
    if (line === undefined || said.has(line) || said.size > MOST_DENIALS) return;
    said.add(line);
    const last = said.size > MOST_DENIALS;
    say(last ? 'vexit: network: more was denied' : `vexit: network: ${line}`);
  });
}
