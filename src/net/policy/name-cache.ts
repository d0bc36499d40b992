/**
 * Which names an address has, from the answers the guest was given. Only those answers count: a
 * guest cannot make an address pass for a name by itself.
 */
import type { Clock } from '../timers.js';

/** Programs go on using addresses for a while after their time to live. */
const SHORTEST_MS = 60_000;
const LONGEST_MS = 24 * 3_600_000;
const MOST_ADDRESSES = 4096;
const MOST_NAMES = 16;

export class NameCache {
  /** By address as text: names and when they end. The longest unused is first. */
  private readonly addresses = new Map<string, Map<string, number>>();

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.addresses.size;
  }

  /** @param ttl seconds */
  add(address: string, name: string, ttl: number): void {
    const names = this.addresses.get(address) ?? new Map<string, number>();
    this.addresses.delete(address);
    this.addresses.set(address, names);
    const lifetime = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, ttl * 1000));
    names.delete(name);
    names.set(name, this.clock.now() + lifetime);
    dropFirst(names, MOST_NAMES);
    dropFirst(this.addresses, MOST_ADDRESSES);
  }

  names(address: string): string[] {
    const names = this.addresses.get(address);
    if (names === undefined) return [];
    const now = this.clock.now();
    for (const [name, end] of names) if (end <= now) names.delete(name);
    if (names.size === 0) this.addresses.delete(address);
    return [...names.keys()];
  }
}

function dropFirst(map: Map<string, unknown>, most: number): void {
  if (map.size <= most) return;
  const [first] = map.keys();
  map.delete(first!);
}
