/**
 * The file system device (virtio 1.2, 5.11): carries FUSE requests from the queues to a server and
 * its answers back, without looking into them.
 *
 * The server lives in the thread that serves the queues; the device's objects in other threads have
 * none. A reset, which happens in the thread of a vCPU, is told to it by a count in shared memory.
 */
import { FuseRequest } from '../../../fs/fuse/request.js';
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import { BulkSampler } from '../queue/bulk-sampler.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import type { VirtQueue } from '../queue/virt-queue.js';

/** `struct virtio_fs_config`: tag and num_request_queues (5.11.4). */
const TAG_BYTES = 36;
const CONFIG_BYTES = TAG_BYTES + 4;
/** The first queue is for FORGET and INTERRUPT (5.11.2). */
const HIPRIO_SIZE = 128;
/** Linux sends requests as long as a ring takes: 1 MiB in pages, and headers. */
const REQUEST_SIZE = 512;
const MAX_REQUEST_QUEUES = 16;
/** Milliseconds in which a reset is noticed while requests wait for something. */
const RESET_CHECK = 50;

/** Transfers from this size on are bulk I/O. */
const BULK = 65536;

/** What serves the requests; `FuseServer` is one. */
export interface RequestServer {
  handle(request: FuseRequest): void;
  reset(): void;
  close(): void;
  /** Requests that have not been answered. */
  readonly waiting: number;
}

/** Settings of the device. */
export interface FsOptions {
  /** The name by which the guest mounts it: 1 to 36 bytes of UTF-8. */
  readonly tag: string;
  /** 1 unless given. */
  readonly requestQueues?: number;
  /** In the thread that serves the queues. */
  readonly server?: RequestServer;
}

/** A chain on its way through the server. */
class Slot extends FuseRequest {
  queue = 0;
  epoch = 0;
  written = 0;

  constructor(
    readonly device: FsDevice,
    readonly chain: DescriptorChain,
  ) {
    super(chain.readable, chain.writable, (_, written) => device.completed(this, written));
  }

  override isAbandoned(): boolean {
    return this.epoch !== this.device.epoch;
  }
}

/** virtio-fs. */
export class FsDevice implements VirtioDevice {
  readonly type = DeviceType.FileSystem;
  readonly name = 'fs';
  readonly features: readonly number[] = [];
  readonly queueSizes: readonly number[];
  readonly configBytes = CONFIG_BYTES;
  /** Counts resets. */
  readonly stateBytes = 4;
  /** A request can be 1 MiB to copy. */
  readonly budget = 16;

  private readonly config = new Uint8Array(CONFIG_BYTES);
  private readonly server: RequestServer | undefined;
  private context!: DeviceContext;
  private bulk!: BulkSampler;
  private words!: Int32Array<SharedArrayBuffer>;
  private seenEpoch = 0;
  private readonly free: Slot[] = [];
  private readonly finished: Slot[] = [];
  private turn: VirtQueue | undefined;
  private flushing = false;
  private closed = false;
  private watch: NodeJS.Timeout | undefined;

  /** @throws RangeError when the tag or the number of queues is none */
  constructor({ tag, requestQueues = 1, server }: FsOptions) {
    const bytes = new TextEncoder().encode(tag);
    if (bytes.length === 0 || bytes.length > TAG_BYTES || tag.includes('\0')) {
      throw new RangeError(`the tag of a file system has 1 to ${TAG_BYTES} bytes`);
    }
    // F-1 of 5.11.4.2: at least one.
    if (!(requestQueues >= 1 && requestQueues <= MAX_REQUEST_QUEUES)) {
      throw new RangeError(`a file system has 1 to ${MAX_REQUEST_QUEUES} request queues`);
    }
    this.config.set(bytes);
    new DataView(this.config.buffer).setUint32(TAG_BYTES, requestQueues, true);
    this.queueSizes = [HIPRIO_SIZE, ...Array<number>(requestQueues).fill(REQUEST_SIZE)];
    this.server = server;
  }

  attach(context: DeviceContext): void {
    this.context = context;
    this.bulk = new BulkSampler(context.ram);
    const { buffer, byteOffset } = context.state;
    this.words = new Int32Array(buffer, byteOffset, 1);
    this.seenEpoch = this.epoch;
  }

  /** Changes with every reset. */
  get epoch(): number {
    return Atomics.load(this.words, 0);
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.config, offset, size);
  }

  reset(): void {
    Atomics.add(this.words, 0, 1);
    this.noticeReset();
  }

  /** The guest that had the files open is gone. */
  private noticeReset(): void {
    if (this.server === undefined || this.seenEpoch === this.epoch) return;
    this.seenEpoch = this.epoch;
    this.server.reset();
  }

  process(queue: VirtQueue): void {
    const { server } = this;
    if (server === undefined) throw new Error('a file system without a server is kicked');
    this.noticeReset();
    this.turn = queue;
    try {
      let slot = this.takeSlot();
      while (queue.pop(slot.chain)) {
        slot.queue = queue.index;
        slot.epoch = this.seenEpoch;
        server.handle(slot);
        slot = this.takeSlot();
      }
      this.free.push(slot);
    } finally {
      this.turn = undefined;
    }
    if (server.waiting > 0) this.watchForReset(server);
  }

  /** Guest memory is going to be unmapped: answers that are still to come go nowhere. */
  close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.watch);
    this.server?.close();
    return Promise.resolve();
  }

  private takeSlot(): Slot {
    return this.free.pop() ?? new Slot(this, this.context.createChain());
  }

  /** A request has been answered: in its own turn, in that of another one, or in none. */
  completed(slot: Slot, written: number): void {
    if (this.closed) return;
    const { readable, writable } = slot.chain;
    // What a READ has filled is still in the one, what a WRITE has taken in the other.
    if (written >= BULK) this.bulk.note(writable);
    else if (readable.length >= BULK) this.bulk.note(readable);
    if (this.turn?.index === slot.queue) {
      this.turn.push(slot.chain.token, written);
      this.free.push(slot);
      return;
    }
    slot.written = written;
    this.finished.push(slot);
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => this.flush());
  }

  /** Gives back what has been finished outside of a turn; one notification for each queue. */
  private flush(): void {
    this.flushing = false;
    const slots = this.finished.splice(0);
    for (let index = 0; index < this.queueSizes.length; index++) {
      const own = slots.filter((slot) => slot.queue === index);
      if (own.length === 0) continue;
      this.context.runQueue(index, (queue) => {
        for (const slot of own) queue.push(slot.chain.token, slot.written);
      });
    }
    this.free.push(...slots);
  }

  /** Requests that wait for a lock must not outlive a reset, which waits for them. */
  private watchForReset(server: RequestServer): void {
    this.watch ??= setTimeout(() => {
      this.watch = undefined;
      this.noticeReset();
      if (server.waiting > 0) this.watchForReset(server);
    }, RESET_CHECK).unref();
  }
}
