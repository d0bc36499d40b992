/**
 * Reset control register at port 0xcf9, as in the PIIX3.
 *
 * Intel 82371SB (PIIX3) data sheet, section 2.6.3. Bit 1 chooses between soft and hard reset and
 * reads back; a write with bit 2 set resets.
 */
import { MachineRequest } from '../../bus/device.js';
import type { BusDevice, MachineControl } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';

const SYSTEM_RESET = 0x02;
const RESET_CPU = 0x04;
/** What FADT tells the guest to write: a hard reset. */
export const RESET_VALUE = SYSTEM_RESET | RESET_CPU;

/** Port 0xcf9. */
export class ResetControl implements BusDevice {
  static readonly REGISTER_BYTES = 8;

  constructor(
    private readonly block: RegisterBlock,
    private readonly control: MachineControl,
  ) {}

  read(): number {
    return Atomics.load(this.block.words, 0) & SYSTEM_RESET;
  }

  write(_offset: number, _size: number, value: number): void {
    Atomics.store(this.block.words, 0, value & SYSTEM_RESET);
    if ((value & RESET_CPU) !== 0) this.control.request(MachineRequest.Reset);
  }
}
