/** The transmit queue of a pair whose network is the host's kernel: batches of its chains. */
import { plainMeta } from '../../../net/net-backend.js';
import {
  BULK_FRAME,
  HEAD_STRIDE,
  WriteBatch,
  type KernelNetwork,
} from '../../../net/kernel-network.js';
import { BulkSampler } from '../queue/bulk-sampler.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import type { KernelPairHost } from './kernel-pair.js';
import { cleanHeader, readHeader, type TxOffloads } from './net-header.js';
import { Counter, HEADER_BYTES } from './net-layout.js';
import { Direction } from './net-limits.js';

/** EIO: the interface is down on the host. */
const DOWN = -5;

/** Sends chains of one queue. */
export class KernelSender {
  private readonly batch = new WriteBatch();
  private readonly views = Array.from(
    { length: this.batch.heads.length / HEAD_STRIDE },
    (_, i) => new DataView(this.batch.heads.buffer, i * HEAD_STRIDE, HEADER_BYTES),
  );
  private readonly tokens = new Int32Array(this.views.length);
  private readonly lengths = new Uint32Array(this.views.length);
  private readonly meta = plainMeta();
  private readonly chain: DescriptorChain;
  private readonly bulk: BulkSampler;

  constructor(
    private readonly host: KernelPairHost,
    private readonly network: KernelNetwork,
  ) {
    this.chain = host.context.createChain();
    this.bulk = new BulkSampler(host.context.ram);
  }

  /**
   * Sends what the queue has.
   * @returns false when the network takes no more for now
   */
  send(queue: VirtQueue, offloads: TxOffloads): boolean {
    const { batch } = this;
    for (let more = true; more;) {
      batch.clear();
      more = this.collect(queue, offloads);
      if (batch.count === 0) return true;
      if (!this.write(queue)) return false;
    }
    return true;
  }

  /** Fills the batch; true when it ended because it was full. */
  private collect(queue: VirtQueue, offloads: TxOffloads): boolean {
    const { batch, chain, host } = this;
    const { limits, linkUp } = host;
    const limited = limits.active(Direction.Tx);
    while (queue.pop(chain)) {
      const { readable } = chain;
      const { length } = readable;
      if (!batch.hasRoom(readable.count)) {
        queue.unpop(chain);
        return true;
      }
      const wait = limited ? limits.delay(Direction.Tx, length) : 0;
      if (wait > 0) {
        queue.unpop(chain);
        host.context.processLater(queue.index, wait);
        return false;
      }
      if (limited) limits.charge(Direction.Tx, length);
      const i = batch.count;
      this.tokens[i] = chain.token;
      this.lengths[i] = length;
      if (this.takeHeader(offloads) && linkUp) {
        if (length >= BULK_FRAME) this.bulk.note(readable);
        batch.add(readable.iovecs(batch.segments, batch.nextWord));
      } else {
        batch.addRefused();
      }
    }
    return false;
  }

  /** Copies and checks the header of the chain; false when the frame is not to be sent. */
  private takeHeader(offloads: TxOffloads): boolean {
    const { batch, chain, meta } = this;
    const { readable } = chain;
    const view = this.views[batch.count]!;
    const at = batch.count * HEAD_STRIDE;
    if (readable.read(batch.heads, at, HEADER_BYTES) < HEADER_BYTES) return false;
    if (!readHeader(view, readable.length, offloads, meta)) return false;
    cleanHeader(view, offloads, meta);
    return true;
  }

  /** Writes the batch; false when some of it had to be put back. */
  private write(queue: VirtQueue): boolean {
    const { batch, host, tokens } = this;
    let done = this.network.write(batch);
    if (done < 0) {
      host.gone(done);
      done = batch.count;
      host.counters[Counter.TxDropped]! += done;
    } else {
      this.countFrames(done);
    }
    for (let i = 0; i < done; i++) queue.push(tokens[i]!, 0);
    for (let i = batch.count - 1; i >= done; i--) {
      this.chain.token = tokens[i]!;
      queue.unpop(this.chain);
      host.limits.charge(Direction.Tx, this.lengths[i]!, -1);
    }
    return done === batch.count;
  }

  private countFrames(done: number): void {
    const { batch, lengths } = this;
    const { counters } = this.host;
    let sent = 0;
    let bytes = 0;
    for (let i = 0; i < done; i++) {
      const result = batch.result(i);
      if (batch.isRefused(i) || result < 0) {
        counters[Counter.TxDropped]!++;
        if (result === DOWN) this.host.warnDown();
      } else {
        sent++;
        bytes += lengths[i]! - HEADER_BYTES;
      }
    }
    counters[Counter.TxPackets]! += sent;
    counters[Counter.TxBytes]! += bytes;
  }
}
