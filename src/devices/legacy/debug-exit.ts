/**
 * A port that ends the machine with a status, for tests and for guests without ACPI.
 *
 * Like QEMU's isa-debug-exit. It is on the bus only when the machine's configuration asks for it.
 */
import { MachineRequest } from '../../bus/device.js';
import type { BusDevice, MachineControl } from '../../bus/device.js';

/** The debug-exit port; it has no state. */
export class DebugExit implements BusDevice {
  constructor(private readonly control: MachineControl) {}

  read(): number {
    return 0;
  }

  write(_offset: number, _size: number, value: number): void {
    this.control.request(MachineRequest.DebugExit, value & 0xff);
  }
}
