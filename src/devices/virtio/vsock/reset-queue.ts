/** Resets owed to the guest for packets that belong to no connection: bounded, without objects. */
import type { PacketHeader } from './packet-header.js';
import { Operation } from './vsock-protocol.js';

const LIMIT = 256;

enum Field {
  CidLow,
  CidHigh,
  HostPort,
  GuestPort,
  Type,
  Count,
}

/** Answers in the order of what they answer. */
export class ResetQueue {
  private readonly words = new Uint32Array(LIMIT * Field.Count);
  private first = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** No packet that might need an answer can be taken. */
  get full(): boolean {
    return this.count === LIMIT;
  }

  /** Few enough to take packets again. */
  get low(): boolean {
    return this.count <= LIMIT / 2;
  }

  /** Notes the answer to a packet. The queue is not full. */
  push(header: PacketHeader): void {
    const at = ((this.first + this.count++) % LIMIT) * Field.Count;
    const { words } = this;
    words[at + Field.CidLow] = header.destinationLow;
    words[at + Field.CidHigh] = header.destinationHigh;
    words[at + Field.HostPort] = header.destinationPort;
    words[at + Field.GuestPort] = header.sourcePort;
    words[at + Field.Type] = header.type;
  }

  /** Takes the oldest one out as the header of a packet to the guest with this address. */
  shift(header: PacketHeader, cid: number): void {
    const at = this.first * Field.Count;
    const { words } = this;
    header.address(cid, words[at + Field.HostPort]!, words[at + Field.GuestPort]!, Operation.Reset);
    header.setSource(words[at + Field.CidLow]!, words[at + Field.CidHigh]!);
    header.setType(words[at + Field.Type]!);
    this.first = (this.first + 1) % LIMIT;
    this.count--;
  }

  clear(): void {
    this.count = 0;
  }
}
