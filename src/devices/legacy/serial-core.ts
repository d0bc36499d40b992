/**
 * The 16550A behind its ports: receiver FIFO, interrupt priorities, modem lines.
 *
 * Guest side (serial.ts) and host side (serial-host.ts) are two faces of this class. The line is
 * infinitely fast: a byte the host has queued arrives as soon as there is room for it, and a byte
 * written to THR has left at once, unless the host is behind by a whole output ring. All methods
 * are called with the block locked.
 *
 * PC16550D data sheet, sections 8.4 to 8.6.
 */
import type { Doorbell, InterruptLine } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';
import { ByteRing } from './byte-ring.js';
import * as uart from './serial-registers.js';
import { Word } from './serial-registers.js';

/** So many reads of LSR or RBR in a row, with an idle transmitter, are a guest polling for input. */
const POLLS_OF_A_LISTENER = 16;

/** State and rules of one UART, over a register block. */
export class SerialCore {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly output: ByteRing;
  readonly queue: ByteRing;
  private readonly bytes: Uint8Array<SharedArrayBuffer>;

  constructor(
    block: RegisterBlock,
    private readonly irq: InterruptLine,
    private readonly inputDoorbell?: Doorbell,
  ) {
    this.words = block.words;
    this.bytes = block.bytes;
    this.output = new ByteRing(block, uart.OUTPUT_RING);
    this.queue = new ByteRing(block, uart.RECEIVE_QUEUE);
  }

  get looped(): boolean {
    return (this.words[Word.Mcr]! & uart.MCR_LOOP) !== 0;
  }

  private get fifoEnabled(): boolean {
    return (this.words[Word.Fcr]! & uart.FCR_ENABLE) !== 0;
  }

  /** Characters the receiver holds before it overruns. */
  private get depth(): number {
    return this.fifoEnabled ? uart.FIFO_SIZE : 1;
  }

  private get trigger(): number {
    return this.fifoEnabled ? uart.TRIGGER_LEVELS[(this.words[Word.Fcr]! >> 6) & 3]! : 1;
  }

  /** The highest interrupt that is pending and enabled, as IIR bits 3:0. */
  pendingInterrupt(): number {
    const { words } = this;
    const ier = words[Word.Ier]!;
    if ((ier & uart.IER_RLS) !== 0 && words[Word.LineErrors] !== 0) return uart.IIR_RLS;
    const count = words[Word.FifoCount]!;
    if ((ier & uart.IER_RDA) !== 0 && count > 0) {
      // Below the trigger level the line is idle, because input arrives as fast as it fits.
      return count >= this.trigger ? uart.IIR_RDA : uart.IIR_CHARACTER_TIMEOUT;
    }
    if ((ier & uart.IER_THRE) !== 0 && words[Word.ThrePending] !== 0) return uart.IIR_THRE;
    if ((ier & uart.IER_MSI) !== 0 && words[Word.ModemDeltas] !== 0) return uart.IIR_MSI;
    return uart.IIR_NONE;
  }

  /** Drives the interrupt line. OUT2 gates it; in loopback the OUT2 pin is inactive. */
  updateInterrupt(): void {
    const gate = this.words[Word.Mcr]! & (uart.MCR_OUT2 | uart.MCR_LOOP);
    const level = gate === uart.MCR_OUT2 && this.pendingInterrupt() !== uart.IIR_NONE ? 1 : 0;
    if (level === this.words[Word.InterruptLevel]) return;
    this.words[Word.InterruptLevel] = level;
    this.irq.set(level === 1);
  }

  /** The transmitter has run empty (again). */
  transmitterEmpty(): void {
    this.words[Word.ThrePending] = 1;
    this.updateInterrupt();
  }

  /**
   * Keeps a character while the output ring is full. THRE promises room for a whole FIFO, so a driver
   * may send the rest of its burst after the first character has filled the ring.
   * @returns false when there is no room: the driver has not looked at THRE
   */
  holdBack(byte: number): boolean {
    const { words } = this;
    const count = words[Word.TransmitCount]!;
    if (!this.fifoEnabled || count < 0 || count >= uart.FIFO_SIZE) return false;
    this.bytes[uart.TRANSMIT_BYTES + count] = byte;
    words[Word.TransmitCount] = count + 1;
    return true;
  }

