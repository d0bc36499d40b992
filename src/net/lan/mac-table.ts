/**
 * Which member a station is behind. Members' own cards are registered; other stations, such as those
 * of a bridge inside a guest, are learned from what they send and forgotten after a while.
 */

/** The ageing time of bridges (IEEE 802.1D-2004, 7.9.2): five minutes. */
const AGE_MS = 300_000;
const MOST_LEARNED = 1024;

/** An address as one number, by its place in a frame. */
export function macNumber(bytes: Uint8Array, at: number): number {
  const high = bytes[at]! * 256 + bytes[at + 1]!;
  const low =
    (bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!;
  return high * 2 ** 32 + (low >>> 0);
}

interface Learned {
  host: number;
  seen: number;
}

export class MacTable {
  private readonly registered = new Map<number, number>();
  private readonly learned = new Map<number, Learned>();

  /** @param now milliseconds */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** False when the address is another member's. */
  register(mac: number, host: number): boolean {
    const owner = this.registered.get(mac);
    if (owner !== undefined && owner !== host) return false;
    this.registered.set(mac, host);
    this.learned.delete(mac);
    return true;
  }

  /** Forgets a member and the stations behind it. */
  remove(host: number): void {
    for (const [mac, owner] of this.registered) if (owner === host) this.registered.delete(mac);
    for (const [mac, { host: owner }] of this.learned) {
      if (owner === host) this.learned.delete(mac);
    }
  }

  /** A station has sent something by way of a member. False: it claims to be another member's card. */
  learn(mac: number, host: number): boolean {
    const owner = this.registered.get(mac);
    if (owner !== undefined) return owner === host;
    const known = this.learned.get(mac);
    if (known !== undefined) {
      known.host = host;
      known.seen = this.now();
      return true;
    }
    if (this.learned.size >= MOST_LEARNED) {
      const [oldest] = this.learned.keys();
      this.learned.delete(oldest!);
    }
    this.learned.set(mac, { host, seen: this.now() });
    return true;
  }

  /** The member a station is behind, if that is known. */
  find(mac: number): number | undefined {
    const owner = this.registered.get(mac);
    if (owner !== undefined) return owner;
    const known = this.learned.get(mac);
    if (known === undefined) return undefined;
    if (this.now() - known.seen < AGE_MS) return known.host;
    this.learned.delete(mac);
    return undefined;
  }
}
