/**
 * MC146818 real-time clock and CMOS RAM: index port 0x70, data port 0x71.
 *
 * Motorola MC146818A data sheet; RAM bytes as QEMU and SeaBIOS use them. Nothing ticks: the time
 * registers are computed from the clock when they are read, and the flags of register C from what
 * has passed since they were last looked at. Interrupts on IRQ 8 (level high while IRQF is set)
 * need the host to call {@link Rtc.poll} when the next one is due.
 */
import type { BusDevice, Doorbell, Clock, InterruptLine } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';
import * as cmos from './rtc-registers.js';
import { RtcTime } from './rtc-time.js';

/** Ports from 0x70 on. */
export const RTC_PORT = 0x70;
export const RTC_PORTS = 2;

/** The clock on the port bus, one byte wide. */
export class Rtc implements BusDevice {
  static readonly REGISTER_BYTES = cmos.REGISTER_BYTES;
  private readonly time: RtcTime;

  /** @param alarmDoorbell rung when the guest has changed what {@link poll} has to wait for */
  constructor(
    private readonly block: RegisterBlock,
    private readonly irq: InterruptLine,
    private readonly clock: Clock,
    private readonly alarmDoorbell?: Doorbell,
  ) {
    this.time = new RtcTime(block);
  }

  read(offset: number): number {
    // The index port is write-only.
    if (offset === 0) return 0xff;
    this.block.lock();
    try {
      return this.readIndexed(this.block.words[cmos.Word.Index]! & 0x7f);
    } finally {
      this.block.unlock();
    }
  }

  write(offset: number, _size: number, value: number): void {
    let rearm = false;
    this.block.lock();
    try {
      // Bit 7 masks the NMI, which this machine does not have.
      if (offset === 0) this.block.words[cmos.Word.Index] = value & 0xff;
      else rearm = this.writeIndexed(this.block.words[cmos.Word.Index]! & 0x7f, value & 0xff);
    } finally {
      this.block.unlock();
    }
    if (rearm) this.alarmDoorbell?.ring();
  }

  /**
   * Raises the interrupts that are due.
   * @returns milliseconds until the next one the guest has enabled, Infinity for none
   */
  poll(): number {
    this.block.lock();
    try {
      const now = this.clock.now();
      this.updateFlags(now);
      return this.nextInterrupt(now);
    } finally {
      this.block.unlock();
    }
  }

  private get ram(): Uint8Array {
    return this.block.bytes;
  }

  private readIndexed(index: number): number {
    const now = this.clock.now();
    if (cmos.isTime(index)) {
      this.time.latch(now);
      return this.ram[index]!;
    }
    switch (index) {
      case cmos.REGISTER_A:
        return (this.ram[index]! & 0x7f) | (this.time.updateInProgress(now) ? cmos.A_UIP : 0);
      case cmos.REGISTER_C: {
        this.updateFlags(now);
        const flags = this.ram[index]!;
        this.ram[index] = 0;
        this.updateInterrupt();
        return flags;
      }
      case cmos.REGISTER_D:
        return cmos.D_VALID_RAM;
      default:
        return this.ram[index]!;
    }
  }

  /** Returns true when the next interrupt may be due at another time now. */
  private writeIndexed(index: number, value: number): boolean {
    const now = this.clock.now();
    if (cmos.isTime(index)) {
      this.time.set(now, index, value);
      return true;
    }
    switch (index) {
      case cmos.REGISTER_A:
        this.time.reconfigure(now, () => (this.ram[index] = value & 0x7f));
        return true;
      case cmos.REGISTER_B:
        this.updateFlags(now);
        // SET stops updates and ends the update-ended interrupt.
        this.time.reconfigure(
          now,
          () => (this.ram[index] = (value & cmos.B_SET) !== 0 ? value & ~cmos.B_UIE & 0xff : value),
        );
        this.updateInterrupt();
        return true;
      case cmos.REGISTER_C:
      case cmos.REGISTER_D:
        return false;
      default:
        this.ram[index] = value;
        return cmos.isAlarm(index);
    }
  }

  /** Sets UF, AF and PF for what has happened since the last call. */
  private updateFlags(now: number): void {
    const { ram } = this;
    ram[cmos.REGISTER_C]! |= this.time.eventsUntil(now);
    this.updateInterrupt();
  }

  /** IRQF and IRQ 8: any flag whose enable bit is set. */
  private updateInterrupt(): void {
    const { ram } = this;
    const { words } = this.block;
    const pending = (ram[cmos.REGISTER_C]! & ram[cmos.REGISTER_B]! & cmos.INTERRUPTS) !== 0;
    ram[cmos.REGISTER_C] = (ram[cmos.REGISTER_C]! & cmos.INTERRUPTS) | (pending ? cmos.C_IRQF : 0);
    const level = pending ? 1 : 0;
    if (level === words[cmos.Word.InterruptLevel]) return;
    words[cmos.Word.InterruptLevel] = level;
    this.irq.set(pending);
  }

  private nextInterrupt(now: number): number {
    const enabled = this.ram[cmos.REGISTER_B]! & cmos.INTERRUPTS;
    // One that is up already comes back only after the guest has read register C.
    const waiting = enabled & ~this.ram[cmos.REGISTER_C]!;
    return this.time.untilNext(now, waiting);
  }
}
