/**
 * pvpanic: the guest tells that its kernel has panicked.
 *
 * QEMU docs/specs/pvpanic: a read gives the events that are understood, a write reports events.
 */
import { MachineRequest } from '../../bus/device.js';
import type { BusDevice, MachineControl } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';

/** The guest's kernel has panicked. */
const PANICKED = 0x01;
/** The guest's kernel has panicked and a crash kernel takes over: it must go on running. */
const CRASH_LOADED = 0x02;

/** The pvpanic port. */
export class PvPanic implements BusDevice {
  static readonly REGISTER_BYTES = 8;

  constructor(
    private readonly block: RegisterBlock,
    private readonly control: MachineControl,
  ) {}

  read(): number {
    return PANICKED | CRASH_LOADED;
  }

  write(_offset: number, _size: number, value: number): void {
    Atomics.or(this.block.words, 0, value & (PANICKED | CRASH_LOADED));
    if ((value & PANICKED) !== 0) this.control.request(MachineRequest.Panic);
  }

  /** True once the guest has handed over to a crash kernel. */
  get crashLoaded(): boolean {
    return (Atomics.load(this.block.words, 0) & CRASH_LOADED) !== 0;
  }
}
