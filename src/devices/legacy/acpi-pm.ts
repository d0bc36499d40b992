/**
 * ACPI power management block: PM1a event and control registers and the PM timer.
 *
 * ACPI 6.5, sections 4.8.2 (PM1 event), 4.8.3 (PM1 control), 4.8.2.1 (PM timer). The layout of the
 * twelve ports is the PIIX4's, so that guests written for QEMU find `outw(0x604, 0x2000)`:
 *
 *   +0 PM1_STS   +2 PM1_EN   +4 PM1_CNT   +8 PM_TMR
 */
import { MachineRequest } from '../../bus/device.js';
import type { BusDevice, InterruptLine, MachineControl } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';
import type { MonotonicClock } from './clock.js';

/** Ports the block takes, from ACPI_PM1_EVENT_PORT on. */
export const ACPI_PM_PORTS = 12;

const PM1_EVENT = 0;
const PM1_CONTROL = 4;
const PM_TIMER = 8;

/** Ticks of the power management timer in a second. */
const PM_TIMER_HZ = 3_579_545;

const TIMER_STATUS = 1 << 0;
const GLOBAL_LOCK_STATUS = 1 << 5;
const POWER_BUTTON_STATUS = 1 << 8;
const SLEEP_BUTTON_STATUS = 1 << 9;
const RTC_STATUS = 1 << 10;
const WAKE_STATUS = 1 << 15;
/** Events that have an enable bit in the same place of PM1_EN. */
const EVENTS =
  TIMER_STATUS | GLOBAL_LOCK_STATUS | POWER_BUTTON_STATUS | SLEEP_BUTTON_STATUS | RTC_STATUS;

/** The machine is always in ACPI mode: FADT has no SMI command port. */
const SCI_ENABLE = 1 << 0;
const CONTROL_READ_BACK = 0x1c02;
const SLEEP_ENABLE = 1 << 13;
const sleepType = (control: number): number => (control >> 10) & 7;

/** SLP_TYP of S5 (soft off), as \_S5 in the DSDT says. */
export const SLEEP_TYPE_S5 = 0;

const enum Word {
  Status,
  Enable,
  Control,
  InterruptLevel,
  /** Bit 31 of the timer when the status was last looked at. */
  TimerCarry,
  Count = 6,
}

/** The power management block on the port bus, four bytes wide. */
export class AcpiPm implements BusDevice {
  static readonly REGISTER_BYTES = Word.Count * 4;

  /** @param irq the SCI */
  constructor(
    private readonly block: RegisterBlock,
    private readonly irq: InterruptLine,
    private readonly control: MachineControl,
    private readonly clock: MonotonicClock,
  ) {}

  read(offset: number, size: number): number {
    const dword = offset & ~3;
    let value: number;
    if (dword === PM_TIMER) {
      value = this.timer;
    } else {
      this.block.lock();
      value = this.readRegister(dword);
      this.block.unlock();
    }
    return Math.floor(value / 2 ** (8 * (offset & 3))) % 2 ** (8 * size);
  }

  write(offset: number, size: number, value: number): void {
    this.block.lock();
    try {
      for (let i = 0; i < size; i++) this.writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    } finally {
      this.block.unlock();
    }
  }

  /** The host presses the power button. */
  pressPowerButton(): void {
    this.block.lock();
    this.block.words[Word.Status]! |= POWER_BUTTON_STATUS;
    this.updateInterrupt();
    this.block.unlock();
  }

  /** True when the guest has asked to be told about the power button. */
  get powerButtonEnabled(): boolean {
    return (Atomics.load(this.block.words, Word.Enable) & POWER_BUTTON_STATUS) !== 0;
  }

  /** PM_TMR: 32 bits of ticks. */
  private get timer(): number {
    return Math.floor((this.clock.nanoseconds() / 1e9) * PM_TIMER_HZ) >>> 0;
  }

  private readRegister(dword: number): number {
    const { words } = this.block;
    if (dword === PM1_CONTROL) return (words[Word.Control]! & CONTROL_READ_BACK) | SCI_ENABLE;
    this.noteTimerCarry();
    return ((words[Word.Status]! & 0xffff) | (words[Word.Enable]! << 16)) >>> 0;
  }

  /** TMR_STS: the most significant bit of the timer has changed. */
  private noteTimerCarry(): void {
    const { words } = this.block;
    const carry = this.timer >>> 31;
    if (carry === words[Word.TimerCarry]) return;
    words[Word.TimerCarry] = carry;
    words[Word.Status]! |= TIMER_STATUS;
    this.updateInterrupt();
  }

  /** Registers can be written byte by byte (ACPI 4.8.1); SLP_EN comes with the byte that has it. */
  private writeByte(offset: number, byte: number): void {
    const { words } = this.block;
    const shift = 8 * (offset & 1);
    const keep = 0xff00 >> shift;
    switch (offset & ~1) {
      case PM1_EVENT: // write 1 to clear
        this.noteTimerCarry();
        words[Word.Status]! &= ~(byte << shift);
        this.updateInterrupt();
        break;
      case PM1_EVENT + 2:
        words[Word.Enable] = ((words[Word.Enable]! & keep) | (byte << shift)) & EVENTS;
        this.updateInterrupt();
        break;
      case PM1_CONTROL:
        words[Word.Control] = ((words[Word.Control]! & keep) | (byte << shift)) & CONTROL_READ_BACK;
        if (((byte << shift) & SLEEP_ENABLE) !== 0) this.sleep(sleepType(words[Word.Control]));
        break;
      default:
      // The timer is read-only, ports 6 and 7 are nobody's.
    }
  }

  /** Only S5 is offered; other sleep types wake at once. */
  private sleep(type: number): void {
    if (type === SLEEP_TYPE_S5) this.control.request(MachineRequest.PowerOff);
    else this.block.words[Word.Status]! |= WAKE_STATUS;
  }

  private updateInterrupt(): void {
    const { words } = this.block;
    const level = (words[Word.Status]! & words[Word.Enable]! & EVENTS) !== 0 ? 1 : 0;
    if (level === words[Word.InterruptLevel]) return;
    words[Word.InterruptLevel] = level;
    this.irq.set(level === 1);
  }
}
