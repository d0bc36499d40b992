/** Streams to and from the ports of a PC: four serial ports, the debug console, the firmware's log. */
import type { Readable, Writable } from 'node:stream';
import { DoorbellBit } from '../vcpu/control-block.js';
import type { Board } from './board.js';
import { ConsolePort } from './console-port.js';
import { OutputStream } from './output-stream.js';

/** A serial port: bytes to and from the guest. */
export interface SerialStreams {
  /** What the guest writes. Kept (256 KiB) until somebody reads. */
  readonly output: Readable;
  /** What the guest reads. Back-pressure comes from the guest. */
  readonly input: Writable;
}

const SERIAL_COUNT = 4;

/** They outlive a power-on, as {@link ConsolePort} does. */
export class PortStreams {
  /** COM1 to COM4. */
  readonly serials: readonly ConsolePort[];
  /** What the guest writes to port 0xe9. */
  readonly debugConsole: OutputStream;
  /** What firmware writes to port 0x402. */
  readonly firmwareLog: OutputStream;

  /** @param board that of the machine that is on, if one is */
  constructor(private readonly board: () => Board | undefined) {
    this.serials = Array.from(
      { length: SERIAL_COUNT },
      (_, i) => new ConsolePort(() => this.board()?.serials[i]),
    );
    this.debugConsole = new OutputStream(() => this.drainDebug());
    this.firmwareLog = new OutputStream(() => this.drainDebug());
  }

  /** @param bits the {@link DoorbellBit}s that have rung */
  onDoorbells(bits: number): void {
    const rung = (bit: DoorbellBit): boolean => (bits & (1 << bit)) !== 0;
    this.serials.forEach((port, i) => {
      if (rung(DoorbellBit.Serial0 + i)) port.drain();
      if (rung(DoorbellBit.SerialSpace0 + i)) port.onSpace();
    });
    if (rung(DoorbellBit.DebugConsole) || rung(DoorbellBit.FirmwareLog)) this.drainDebug();
  }

  private drainDebug(): void {
    const board = this.board();
    if (board === undefined) return;
    this.debugConsole.drainFrom(board.debugConsole);
    this.firmwareLog.drainFrom(board.firmwareLog);
  }

  /** The guest has been paused: what it has written comes now. */
  hasten(): void {
    for (const port of this.serials) port.hasten();
    this.debugConsole.hasten();
    this.firmwareLog.hasten();
  }

  /** The vCPUs have stopped: takes what is left. */
  flush(): void {
    for (const port of this.serials) port.flush();
    const board = this.board();
    if (board === undefined) return;
    this.debugConsole.flushFrom(board.debugConsole);
    this.firmwareLog.flushFrom(board.firmwareLog);
  }

  /** The VM has ended. */
  end(): void {
    for (const port of this.serials) port.end();
    this.debugConsole.end();
    this.firmwareLog.end();
  }
}
