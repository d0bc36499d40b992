/**
 * The receive queue of a pair whose network is the host's kernel: frames are read into the chains that
 * the driver has made available, one frame to a chain or, with MRG_RXBUF, as many chains as it takes.
 *
 * How long a frame is shows when it has been read. One that did not fit is in memory of the batch, and
 * is delivered from there, now or when there is room.
 */
import { plainMeta, type GuestFrame } from '../../../net/net-backend.js';
import {
  BATCH_BUFFERS,
  BATCH_FRAMES,
  BULK_FRAME,
  ReadBatch,
  SEGMENT_WORDS,
  type KernelNetwork,
} from '../../../net/kernel-network.js';
import { BulkSampler } from '../queue/bulk-sampler.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import { RamCursor } from '../queue/guest-ram.js';
import type { Segments } from '../queue/segments.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import type { KernelPairHost } from './kernel-pair.js';
import { takenFlags } from './net-header.js';
import { Counter, HEADER_BYTES, HeaderField, HeaderFlag, NetFeature } from './net-layout.js';
import { Direction } from './net-limits.js';
import { Delivery, NetReceiver } from './net-receiver.js';
import { HEAD_BYTES, PlacedFrames } from './placed-frames.js';

/** Frames that are thrown away in one turn while the link is down. */
const DISCARD_LIMIT = 64;

/** What became of a turn. */
export enum Filled {
  /** The network has to say when there are frames. */
  Watch,
  /** The guest has to make buffers available, or a time to pass, first. */
  Wait,
}

/** Fills chains of one queue. */
export class KernelReceiver {
  private readonly batch = new ReadBatch();
  private readonly tokens = new Int32Array(BATCH_BUFFERS);
  private readonly meta = plainMeta();
  private readonly chain: DescriptorChain;
  private readonly placed: PlacedFrames;
  private readonly copier: NetReceiver;
  private readonly bulk: BulkSampler;
  /** A frame that waits in `batch.frame`: its bytes with the header, or 0. */
  private parked = 0;
  /** Buffers to take for the next batch. */
  private wanted = 1;

  constructor(
    private readonly host: KernelPairHost,
    private readonly network: KernelNetwork,
  ) {
    const { context } = host;
    this.chain = context.createChain();
    this.placed = new PlacedFrames(this.batch, new RamCursor(context.ram, context.ram.start));
    this.copier = new NetReceiver(context, context.ram.start);
    this.bulk = new BulkSampler(context.ram);
  }

  /** Reads frames into the queue. */
  fill(queue: VirtQueue): Filled {
    const { host, batch } = this;
    const { limits } = host;
    if (!host.linkUp) return this.discard();
    batch.mergeable = host.context.hasFeature(NetFeature.MergeableBuffers);
    const limited = limits.active(Direction.Rx);
    for (;;) {
      const wait = limited ? limits.delay(Direction.Rx, 1) : 0;
      if (wait > 0) {
        host.context.processLater(queue.index, wait);
        return Filled.Wait;
      }
      if (this.parked > 0 && !this.deliverParked(queue)) return Filled.Wait;
      batch.clear();
      const usable = this.collect(queue);
      if (batch.count === 0 && usable) return Filled.Wait;
      const count = this.network.read(batch, limited ? 1 : BATCH_FRAMES);
      if (count < 0) {
        this.putBack(queue, 0);
        host.readFailed(count);
        return Filled.Wait;
      }
      const offered = batch.count;
      const used = this.finish(queue, count);
      if (used < 0) return Filled.Wait;
      // Buffers that are left say that there are no more frames. Otherwise the queue is looked at once
      // more: to wait for it costs less than to watch the network and to be called in vain.
      if (!limited && used < offered && count < BATCH_FRAMES) return Filled.Watch;
      if (count === 0) return Filled.Watch;
    }
  }

  /**
   * Takes chains for the next frames.
   * @returns false when the next chain is one that frames cannot be read into
   */
  private collect(queue: VirtQueue): boolean {
    const { batch, chain, tokens } = this;
    while (batch.count < this.wanted && queue.pop(chain)) {
      const { writable } = chain;
      const pieces = writable.count;
      if (writable.length < HEADER_BYTES || !batch.hasRoom(pieces)) {
        const usable = writable.length >= HEADER_BYTES;
        queue.unpop(chain);
        return usable;
      }
      const first = batch.nextSegment;
      const segments = writable.iovecs(batch.segments, first * SEGMENT_WORDS);
      this.noteAddresses(writable, first);
      tokens[batch.count] = chain.token;
      batch.add(segments, writable.length);
    }
    return true;
  }

  /** Takes note of where the segments from `first` on begin: pieces that adjoin are one. */
  private noteAddresses(pieces: Segments, first: number): void {
    const { addresses, segments } = this.batch;
    let segment = first;
    let left = 0;
    for (let i = 0; i < pieces.count; i++) {
      if (left === 0) {
        left = segments[segment * SEGMENT_WORDS + 2]!;
        addresses[segment++] = pieces.address(i);
      }
      left -= pieces.size(i);
    }
  }

