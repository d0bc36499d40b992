/** A serial port with its surroundings, driven as a guest and a host would. */
import { PortBus } from '../../../src/bus/address-map.js';
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { Serial } from '../../../src/devices/legacy/serial.js';
import * as uart from '../../../src/devices/legacy/serial-registers.js';
import { FakeDoorbell, FakeLine } from './harness.js';

export const COM1 = 0x3f8;

export class SerialBench {
  readonly irq = new FakeLine();
  readonly doorbell = new FakeDoorbell();
  readonly inputDoorbell = new FakeDoorbell();
  readonly bus = new PortBus();
  readonly port: Serial;

  constructor(readonly block = RegisterBlock.standalone(Serial.REGISTER_BYTES)) {
    this.port = new Serial(block, this.irq, this.doorbell, this.inputDoorbell);
    this.bus.add(COM1, 8, this.port, 1);
  }

  in(register: number): number {
    return this.bus.read(COM1 + register, 1);
  }

  out(register: number, value: number): void {
    this.bus.write(COM1 + register, 1, value);
  }

  /** FIFOs on with this trigger level (0 to 3), OUT2 on, these interrupts enabled. */
  open(ier: number, trigger = 0): this {
    this.out(uart.FCR, uart.FCR_ENABLE | (trigger << 6));
    this.out(uart.MCR, uart.MCR_DTR | uart.MCR_RTS | uart.MCR_OUT2);
    this.out(uart.IER, ier);
    return this;
  }

  /** Polls LSR long enough to be taken for a guest that waits for input. */
  listenByPolling(): this {
    for (let i = 0; i < 16; i++) this.in(uart.LSR);
    return this;
  }

  send(text: string): void {
    for (const character of text) this.out(uart.THR, character.charCodeAt(0));
  }

  /** What a driver does for input: reads while LSR says that there is some. */
  readAll(limit = 1 << 20): number[] {
    const bytes: number[] = [];
    while ((this.in(uart.LSR) & uart.LSR_DATA_READY) !== 0 && bytes.length < limit) {
      bytes.push(this.in(uart.RBR));
    }
    return bytes;
  }
}
