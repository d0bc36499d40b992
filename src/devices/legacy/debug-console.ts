/**
 * A port that takes text: 0xe9 (Bochs) for guests, 0x402 for the log of SeaBIOS and OVMF.
 *
 * A read gives 0xe9, which is how firmware finds out that somebody listens. Output waits in a ring
 * until the host drains it; the port has no busy bit, so what does not fit is dropped and counted.
 */
import type { BusDevice, Doorbell } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';
import { ByteRing, type ByteRingLayout } from './byte-ring.js';

const PRESENT = 0xe9;

const RING: ByteRingLayout = { headerWord: 0, dataByte: 16, capacity: 8 * 1024 };

/** The host's face: fetches what the guest has written. */
export class DebugConsoleHost {
  static readonly REGISTER_BYTES = RING.dataByte + RING.capacity;
  protected readonly ring: ByteRing;

  constructor(protected readonly block: RegisterBlock) {
    this.ring = new ByteRing(block, RING);
  }

  /** Moves output into `target`, returns how many bytes; call it until it returns fewer. */
  drain(target: Uint8Array): number {
    this.block.lock();
    try {
      return this.ring.drain(target);
    } finally {
      this.block.unlock();
    }
  }

  /** All output so far, as bytes of the caller's own. */
  take(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(RING.capacity);
    return bytes.slice(0, this.drain(bytes));
  }

  /** Bytes that found the ring full. */
  get lostBytes(): number {
    return this.ring.lost;
  }
}

/** The guest's face: a console of one port. */
export class DebugConsole extends DebugConsoleHost implements BusDevice {
  /** @param doorbell rung when the ring goes from empty to not empty */
  constructor(
    block: RegisterBlock,
    private readonly doorbell: Doorbell,
  ) {
    super(block);
  }

  read(): number {
    return PRESENT;
  }

  write(_offset: number, _size: number, value: number): void {
    const { block, ring } = this;
    block.lock();
    const { length } = ring;
    if (length < ring.capacity) ring.push(value & 0xff);
    else ring.countLost();
    block.unlock();
    if (length === 0) this.doorbell.ring();
  }
}
