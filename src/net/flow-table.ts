/**
 * Flows by their two ends. The hash has a secret in it, so that a guest cannot choose ports that
 * share a bucket; looking up allocates nothing.
 */
import { randomInt } from 'node:crypto';
import type { IpAddress, Words } from './wire/address.js';

/** What identifies a flow. */
export interface Flow {
  readonly guestAddress: IpAddress;
  readonly guestPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort: number;
}

interface Entry<T extends Flow> {
  readonly flow: T;
  next: Entry<T> | undefined;
}

export class FlowTable<T extends Flow> {
  private readonly buckets = new Map<number, Entry<T>>();
  private readonly seed = randomInt(2 ** 31) | 1;
  private count = 0;

  get size(): number {
    return this.count;
  }

  find(guest: Words, guestPort: number, remote: Words, remotePort: number): T | undefined {
    const key = this.hash(guest[3]!, guestPort, remote[0]! ^ remote[1]!, remote[3]!, remotePort);
    for (let entry = this.buckets.get(key); entry !== undefined; entry = entry.next) {
      const { flow } = entry;
      if (
        flow.guestPort === guestPort &&
        flow.remotePort === remotePort &&
        flow.remoteAddress.equalsWords(remote) &&
        flow.guestAddress.equalsWords(guest)
      ) {
        return flow;
      }
    }
    return undefined;
  }

  add(flow: T): void {
    const key = this.keyOf(flow);
    this.buckets.set(key, { flow, next: this.buckets.get(key) });
    this.count++;
  }

  delete(flow: T): boolean {
    const key = this.keyOf(flow);
    let before: Entry<T> | undefined;
    for (let entry = this.buckets.get(key); entry !== undefined; entry = entry.next) {
      if (entry.flow === flow) {
        if (before !== undefined) before.next = entry.next;
        else if (entry.next !== undefined) this.buckets.set(key, entry.next);
        else this.buckets.delete(key);
        this.count--;
        return true;
      }
      before = entry;
    }
    return false;
  }

  *[Symbol.iterator](): Generator<T> {
    for (const first of this.buckets.values()) {
      for (let entry: Entry<T> | undefined = first; entry !== undefined; entry = entry.next) {
        yield entry.flow;
      }
    }
  }

  private keyOf({ guestAddress, guestPort, remoteAddress: remote, remotePort }: T): number {
    return this.hash(guestAddress.w3, guestPort, remote.w0 ^ remote.w1, remote.w3, remotePort);
  }

  private hash(guest: number, port: number, high: number, low: number, remotePort: number): number {
    let h = Math.imul(this.seed ^ guest, 0x85eb_ca6b);
    h = Math.imul((h ^ (h >>> 15)) + ((port << 16) | remotePort), 0xc2b2_ae35);
    h = Math.imul((h ^ (h >>> 13)) + high, 0x27d4_eb2f);
    h = Math.imul((h ^ (h >>> 15)) + low, 0x1656_67b1);
    return h ^ (h >>> 16);
  }
}
