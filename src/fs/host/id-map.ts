/** User and group ids of the guest and of the host. */

/** `count` ids from `guest` on are those from `host` on. */
export interface IdRange {
  readonly guest: number;
  readonly host: number;
  readonly count: number;
}

/** What ids outside of all ranges look like: "nobody", as in a user namespace. */
export const OVERFLOW_ID = 65534;

/** Every id is itself. */
export const IDENTITY: readonly IdRange[] = [{ guest: 0, host: 0, count: 2 ** 32 - 1 }];

/** A translation of ids. The first range that fits counts. */
export class IdMap {
  constructor(private readonly ranges: readonly IdRange[]) {}

  toGuest(host: number): number {
    for (const range of this.ranges) {
      const offset = host - range.host;
      if (offset >= 0 && offset < range.count) return range.guest + offset;
    }
    return OVERFLOW_ID;
  }

  /** Undefined when the guest's id is nobody's on the host. */
  toHost(guest: number): number | undefined {
    for (const range of this.ranges) {
      const offset = guest - range.guest;
      if (offset >= 0 && offset < range.count) return range.host + offset;
    }
    return undefined;
  }
}
