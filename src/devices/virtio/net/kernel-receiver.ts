/**
 * The receive queue of a pair whose network is the host's kernel: frames are read into the chains that
 * the driver has made available, one frame to a chain or, with MRG_RXBUF, as many chains as it takes.
 *
 * How long a frame is shows when it has been read. What did not fit is in memory of the batch: then
 * the frame is put together there and delivered by copying, now or when there is room.
 */
import { GsoType, plainMeta, type GuestFrame } from '../../../net/net-backend.js';
import {
  BATCH_FRAMES,
  HEAD_BYTES,
  HEAD_STRIDE,
  ReadBatch,
  SEGMENT_WORDS,
  type KernelNetwork,
} from '../../../net/kernel-network.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import { RamCursor } from '../queue/guest-ram.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import type { KernelPairHost } from './kernel-pair.js';
import {
  GSO_ECN,
  Counter,
  HEADER_BYTES,
  HeaderField,
  HeaderFlag,
  NetFeature,
} from './net-layout.js';
import { Direction } from './net-limits.js';
import { Delivery, NetReceiver } from './net-receiver.js';

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
  private readonly tokens = new Int32Array(BATCH_FRAMES);
  private readonly meta = plainMeta();
  private readonly chain: DescriptorChain;
  private readonly cursor: RamCursor;
  private readonly copier: NetReceiver;
  /** A frame that waits in `batch.rest`: its bytes with the header, or 0. */
  private parked = 0;
  /** Buffers to take for the next batch. */
  private wanted = 1;

  constructor(
    private readonly host: KernelPairHost,
    private readonly network: KernelNetwork,
  ) {
    const { context } = host;
    this.chain = context.createChain();
    this.cursor = new RamCursor(context.ram, context.ram.start);
    this.copier = new NetReceiver(context, context.ram.start);
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
      const room = this.finish(queue, count);
      if (!room) return Filled.Wait;
      if (!limited || count === 0) return Filled.Watch;
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
      if (writable.length < HEAD_BYTES || !batch.hasRoom(pieces)) {
        const usable = writable.length >= HEAD_BYTES;
        queue.unpop(chain);
        return usable;
      }
      const first = batch.nextSegment;
      writable.iovecs(batch.segments, first * SEGMENT_WORDS);
      for (let i = 0; i < pieces; i++) batch.addresses[first + i] = writable.address(i);
      tokens[batch.count] = chain.token;
      batch.add(pieces, writable.length);
    }
    return true;
  }

  /** Gives frames to the driver; false when one has to wait for room. */
  private finish(queue: VirtQueue, count: number): boolean {
    const { batch } = this;
    const { frames } = batch;
    let used = 0;
    let whole = true;
    for (let i = 0; i < count; i++) {
      const bytes = frames[2 * i]!;
      const buffers = frames[2 * i + 1]!;
      const last = i === count - 1;
      if (last && !this.fits(used, buffers, bytes)) {
        this.assemble(used, buffers, i);
        this.parked = bytes;
        whole = false;
        break;
      }
      if (!this.accepts(i, bytes)) {
        this.host.counters[Counter.RxDropped]!++;
        // The chains of the last one can be put back; others are in the way of those behind them.
        if (last) break;
        for (let n = 0; n < buffers; n++) queue.push(this.tokens[used++]!, 0);
        continue;
      }
      // A filter is a help and no promise (5.1.6.5.1): in the middle of a batch all is delivered.
      if (last && !this.host.wants(batch.heads, i * HEAD_STRIDE + HEADER_BYTES, bytes)) {
        this.host.counters[Counter.RxFiltered]!++;
        break;
      }
      this.deliver(queue, i, used, buffers, bytes);
      used += buffers;
    }
    this.putBack(queue, used);
    this.adapt(used, whole);
    return whole || this.deliverParked(queue);
  }

  /** Twice what was needed, so that a burst finds room and a single frame is no work. */
  private adapt(used: number, whole: boolean): void {
    const target = whole ? 2 * used + 1 : 2 * this.wanted;
    this.wanted = Math.min(Math.max(target, this.wanted >> 1, 1), BATCH_FRAMES);
  }

  private fits(first: number, buffers: number, bytes: number): boolean {
    let room = 0;
    for (let i = 0; i < buffers; i++) room += this.batch.bufferBytes(first + i);
    return bytes <= room;
  }

  private putBack(queue: VirtQueue, used: number): void {
    for (let i = this.batch.count - 1; i >= used; i--) {
      this.chain.token = this.tokens[i]!;
      queue.unpop(this.chain);
    }
  }

  /** Whether the driver takes frames like this one, by its header; what it does not know is cleared. */
  private accepts(frame: number, bytes: number): boolean {
    const { heads } = this.batch;
    const { csum, tso4, tso6, ecn = false, ufo = false } = this.host.guestOffloads;
    const at = frame * HEAD_STRIDE;
    if (bytes <= HEADER_BYTES) return false;
    const flags = heads[at + HeaderField.Flags]!;
    const type = heads[at + HeaderField.GsoType]!;
    // Frames from before a change of what the driver takes.
    if (!csum && (flags & HeaderFlag.NeedsCsum) !== 0) return false;
    const known = HeaderFlag.NeedsCsum | HeaderFlag.DataValid;
    heads[at + HeaderField.Flags] = csum ? flags & known : 0;
    if ((type & GSO_ECN) !== 0 && !ecn) return false;
    switch (type & ~GSO_ECN) {
      case GsoType.None:
        return true;
      case GsoType.Tcp4:
        return tso4;
      case GsoType.Tcp6:
        return tso6;
      case GsoType.Udp:
        return ufo;
      default:
        return false;
    }
  }

  /** Completes a frame that lies in the driver's buffers. */
  private deliver(
    queue: VirtQueue,
    i: number,
    first: number,
    buffers: number,
    bytes: number,
  ): void {
    const { batch, tokens } = this;
    const at = i * HEAD_STRIDE;
    batch.heads[at + HeaderField.NumBuffers] = buffers;
    batch.heads[at + HeaderField.NumBuffers + 1] = 0;
    this.placeHead(at, first, Math.min(bytes, HEAD_BYTES));
    let left = bytes;
    for (let n = first; n < first + buffers; n++) {
      const length = Math.min(left, batch.bufferBytes(n));
      queue.push(tokens[n]!, length);
      left -= length;
    }
    this.count(bytes);
  }

  /** Copies the head of a frame to where its first buffer begins. */
  private placeHead(at: number, buffer: number, length: number): void {
    const { addresses, segments, buffers, heads } = this.batch;
    let segment = buffers[3 * buffer]!;
    for (let done = 0; done < length; segment++) {
      const step = Math.min(segments[segment * SEGMENT_WORDS + 2]!, length - done);
      this.cursor.copyIn(addresses[segment]!, heads, at + done, step);
      done += step;
    }
  }

  /** Puts a frame together in front of its rest. */
  private assemble(first: number, buffers: number, frame: number): void {
    const { addresses, segments, rest, heads, buffers: list } = this.batch;
    let done = 0;
    for (let n = first; n < first + buffers; n++) {
      const from = list[3 * n]!;
      for (let i = from; i < from + list[3 * n + 1]!; i++) {
        const size = segments[i * SEGMENT_WORDS + 2]!;
        const step = Math.min(size, rest.length - done);
        this.cursor.copyOut(addresses[i]!, rest, done, step);
        done += step;
      }
    }
    const at = frame * HEAD_STRIDE;
    for (let i = 0; i < HEAD_BYTES; i++) rest[i] = heads[at + i]!;
  }

  /** Delivers the frame that waits; false when there is no room for it yet. */
  private deliverParked(queue: VirtQueue): boolean {
    const { batch, host, parked } = this;
    const { rest, heads } = batch;
    for (let i = 0; i < HEAD_BYTES; i++) heads[i] = rest[i]!;
    this.parked = 0;
    if (!this.accepts(0, parked)) {
      host.counters[Counter.RxDropped]!++;
      return true;
    }
    if (!host.wants(heads, HEADER_BYTES, parked)) {
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
    const { rest } = this.batch;
    const half = (field: HeaderField): number => rest[field]! | (rest[field + 1]! << 8);
    meta.needsCsum = (rest[HeaderField.Flags]! & HeaderFlag.NeedsCsum) !== 0;
    meta.csumStart = half(HeaderField.CsumStart);
    meta.csumOffset = half(HeaderField.CsumOffset);
    meta.gsoType = rest[HeaderField.GsoType]!;
    meta.gsoSize = half(HeaderField.GsoSize);
    meta.headerLength = half(HeaderField.HeaderLength);
    return {
      header: rest,
      headerLength: 0,
      payload: rest,
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
