/**
 * The register block of a virtqueue: everything that a snapshot needs to know of it.
 *
 * All fields are 32-bit words. The bit set of chains in flight follows them, one bit a ring entry.
 */
import { RegisterBlock } from '../../../bus/register-block.js';
import { constants } from '../constants.js';

/** Words of the block. */
export enum QueueWord {
  /** QueueReady or queue_enable. */
  Ready,
  /** Entries of the ring; not checked before the queue is made ready. */
  Size,
  /** Addresses of descriptor, driver and device area, low word first. */
  DescriptorLow,
  DescriptorHigh,
  DriverLow,
  DriverHigh,
  DeviceLow,
  DeviceHigh,
  /** Free-running position in the available ring, 16 bits. */
  NextAvailable,
  /** Free-running position in the used ring, as published, 16 bits. */
  NextUsed,
  /** Chains popped and not pushed. */
  InFlight,
  /** Chains of earlier epochs that the device still holds. */
  Draining,
  /** Counts resets, 15 bits: part of every token. */
  Epoch,
  /** Set when EVENT_IDX or INDIRECT_DESC has been negotiated. */
  EventIndex,
  Indirect,
  /** The driver has been told not to kick (without EVENT_IDX). */
  Suppressed,
  Count,
}

/** The three areas of a queue, as indexes for {@link areaAddress}. */
export enum QueueArea {
  Descriptor,
  Driver,
  Device,
}

/** Byte offset of the bit set. */
const IN_FLIGHT_BYTES = QueueWord.Count * 4;

/** Bytes of the block of a queue with up to `maximumSize` entries. */
export function queueRegisterBytes(maximumSize: number): number {
  return IN_FLIGHT_BYTES + Math.ceil(maximumSize / 8);
}

/** The register block of a queue and its accessors; the caller holds the lock. */
export class QueueRegisters {
  readonly words: Int32Array<SharedArrayBuffer>;
  private readonly bits: Uint8Array<SharedArrayBuffer>;

  constructor(
    readonly block: RegisterBlock,
    readonly maximumSize: number,
  ) {
    const size = maximumSize;
    if (!(size >= 1 && size <= constants.MAX_QUEUE_SIZE) || !Number.isInteger(Math.log2(size))) {
      throw new RangeError(`queue size ${size} is not a power of two up to 32768`);
    }
    this.words = block.words;
    this.bits = block.bytes.subarray(IN_FLIGHT_BYTES, queueRegisterBytes(maximumSize));
  }

  /** Address of an area. Above 2^53 it is rounded, which changes nothing: no RAM is there. */
  areaAddress(area: QueueArea): number {
    const low = this.words[QueueWord.DescriptorLow + 2 * area]! >>> 0;
    const high = this.words[QueueWord.DescriptorHigh + 2 * area]! >>> 0;
    return high * 2 ** 32 + low;
  }

  /** True when the chain with this head is in flight. */
  isInFlight(head: number): boolean {
    return (this.bits[head >>> 3]! & (1 << (head & 7))) !== 0;
  }

  /** Notes that the chain with this head is in flight, or is not any more. */
  setInFlight(head: number, inFlight: boolean): void {
    const bit = 1 << (head & 7);
    if (inFlight) this.bits[head >>> 3]! |= bit;
    else this.bits[head >>> 3]! &= ~bit;
  }

  /**
   * The default state (virtio 1.2, 2.6.1). Chains in flight become chains to drain: tokens of an
   * earlier epoch.
   */
  reset(): void {
    const { words } = this;
    const draining = words[QueueWord.Draining]! + words[QueueWord.InFlight]!;
    const epoch = (words[QueueWord.Epoch]! + 1) & constants.EPOCH_MASK;
    words.fill(0, 0, QueueWord.Count);
    this.bits.fill(0);
    words[QueueWord.Size] = this.maximumSize;
    words[QueueWord.Draining] = draining;
    words[QueueWord.Epoch] = epoch;
  }

  /** One chain of an earlier epoch has come back. */
  drained(): void {
    const { words } = this;
    if (words[QueueWord.Draining]! > 0) Atomics.sub(words, QueueWord.Draining, 1);
    Atomics.notify(words, QueueWord.Draining);
  }
}
