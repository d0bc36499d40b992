/** Members of LANs for tests: a guest that keeps what it gets, and frames with numbers in them. */
import { joinLan, type Membership } from '../../../../src/net/lan/join.js';
import { LanNetwork, type LanPatience } from '../../../../src/net/lan/lan-network.js';
import {
  ArrayFrame,
  joinFrame,
  plainMeta,
  type FrameMeta,
  type GuestFrame,
  type GuestPort,
  type NetOffloads,
} from '../../../../src/net/net-backend.js';

export const ALL_OFFLOADS: NetOffloads = { csum: true, tso4: true, tso6: true };
export const TEST_TYPE = 0x88b5;
const NUMBER_AT = 14;
const SENDER_AT = 18;

/** What one member has had from another. */
export interface Tally {
  count: number;
  /** Frames whose number did not follow the one before. */
  outOfOrder: number;
  next: number;
}

export class Member implements GuestPort {
  offloads = ALL_OFFLOADS;
  /** False: the guest has no buffers. */
  takes = true;
  readonly frames: { bytes: Buffer; meta: FrameMeta }[] = [];
  readonly tallies = new Map<number, Tally>();
  private resume: (() => void) | undefined;
  private sent = 0;

  private constructor(
    readonly network: LanNetwork,
    readonly membership: Membership,
    private readonly keeps: boolean,
  ) {
    network.open();
    network.attach(this);
  }

  static async join(
    lan: string,
    name: string,
    { keeps = true, patience }: { keeps?: boolean; patience?: LanPatience } = {},
  ): Promise<Member> {
    const membership = await joinLan({ kind: 'lan', lan }, name);
    return new Member(new LanNetwork(membership.place, patience), membership, keeps);
  }

  get mac(): Buffer {
    return Buffer.from(this.membership.place.mac.replaceAll(':', ''), 'hex');
  }

  get host(): number {
    return this.membership.place.host;
  }

  receive(frame: GuestFrame): boolean {
    if (!this.takes) return false;
    const bytes = Buffer.from(joinFrame(frame));
    if (bytes.readUInt16BE(12) === TEST_TYPE) this.tally(bytes);
    if (this.keeps) this.frames.push({ bytes, meta: { ...frame.meta } });
    return true;
  }

  private tally(bytes: Buffer): void {
    const sender = bytes.readUInt32BE(SENDER_AT);
    const tally = this.tallies.get(sender) ?? { count: 0, outOfOrder: 0, next: 0 };
    this.tallies.set(sender, tally);
    const number = bytes.readUInt32BE(NUMBER_AT);
    if (number !== tally.next) tally.outOfOrder++;
    tally.next = number + 1;
    tally.count++;
  }

  resumeTransmit(): void {
    this.resume?.();
  }

  transmit(bytes: Uint8Array, meta: Partial<FrameMeta> = {}): void {
    this.network.transmit(new ArrayFrame(bytes), { ...plainMeta(), ...meta });
    this.network.flush();
  }

  /** Sends numbered frames, as fast as the network takes them. */
  async send(to: Buffer, count: number, size: number): Promise<void> {
    const bytes = Buffer.alloc(size);
    to.copy(bytes, 0);
    this.mac.copy(bytes, 6);
    bytes.writeUInt16BE(TEST_TYPE, 12);
    bytes.writeUInt32BE(this.host, SENDER_AT);
    const frame = new ArrayFrame(bytes);
    const meta = plainMeta();
    for (let i = 0; i < count; i++) {
      if (this.network.busy) {
        this.network.flush();
        await new Promise<void>((resolve) => (this.resume = resolve));
      }
      bytes.writeUInt32BE(this.sent++, NUMBER_AT);
      this.network.transmit(frame, meta);
      if (i % 64 !== 63) continue;
      this.network.flush();
      // The event loop has its turns, as in an I/O worker.
      if (i % 1024 === 1023) await new Promise((resolve) => setImmediate(resolve));
    }
    this.network.flush();
  }

  async leave(): Promise<void> {
    await this.network.close();
    this.membership.leave();
  }
}