  /** The host has made room in a ring that was full: what was held back leaves first. */
  outputDrained(): void {
    const { words, bytes, output } = this;
    const held = Math.min(Math.max(words[Word.TransmitCount]!, 0), uart.FIFO_SIZE);
    const sent = Math.min(held, output.space);
    for (let i = 0; i < sent; i++) output.push(bytes[uart.TRANSMIT_BYTES + i]!);
    bytes.copyWithin(uart.TRANSMIT_BYTES, uart.TRANSMIT_BYTES + sent, uart.TRANSMIT_BYTES + held);
    words[Word.TransmitCount] = held - sent;
    if (output.space > 0) this.transmitterEmpty();
  }

  lineStatus(): number {
    const { words } = this;
    let lsr = words[Word.LineErrors]!;
    if (words[Word.FifoCount]! > 0) lsr |= uart.LSR_DATA_READY;
    if (this.looped || this.output.space > 0) lsr |= uart.LSR_THRE | uart.LSR_TEMT;
    if (this.fifoEnabled && this.errorsInFifo()) lsr |= uart.LSR_ERROR_IN_FIFO;
    return lsr;
  }

  private errorsInFifo(): boolean {
    const count = Math.min(this.words[Word.FifoCount]!, uart.FIFO_SIZE);
    for (let i = 0; i < count; i++) {
      if (this.bytes[this.slot(i) + uart.FIFO_SIZE] !== 0) return true;
    }
    return false;
  }

  /** A read of LSR clears the errors it reported. */
  acknowledgeLineErrors(): void {
    if (this.words[Word.LineErrors] === 0) return;
    this.words[Word.LineErrors] = 0;
    if (this.words[Word.FifoCount]! > 0) this.bytes[this.slot(0) + uart.FIFO_SIZE] = 0;
    this.updateInterrupt();
  }

  /** Where the i-th oldest character is in the block. */
  private slot(i: number): number {
    return uart.FIFO_BYTES + ((this.words[Word.FifoHead]! + i) & (uart.FIFO_SIZE - 1));
  }

  /** A character comes in on the line, with its break bit. */
  arrive(byte: number, errors: number): void {
    const { words } = this;
    const count = words[Word.FifoCount]!;
    if (count >= this.depth) {
      words[Word.LineErrors]! |= uart.LSR_OVERRUN;
      // The FIFO keeps what it has; the single register of a 16450 is overwritten.
      if (!this.fifoEnabled) this.bytes[this.slot(0)] = byte;
      return;
    }
    this.bytes[this.slot(count)] = byte;
    this.bytes[this.slot(count) + uart.FIFO_SIZE] = errors;
    words[Word.FifoCount] = count + 1;
    if (count === 0) words[Word.LineErrors]! |= errors;
  }

  /** The guest reads RBR: the oldest character leaves and queued input follows up. */
  takeCharacter(): number {
    const { words } = this;
    const count = words[Word.FifoCount]!;
    const byte = this.bytes[this.slot(0)]!;
    if (count <= 0) return byte;
    words[Word.FifoHead] = (words[Word.FifoHead]! + 1) & (uart.FIFO_SIZE - 1);
    words[Word.FifoCount] = count - 1;
    if (count > 1) words[Word.LineErrors]! |= this.bytes[this.slot(0) + uart.FIFO_SIZE]!;
    // Below the trigger level the read ends the interrupt, and the next character or time-out
    // begins a new one: an edge, for handlers that take one character each time.
    if (count - 1 < this.trigger) this.dropLine();
    this.refill();
    return byte;
  }

  /** Lets the line fall before {@link updateInterrupt} raises it again, if it is up. */
  dropLine(): void {
    if (this.words[Word.InterruptLevel] === 0) return;
    this.words[Word.InterruptLevel] = 0;
    this.irq.set(false);
  }

