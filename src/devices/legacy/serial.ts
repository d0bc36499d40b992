/**
 * The guest's face of a 16550A serial port: eight ports, one byte wide.
 *
 * PC16550D data sheet, section 8. Output goes into a ring that the host drains; when the ring is
 * full the transmitter stays busy (LSR.THRE = 0) until the host has caught up.
 */
import type { BusDevice, Doorbell, InterruptLine } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';
import { SerialHost } from './serial-host.js';
import * as uart from './serial-registers.js';
import { Word } from './serial-registers.js';

/**
 * A serial port on the bus; one instance per thread, all over the same block. The host side
 * ({@link SerialHost}) comes along, for the thread that owns both.
 */
export class Serial extends SerialHost implements BusDevice {
  static readonly REGISTER_BYTES = uart.REGISTER_BYTES;

  /**
   * @param doorbell rung when the output ring goes from empty to not empty
   * @param inputDoorbell rung when the receive queue has drained below half
   */
  constructor(
    block: RegisterBlock,
    irq: InterruptLine,
    private readonly doorbell: Doorbell,
    inputDoorbell?: Doorbell,
  ) {
    super(block, irq, inputDoorbell);
  }

  read(offset: number): number {
    this.block.lock();
    try {
      return this.readRegister(offset) & 0xff;
    } finally {
      this.block.unlock();
    }
  }

  write(offset: number, _size: number, value: number): void {
    let wake = false;
    this.block.lock();
    try {
      if (offset === uart.THR && !this.divisorLatch) wake = this.transmit(value & 0xff);
      else this.writeRegister(offset, value & 0xff);
    } finally {
      this.block.unlock();
    }
    if (wake) this.doorbell.ring();
  }

  private get divisorLatch(): boolean {
    return (this.block.words[Word.Lcr]! & uart.LCR_DLAB) !== 0;
  }

  private readRegister(offset: number): number {
    const { words } = this.block;
    switch (offset) {
      case uart.LSR:
        return this.readLineStatus();
      case uart.RBR:
        if (this.divisorLatch) return words[Word.Divisor]!;
        this.core.countPoll();
        return this.core.takeCharacter();
      case uart.IER:
        return this.divisorLatch ? words[Word.Divisor]! >> 8 : words[Word.Ier]!;
      case uart.IIR:
        return this.readInterruptIdentification();
      case uart.LCR:
        return words[Word.Lcr]!;
      case uart.MCR:
        return words[Word.Mcr]!;
      case uart.MSR:
        return this.readModemStatus();
      default:
        return words[Word.Scr]!;
    }
  }

  private writeRegister(offset: number, value: number): void {
    const { words } = this.block;
    switch (offset) {
      case uart.DLL:
        words[Word.Divisor] = (words[Word.Divisor]! & 0xff00) | value;
        break;
      case uart.IER:
        if (this.divisorLatch) words[Word.Divisor] = (words[Word.Divisor]! & 0xff) | (value << 8);
        else this.writeInterruptEnable(value & uart.IER_MASK);
        break;
      case uart.FCR:
        this.core.writeFifoControl(value);
        break;
      case uart.LCR:
        words[Word.Lcr] = value;
        break;
      case uart.MCR:
        this.writeModemControl(value & uart.MCR_MASK);
        break;
      case uart.SCR:
        words[Word.Scr] = value;
        break;
      default:
      // LSR and MSR: writes are for factory testing only.
    }
  }

  /** THR: the byte goes to the host, or in loopback to the receiver. */
  private transmit(byte: number): boolean {
    const { core } = this;
    const { words } = this.block;
    words[Word.IdlePolls] = 0;
    if (core.looped) {
      core.arrive(byte, 0);
      this.transmitted();
      return false;
    }
    const space = core.output.space;
    if (space === 0) {
      if (!core.holdBack(byte)) core.output.countLost();
      return false;
    }
    core.output.push(byte);
    if (space === 1) {
      // Full: busy until the host drains, which brings the THRE interrupt.
      words[Word.ThrePending] = 0;
      core.updateInterrupt();
    } else {
      this.transmitted();
    }
    return space === core.output.capacity;
  }

  /** The write ended a THRE interrupt, and the character leaving at once begins the next. */
  private transmitted(): void {
    const { words } = this.block;
    // A handler that reads IIR gets its edge from there; one that only writes needs one here.
    if (words[Word.ThrePending] !== 0 && words[Word.ThreAcknowledged] === 0) {
      words[Word.ThrePending] = 0;
      this.core.updateInterrupt();
    }
    this.core.transmitterEmpty();
  }

  private readLineStatus(): number {
    const { core } = this;
    const lsr = core.lineStatus();
    if ((lsr & uart.LSR_THRE) !== 0) core.countPoll();
    core.acknowledgeLineErrors();
    return lsr;
  }

  private readInterruptIdentification(): number {
    const { words } = this.block;
    const source = this.core.pendingInterrupt();
    if (source === uart.IIR_THRE) {
      words[Word.ThrePending] = 0;
      words[Word.ThreAcknowledged] = 1;
      this.core.updateInterrupt();
    }
    return (words[Word.Fcr]! & uart.FCR_ENABLE) !== 0 ? source | uart.IIR_FIFO_ENABLED : source;
  }

  /** Enabling the THRE interrupt with an idle transmitter raises it at once. */
  private writeInterruptEnable(value: number): void {
    const { core } = this;
    const { words } = this.block;
    const enabled = value & ~words[Word.Ier]!;
    words[Word.Ier] = value;
    if ((enabled & uart.IER_THRE) !== 0) {
      words[Word.ThreAcknowledged] = 0;
      words[Word.ThrePending] = (core.lineStatus() & uart.LSR_THRE) !== 0 ? 1 : 0;
    }
    core.stopPolling();
    core.refill();
  }

  private writeModemControl(value: number): void {
    const { core } = this;
    const { words } = this.block;
    const before = core.modemInputs();
    words[Word.Mcr] = value;
    core.noteModemChange(before);
    // In loopback the RTS pin is inactive whatever the bit says.
    if ((value & (uart.MCR_RTS | uart.MCR_LOOP)) === uart.MCR_RTS) words[Word.RtsSeen] = 1;
    core.refill();
  }

  private readModemStatus(): number {
    const { core } = this;
    const { words } = this.block;
    const msr = core.modemInputs() | (words[Word.ModemDeltas]! & 0x0f);
    if (words[Word.ModemDeltas] !== 0) {
      words[Word.ModemDeltas] = 0;
      core.updateInterrupt();
    }
    return msr;
  }
}
