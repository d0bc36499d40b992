/** A TAP device as a network: one queue of it, in the thread that serves the pair of queues. */
import { native, type WatchHandle } from '../../kvm/native.js';
import type { KernelNetwork, KernelPort, ReadBatch, WriteBatch } from '../kernel-network.js';
import type { NetOffloads } from '../net-backend.js';

/** TUN_F_* of linux/if_tun.h. */
enum TunOffload {
  Csum = 1,
  Tso4 = 2,
  Tso6 = 4,
  TsoEcn = 8,
  Ufo = 16,
}

const READABLE = 1;
const WRITABLE = 2;

/** What TUN devices of Linux do with the frames they are given and give. */
export const TAP_OFFLOADS: NetOffloads = {
  csum: true,
  tso4: true,
  tso6: true,
  ecn: true,
  ufo: true,
};

/** TUN_F_* for what a driver takes. */
export function tunOffloads(offloads: NetOffloads): number {
  const { csum, tso4, tso6, ecn = false, ufo = false } = offloads;
  // The kernel takes none of the others without checksums, and ECN only with TSO.
  if (!csum) return 0;
  let bits = TunOffload.Csum;
  if (tso4) bits |= TunOffload.Tso4;
  if (tso6) bits |= TunOffload.Tso6;
  if (ecn && (tso4 || tso6)) bits |= TunOffload.TsoEcn;
  if (ufo) bits |= TunOffload.Ufo;
  return bits;
}

/** One queue of a TAP device. Its files belong to whoever opened them. */
export class TapNetwork implements KernelNetwork {
  readonly offloads = TAP_OFFLOADS;
  private readonly addon = native();
  private readonly fd: number;
  private handle: WatchHandle | undefined;
  private port: KernelPort | undefined;
  private events = 0;
  /** Pairs in use, as far as this object has seen to it. */
  private pairs: number;

  /**
   * @param fds queues of the device, all of them
   * @param pair which one this is
   */
  constructor(
    readonly name: string,
    private readonly fds: readonly number[],
    pair: number,
  ) {
    this.fd = fds[pair]!;
    this.pairs = fds.length;
  }

  attach(port: KernelPort): void {
    this.port = port;
  }

  write(batch: WriteBatch): number {
    const { segments, frames, count, heads } = batch;
    return this.addon.tapWrite(this.fd, segments, frames, count, heads);
  }

  read(batch: ReadBatch, limit: number): number {
    const { segments, buffers, count, mergeable, frames, frame, expected } = batch;
    const read = this.addon.tapRead(
      ...([this.fd, segments, buffers, count, mergeable, frames, limit, frame, expected] as const),
    );
    if (read > 0) batch.expected = frames[2 * (read - 1)]!;
    return read;
  }

  watch(readable: boolean, writable: boolean): void {
    const events = (readable ? READABLE : 0) | (writable ? WRITABLE : 0);
    if (events === this.events) return;
    this.events = events;
    this.handle ??= this.addon.watchReadable(this.fd, () => this.ready());
    this.addon.watchEvents(this.handle, events);
  }

  private ready(): void {
    const { events } = this;
    if ((events & WRITABLE) !== 0) this.port?.writable();
    if ((events & READABLE) !== 0) this.port?.readable();
  }

  setOffloads(offloads: NetOffloads): void {
    this.tell(() => this.addon.tapSetOffload(this.fd, tunOffloads(offloads)));
  }

  usePairs(pairs: number): void {
    if (this.fds.length === 1) return;
    for (; this.pairs > pairs; this.pairs--) this.setQueue(this.pairs - 1, false);
    for (; this.pairs < pairs; this.pairs++) this.setQueue(this.pairs, true);
  }

  /** A queue that is already as it should be, since an earlier power-on, says EINVAL. */
  private setQueue(pair: number, attached: boolean): void {
    this.tell(() => this.addon.tapSetQueue(this.fds[pair]!, attached));
  }

  /** A device that is gone answers every ioctl with an error; reading and writing find out. */
  private tell(change: () => void): void {
    try {
      change();
    } catch {
      // See above.
    }
  }

  close(): Promise<void> {
    if (this.handle !== undefined) this.addon.unwatch(this.handle);
    this.handle = undefined;
    this.events = 0;
    return Promise.resolve();
  }
}