  resetReceiver(): void {
    this.words[Word.FifoCount] = 0;
    this.words[Word.LineErrors]! &= ~uart.LSR_BREAK;
  }

  /** Empties FIFOs when they are switched; then the enable and trigger bits. */
  writeFifoControl(value: number): void {
    const { words } = this;
    const switched = ((value ^ words[Word.Fcr]!) & uart.FCR_ENABLE) !== 0;
    if (switched || (value & uart.FCR_RESET_RX) !== 0) this.resetReceiver();
    words[Word.Fcr] = (value & uart.FCR_ENABLE) !== 0 ? value & 0xc1 : 0;
    this.stopPolling();
    this.refill();
  }

  /** True when received characters interrupt the guest, which therefore expects them. */
  private get interruptDriven(): boolean {
    const { words } = this;
    return (words[Word.Ier]! & uart.IER_RDA) !== 0 && (words[Word.Mcr]! & uart.MCR_OUT2) !== 0;
  }

  /** The guest sets the port up (again): what it polled for before says nothing any more. */
  stopPolling(): void {
    this.words[Word.Polling] = 0;
    this.words[Word.IdlePolls] = 0;
  }

  /** A read of LSR or RBR: many in a row are a guest that waits for input without interrupts. */
  countPoll(): void {
    const { words } = this;
    if (words[Word.Polling] !== 0 || this.interruptDriven || this.looped) return;
    if (++words[Word.IdlePolls]! < POLLS_OF_A_LISTENER) return;
    words[Word.Polling] = 1;
    this.refill();
  }

  /** True while queued input has to wait: loopback, nobody listens, or RTS has been taken back. */
  private get held(): boolean {
    const { words } = this;
    const mcr = words[Word.Mcr]!;
    if ((mcr & uart.MCR_LOOP) !== 0) return true;
    if (words[Word.Polling] === 0 && !this.interruptDriven) return true;
    return words[Word.RtsSeen] !== 0 && (mcr & uart.MCR_RTS) === 0;
  }

  /** Moves queued input into the receiver as far as it fits, then drives the interrupt line. */
  refill(): void {
    const { words, queue } = this;
    if (!this.held) {
      const before = queue.length;
      let left = before;
      while (words[Word.FifoCount]! < this.depth) {
        if (words[Word.BreakQueued] !== 0 && words[Word.BreakAfter]! <= 0) {
          words[Word.BreakQueued] = 0;
          this.arrive(0, uart.LSR_BREAK);
        } else if (left > 0) {
          left--;
          words[Word.BreakAfter]!--;
          this.arrive(queue.shift(), 0);
        } else {
          break;
        }
      }
      const half = queue.capacity / 2;
      if (before >= half && left < half) this.inputDoorbell?.ring();
    }
    this.updateInterrupt();
  }

  /** Modem inputs as MSR bits 7:4: from the host, or in loopback from MCR. */
  modemInputs(): number {
    const { words } = this;
    if (!this.looped) return (words[Word.ModemInputs]! ^ uart.MODEM_INPUTS_AT_RESET) & 0xf0;
    const mcr = words[Word.Mcr]!;
    let inputs = 0;
    if ((mcr & uart.MCR_RTS) !== 0) inputs |= uart.MSR_CTS;
    if ((mcr & uart.MCR_DTR) !== 0) inputs |= uart.MSR_DSR;
    if ((mcr & uart.MCR_OUT1) !== 0) inputs |= uart.MSR_RI;
    if ((mcr & uart.MCR_OUT2) !== 0) inputs |= uart.MSR_DCD;
    return inputs;
  }

  /** Records in MSR what has changed since the inputs were `before`. */
  noteModemChange(before: number): void {
    const after = this.modemInputs();
    const changed = (before ^ after) >> 4;
    // RI reports only its trailing edge.
    const risingRing = (after & uart.MSR_RI) >> 4;
    this.words[Word.ModemDeltas]! |= changed & ~risingRing;
  }
}
