/**
 * The host's face of a serial port, for the thread that owns the terminal.
 *
 * Same register block as the guest's face (serial.ts), so a byte never crosses threads in a message: the vCPU
 * thread rings a doorbell when there is output to fetch, and another when input may go on.
 */
import type { Doorbell, InterruptLine } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';
import { SerialCore } from './serial-core.js';
import * as uart from './serial-registers.js';
import { Word } from './serial-registers.js';

/** What is connected to the other end of the line. */
export interface ModemLines {
  readonly cts?: boolean;
  readonly dsr?: boolean;
  readonly dcd?: boolean;
  readonly ri?: boolean;
}

const LINE_BITS = [
  ['cts', uart.MSR_CTS],
  ['dsr', uart.MSR_DSR],
  ['dcd', uart.MSR_DCD],
  ['ri', uart.MSR_RI],
] as const;

/** Drains output, feeds input and drives the modem lines of one port. */
export class SerialHost {
  protected readonly core: SerialCore;

  /** @param inputDoorbell rung when the receive queue has drained below half */
  constructor(
    protected readonly block: RegisterBlock,
    irq: InterruptLine,
    inputDoorbell?: Doorbell,
  ) {
    this.core = new SerialCore(block, irq, inputDoorbell);
  }

  private locked<T>(action: () => T): T {
    this.block.lock();
    try {
      return action();
    } finally {
      this.block.unlock();
    }
  }

  /**
   * Moves guest output into `target` and returns how many bytes. After a doorbell, call it until
   * it returns less than `target.length`: the doorbell rings again only for an empty ring. A
   * transmitter that was busy because the ring was full goes on.
   */
  drain(target: Uint8Array): number {
    return this.locked(() => {
      const { output } = this.core;
      const busy = output.space === 0;
      const count = output.drain(target);
      if (!busy || count === 0) return count;
      this.core.outputDrained();
      return count + output.drain(target.subarray(count));
    });
  }

  /** All output so far, as bytes of the caller's own; see {@link drain}. */
  take(): Uint8Array<ArrayBuffer> {
    return this.locked(() => {
      const { output } = this.core;
      const busy = output.space === 0;
      const bytes = new Uint8Array(output.length);
      output.drain(bytes);
      if (busy) this.core.outputDrained();
      return bytes;
    });
  }

  /** Bytes of output that wait to be drained. */
  get pending(): number {
    return this.locked(() => this.core.output.length);
  }

  /** Bytes the guest wrote while the transmitter was busy; they are gone. */
  get lostBytes(): number {
    return this.locked(() => this.core.output.lost);
  }

  /** Queues input for the guest and returns how many of the bytes fitted. */
  receive(bytes: Uint8Array): number {
    return this.locked(() => {
      const count = this.core.queue.append(bytes);
      this.core.refill();
      return count;
    });
  }

  /** How many bytes {@link receive} would take now. */
  receiveSpace(): number {
    return this.locked(() => this.core.queue.space);
  }

  /** Sends a break after the input queued so far (Linux: magic SysRq). One can wait at a time. */
  sendBreak(): void {
    this.locked(() => {
      this.block.words[Word.BreakQueued] = 1;
      this.block.words[Word.BreakAfter] = this.core.queue.length;
      this.core.refill();
    });
  }

  /** Changes modem inputs; lines not named keep their level. */
  setModemLines(lines: ModemLines): void {
    this.locked(() => {
      const { words } = this.block;
      const before = this.core.modemInputs();
      let inputs = words[Word.ModemInputs]! ^ uart.MODEM_INPUTS_AT_RESET;
      for (const [name, bit] of LINE_BITS) {
        const on = lines[name];
        if (on !== undefined) inputs = on ? inputs | bit : inputs & ~bit;
      }
      words[Word.ModemInputs] = inputs ^ uart.MODEM_INPUTS_AT_RESET;
      this.core.noteModemChange(before);
      this.core.updateInterrupt();
    });
  }

  /** The modem outputs the guest drives; inactive in loopback. */
  get modemOutputs(): { dtr: boolean; rts: boolean } {
    return this.locked(() => {
      const mcr = this.core.looped ? 0 : this.block.words[Word.Mcr]!;
      return { dtr: (mcr & uart.MCR_DTR) !== 0, rts: (mcr & uart.MCR_RTS) !== 0 };
    });
  }
}
