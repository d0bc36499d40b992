/**
 * System control port A at 0x92: fast A20 gate and fast reset.
 *
 * IBM PS/2 Technical Reference, "System Control Port A". A20 is always open; the bit reads back as
 * written.
 */
import { MachineRequest } from '../../bus/device.js';
import type { BusDevice, MachineControl } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';

export const SYSTEM_CONTROL_PORT_A = 0x92;

const FAST_RESET = 0x01;
const A20_OPEN = 0x02;

/** Port 0x92. Its block holds the port as the difference from its value after reset. */
export class SystemControlPortA implements BusDevice {
  static readonly REGISTER_BYTES = 8;

  constructor(
    private readonly block: RegisterBlock,
    private readonly control: MachineControl,
  ) {}

  read(): number {
    return (Atomics.load(this.block.words, 0) & 0xff) ^ A20_OPEN;
  }

  write(_offset: number, _size: number, value: number): void {
    const rising = (value & FAST_RESET) !== 0 && (this.read() & FAST_RESET) === 0;
    Atomics.store(this.block.words, 0, (value & 0xff & ~FAST_RESET) ^ A20_OPEN);
    if (rising) this.control.request(MachineRequest.Reset);
  }
}