  /** Gives frames to the driver: how many buffers that took, or -1 when one has to wait for room. */
  private finish(queue: VirtQueue, count: number): number {
    const { batch } = this;
    const { frames } = batch;
    const offloads = this.host.guestOffloads;
    let used = 0;
    let whole = true;
    for (let i = 0; i < count; i++) {
      const bytes = frames[2 * i]!;
      const buffers = frames[2 * i + 1]!;
      const last = i === count - 1;
      if (buffers === 0) {
        this.parked = bytes;
        whole = false;
        break;
      }
      if (bytes <= HEADER_BYTES || !this.placed.complete(used, buffers, offloads)) {
        this.host.counters[Counter.RxDropped]!++;
        // The chains of the last one can be put back; others are in the way of those behind them.
        if (last) break;
        for (let n = 0; n < buffers; n++) queue.push(this.tokens[used++]!, 0);
        continue;
      }
      // A filter is a help and no promise (5.1.6.5.1): in the middle of a batch all is delivered.
      if (last && !this.wants(used, bytes)) {
        this.host.counters[Counter.RxFiltered]!++;
        break;
      }
      this.deliver(queue, used, buffers, bytes);
      if (bytes >= BULK_FRAME) this.noteBulk(used, buffers);
      used += buffers;
    }
    this.putBack(queue, used);
    this.adapt(used, whole);
    return whole || this.deliverParked(queue) ? used : -1;
  }

  /** Twice what was needed, so that a burst finds room and a single frame is no work. */
  private adapt(used: number, whole: boolean): void {
    const target = whole ? 2 * used + 1 : 2 * this.wanted;
    this.wanted = Math.min(Math.max(target, this.wanted >> 1, 1), BATCH_BUFFERS);
  }

  private putBack(queue: VirtQueue, used: number): void {
    for (let i = this.batch.count - 1; i >= used; i--) {
      this.chain.token = this.tokens[i]!;
      queue.unpop(this.chain);
    }
  }

  /** Whether the driver's filter lets a frame through that lies in its buffers. */
  private wants(first: number, bytes: number): boolean {
    const { placed } = this;
    placed.copyHead(first, Math.min(bytes, HEAD_BYTES));
    return this.host.wants(placed.head, HEADER_BYTES, bytes);
  }

  /** Takes note of the memory of a long frame. */
  private noteBulk(first: number, buffers: number): void {
    const { batch, bulk } = this;
    const buffer = first + bulk.pick(buffers);
    const address = batch.addresses[batch.buffers[3 * buffer]!]!;
    bulk.report(address, batch.bufferBytes(buffer), buffers);
  }

  /** Gives the buffers of a frame to the driver. */
  private deliver(queue: VirtQueue, first: number, buffers: number, bytes: number): void {
    const { batch, tokens } = this;
    let left = bytes;
    for (let n = first; n < first + buffers; n++) {
      const length = Math.min(left, batch.bufferBytes(n));
      queue.push(tokens[n]!, length);
      left -= length;
    }
    this.count(bytes);
  }

  /** Delivers the frame that waits; false when there is no room for it yet. */
  private deliverParked(queue: VirtQueue): boolean {
    const { batch, host, parked } = this;
    const { frame } = batch;
    this.parked = 0;
    const [flags, type] = [frame[HeaderField.Flags]!, frame[HeaderField.GsoType]!];
    if (parked <= HEADER_BYTES || takenFlags(flags, type, host.guestOffloads) < 0) {
      host.counters[Counter.RxDropped]!++;
      return true;
    }
    if (!host.wants(frame, HEADER_BYTES, parked)) {
      host.counters[Counter.RxFiltered]!++;
      return true;
    }
    switch (this.copier.deliver(queue, this.parkedFrame(parked), batch.mergeable)) {
      case Delivery.NoRoom:
        this.parked = parked;
        return false;
      case Delivery.Dropped:
        host.counters[Counter.RxDropped]!++;
        return true;
      default:
        this.count(parked);
        return true;
    }
  }

  private parkedFrame(bytes: number): GuestFrame {
    const { meta } = this;
    const { frame } = this.batch;
    const half = (field: HeaderField): number => frame[field]! | (frame[field + 1]! << 8);
    meta.needsCsum = (frame[HeaderField.Flags]! & HeaderFlag.NeedsCsum) !== 0;
    meta.csumStart = half(HeaderField.CsumStart);
    meta.csumOffset = half(HeaderField.CsumOffset);
    meta.gsoType = frame[HeaderField.GsoType]!;
    meta.gsoSize = half(HeaderField.GsoSize);
    meta.headerLength = half(HeaderField.HeaderLength);
    return {
      header: frame,
      headerLength: 0,
      payload: frame,
      payloadStart: HEADER_BYTES,
      payloadLength: bytes - HEADER_BYTES,
      meta,
    };
  }

  private count(bytes: number): void {
    const { counters, limits } = this.host;
    const length = bytes - HEADER_BYTES;
    limits.charge(Direction.Rx, length);
    counters[Counter.RxPackets]!++;
    counters[Counter.RxBytes]! += length;
  }

  /** Nothing that came while the link was down is delivered later. */
  private discard(): Filled {
    const { batch, host } = this;
    this.parked = 0;
    batch.clear();
    for (let i = 0; i < DISCARD_LIMIT; i++) {
      const count = this.network.read(batch, 1);
      if (count < 0) {
        host.readFailed(count);
        return Filled.Wait;
      }
      if (count === 0) break;
      host.counters[Counter.RxDropped]!++;
    }
    return Filled.Watch;
  }
}
