/**
 * The persistent memory device (virtio 1.2, 5.19): tells the guest where a region of memory is and
 * makes what was written there persistent when it asks for it.
 *
 * The region itself is a memory slot of the machine, usually a file mapped into it; the guest reads
 * and writes it without this device. The region's address is in the configuration space: it is not
 * inside a window of the transport, so VIRTIO_PMEM_F_SHMEM_REGION is not offered.
 */
import { constants } from 'node:os';
import { errorMessage } from '../../../util/errors.js';
import { DeviceType } from '../constants.js';
import {
  readLittleEndian,
  writeLittleEndian,
  type ConfigAccessSize,
  type DeviceContext,
  type VirtioDevice,
} from '../device.js';
import type { DescriptorChain } from '../queue/descriptor-chain.js';
import { RamCursor } from '../queue/guest-ram.js';
import type { VirtQueue } from '../queue/virt-queue.js';
import {
  CONFIG_BYTES,
  ConfigField,
  QUEUE_SIZE,
  REQUEST_BYTES,
  REQUEST_FLUSH,
  RESPONSE_BYTES,
  RESPONSE_FAILURE,
  RESPONSE_SUCCESS,
  SLOTS,
  STATE_BYTES,
  SlotPhase,
} from './pmem-layout.js';
import { RequestSlots } from './pmem-slots.js';

/** Linux takes regions whose start and size are multiples of this (a section of 2 MiB). */
export const PMEM_ALIGNMENT = 2 * 2 ** 20;
/** Milliseconds until a flush is tried again that could not be accepted. */
const RETRY_MS = 5;
const { EIO } = constants.errno;

/** Bytes of address space for a region with so many bytes of content. */
export function pmemRegionBytes(content: number): number {
  return Math.max(1, Math.ceil(content / PMEM_ALIGNMENT)) * PMEM_ALIGNMENT;
}

/**
 * Makes everything persistent that has been written to the region before the call: fdatasync(2) of
 * the file behind it. Calls `done` once, later or at once, with 0 or a negative errno.
 * @returns false when it cannot be done now, and `done` will not be called
 */
export type PmemFlush = (done: (result: number) => void) => boolean;

/** Settings of the device. */
export interface PmemOptions {
  /** Guest address of the region. */
  readonly address: number;
  /** Its bytes; both are multiples of {@link PMEM_ALIGNMENT}. */
  readonly size: number;
  /**
   * Called in the thread that serves the queue, which is the same one all the time. Without it there
   * is nothing to flush: the region is read-only, or nobody keeps it.
   */
  readonly flush?: PmemFlush;
}

/** virtio-pmem. */
export class PmemDevice implements VirtioDevice {
  readonly type = DeviceType.Pmem;
  readonly name = 'pmem';
  readonly features: readonly number[] = [];
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  readonly configBytes = CONFIG_BYTES;
  readonly stateBytes = STATE_BYTES;

  private readonly config = new Uint8Array(CONFIG_BYTES);
  private readonly request = new Uint8Array(REQUEST_BYTES);
  private readonly response = new Uint8Array(RESPONSE_BYTES);
  private readonly flush: PmemFlush | undefined;
  private readonly done = (result: number): void => this.finish(result);
  private readonly finishTurn = (queue: VirtQueue): void => this.complete(queue);
  private readonly retryTurn = (queue: VirtQueue): void => this.process(queue);
  private retry: NodeJS.Timeout | undefined;
  private context!: DeviceContext;
  private chain!: DescriptorChain;
  private slots!: RequestSlots;
  private cursor!: RamCursor;
  /** A flush of this thread is going on. */
  private flushing = false;
  /** The flush is being asked for, so `done` finds the queue locked. */
  private starting = false;
  /** What the flush that has ended came to. */
  private result: number | undefined;

