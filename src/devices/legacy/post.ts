/**
 * POST code port 0x80: keeps the last code a firmware has reached; Linux writes it as a short delay.
 */
import type { BusDevice } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';

/** Port 0x80, the manufacturing diagnostics port. */
export class PostCode implements BusDevice {
  static readonly REGISTER_BYTES = 8;

  constructor(private readonly block: RegisterBlock) {}

  read(): number {
    return this.last;
  }

  write(_offset: number, _size: number, value: number): void {
    Atomics.store(this.block.words, 0, value & 0xff);
  }

  /** The last code written. */
  get last(): number {
    return Atomics.load(this.block.words, 0) & 0xff;
  }
}