  /** @throws RangeError when the region is not where or what Linux could use */
  constructor(options: PmemOptions) {
    const { address, size } = options;
    const aligned = address % PMEM_ALIGNMENT === 0 && size % PMEM_ALIGNMENT === 0;
    if (!(aligned && address >= 0 && size > 0 && Number.isSafeInteger(address + size))) {
      throw new RangeError(`pmem of ${size} bytes at ${address} is not aligned to 2 MiB`);
    }
    this.flush = options.flush;
    writeLittleEndian(this.config, ConfigField.Start, 8, address);
    writeLittleEndian(this.config, ConfigField.Size, 8, size);
  }

  attach(context: DeviceContext): void {
    this.context = context;
    this.chain = context.createChain();
    this.slots = new RequestSlots(context.state);
    this.cursor = new RamCursor(context.ram, context.ram.start);
  }

  readConfig(offset: number, size: ConfigAccessSize): number {
    return readLittleEndian(this.config, offset, size);
  }

  reset(): void {
    this.slots.reset();
  }

  queueReset(): void {
    this.slots.reset();
  }

  process(queue: VirtQueue): void {
    do this.takeRequests(queue);
    while (this.startFlush(queue));
  }

  private takeRequests(queue: VirtQueue): void {
    const { chain, slots } = this;
    for (;;) {
      const slot = slots.findFree();
      // Without a slot the rest waits for the flush that ends next.
      if (slot < 0 || !queue.pop(chain)) return;
      const { readable, writable, token } = chain;
      const length = readable.read(this.request);
      const type = readLittleEndian(this.request, 0, REQUEST_BYTES);
      if (length < REQUEST_BYTES || type !== REQUEST_FLUSH || slots.failed) {
        if (!slots.failed)
          this.context.log.warn('pmem-request', 'pmem: a request that is no flush');
        queue.push(token, writable.write(this.encode(RESPONSE_FAILURE)));
      } else if (this.flush === undefined) {
        queue.push(token, writable.write(this.encode(RESPONSE_SUCCESS)));
      } else {
        slots.keep(slot, token, writable);
      }
    }
  }

  private encode(value: number): Uint8Array {
    writeLittleEndian(this.response, 0, RESPONSE_BYTES, value);
    return this.response;
  }

  /**
   * Begins a flush for all requests that wait. One at a time: those that come meanwhile share the
   * next one, so a guest that floods costs no more than one flush after the other.
   * @returns true when it has ended at once
   */
  private startFlush(queue: VirtQueue): boolean {
    const { slots, flush } = this;
    if (flush === undefined || this.flushing) return false;
    // What is left of a flush that nobody waits for: the device has been restored.
    slots.move(SlotPhase.Flushing, SlotPhase.Waiting);
    if (!slots.waiting) return false;
    slots.move(SlotPhase.Waiting, SlotPhase.Flushing);
    this.flushing = this.starting = true;
    try {
      this.flushing = flush(this.done);
    } catch (error) {
      this.context.log.warn('pmem-flush', `pmem: ${errorMessage(error)}`);
      this.result = -EIO;
    }
    this.starting = false;
    if (!this.flushing && this.result === undefined) this.retryLater();
    if (this.result === undefined) return false;
    this.answer(queue);
    return true;
  }

  /** Also after a reset, which is not complete before the requests have come back. */
  private retryLater(): void {
    this.retry ??= setTimeout(() => {
      this.retry = undefined;
      this.context.runQueue(0, this.retryTurn);
    }, RETRY_MS).unref();
  }

  private finish(result: number): void {
    this.result = result;
    if (!this.starting) this.context.runQueue(0, this.finishTurn);
  }

  private complete(queue: VirtQueue): void {
    this.answer(queue);
    this.process(queue);
  }

  /** Answers the requests whose flush has ended. */
  private answer(queue: VirtQueue): void {
    const { slots } = this;
    const result = this.result ?? 0;
    this.result = undefined;
    this.flushing = false;
    if (result < 0 && !slots.failed) {
      slots.setFailed();
      this.context.log.warn('pmem-flush', `pmem: a flush failed with error ${-result}`);
    }
    const value = slots.failed ? RESPONSE_FAILURE : RESPONSE_SUCCESS;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (slots.phase(slot) !== SlotPhase.Flushing) continue;
      queue.push(slots.token(slot), slots.answer(slot, value, this.cursor));
    }
  }
}
