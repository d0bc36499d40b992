/**
 * Keyboard controller without keyboard or mouse: ports 0x60 and 0x64.
 *
 * Guests use it to reset the machine and to open the A20 gate. Every command that has an answer
 * gets it at once, and tests of the two ports fail at once, so that no driver waits for a time-out.
 * Intel 8242 data sheet, "Keyboard controller commands"; IBM PS/2 Technical Reference.
 */
import { MachineRequest } from '../../bus/device.js';
import type { BusDevice, InterruptLine, MachineControl } from '../../bus/device.js';
import type { RegisterBlock } from '../../bus/register-block.js';

export const DATA_PORT = 0x60;
export const COMMAND_PORT = 0x64;

const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
/** The keyboard lock is open. */
const STATUS_UNLOCKED = 0x10;
const STATUS_TIMEOUT = 0x40;

const CONFIG_KEYBOARD_INTERRUPT = 0x01;
const CONFIG_SYSTEM = 0x04;
const CONFIG_KEYBOARD_DISABLED = 0x10;
const CONFIG_MOUSE_DISABLED = 0x20;
const CONFIG_TRANSLATE = 0x40;
/** What a BIOS leaves behind. */
const CONFIG_AT_RESET =
  CONFIG_SYSTEM | CONFIG_KEYBOARD_DISABLED | CONFIG_MOUSE_DISABLED | CONFIG_TRANSLATE;

const SELF_TEST_PASSED = 0x55;
const PORT_CLOCK_STUCK_LOW = 0x01;
/** What the controller answers for a keyboard that does not. */
const RESEND = 0xfe;

const OUTPUT_PORT_NO_RESET = 0x01;
const OUTPUT_PORT_A20 = 0x02;
const OUTPUT_PORT_AT_RESET = 0xcc | OUTPUT_PORT_NO_RESET | OUTPUT_PORT_A20;

const enum Word {
  /** Status bits that are not constant. */
  Status,
  Output,
  /** Command byte, as the difference from {@link CONFIG_AT_RESET}. */
  Config,
  /** Output port, as the difference from {@link OUTPUT_PORT_AT_RESET}. */
  OutputPort,
  /** The command that waits for its parameter. */
  Command,
  InterruptLevel,
  Count,
}

/** The controller; {@link data} and {@link command} go on the bus. */
export class I8042 {
  static readonly REGISTER_BYTES = Word.Count * 4;

  /** Port 0x60. */
  readonly data: BusDevice;
  /** Port 0x64. */
  readonly command: BusDevice;

  /** @param irq IRQ 1, with which the controller reports that no keyboard answers */
  constructor(
    private readonly block: RegisterBlock,
    private readonly control: MachineControl,
    private readonly irq?: InterruptLine,
  ) {
    this.data = {
      read: () => this.locked(() => this.readData()),
      write: (_offset, _size, value) => this.locked(() => this.writeData(value & 0xff)),
    };
    this.command = {
      read: () => this.locked(() => this.word(Word.Status) | STATUS_UNLOCKED),
      write: (_offset, _size, value) => this.locked(() => this.writeCommand(value & 0xff)),
    };
  }

  private locked<T>(action: () => T): T {
    this.block.lock();
    try {
      return action();
    } finally {
      this.block.unlock();
    }
  }

  private word(word: Word): number {
    return this.block.words[word]! & 0xff;
  }

  private readData(): number {
    const { words } = this.block;
    words[Word.Status] = this.word(Word.Status) & ~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
    this.updateInterrupt();
    return this.word(Word.Output);
  }

  private answer(value: number, flags = 0): void {
    const { words } = this.block;
    words[Word.Output] = value;
    words[Word.Status] = (this.word(Word.Status) & ~STATUS_TIMEOUT) | STATUS_OUTPUT_FULL | flags;
    this.updateInterrupt();
  }

  private updateInterrupt(): void {
    const { words } = this.block;
    const enabled = (this.config & CONFIG_KEYBOARD_INTERRUPT) !== 0;
    const level = enabled && (this.word(Word.Status) & STATUS_OUTPUT_FULL) !== 0 ? 1 : 0;
    if (level === words[Word.InterruptLevel]) return;
    words[Word.InterruptLevel] = level;
    this.irq?.set(level === 1);
  }

  private get config(): number {
    return this.word(Word.Config) ^ CONFIG_AT_RESET;
  }

  private set config(value: number) {
    this.block.words[Word.Config] = value ^ CONFIG_AT_RESET;
  }

  private get outputPort(): number {
    return this.word(Word.OutputPort) ^ OUTPUT_PORT_AT_RESET;
  }

  private set outputPort(value: number) {
    // A20 is always open here: the bit is kept for those who read it back.
    this.block.words[Word.OutputPort] = value ^ OUTPUT_PORT_AT_RESET;
    if ((value & OUTPUT_PORT_NO_RESET) === 0) this.reset();
  }

  private reset(): void {
    this.block.words[Word.OutputPort] = 0;
    this.control.request(MachineRequest.Reset);
  }

  private writeCommand(command: number): void {
    const { words } = this.block;
    words[Word.Status] = this.word(Word.Status) | STATUS_COMMAND;
    words[Word.Command] = 0;
    // Pulse output lines: a 0 in bit 0 pulses the reset line.
    if (command >= 0xf0 && (command & 1) === 0) this.reset();
    switch (command) {
      case 0x20: // read command byte
        this.answer(this.config);
        break;
      case 0x60: // write command byte
      case 0xd1: // write output port
      case 0xd2: // write keyboard output buffer
      case 0xd3: // write mouse output buffer
      case 0xd4: // write to the mouse
        words[Word.Command] = command;
        break;
      case 0xa7: // disable mouse port
        this.config |= CONFIG_MOUSE_DISABLED;
        break;
      case 0xa8: // enable mouse port; without one, the bit stays: drivers take that as "no mouse"
        break;
      case 0xa9: // test mouse port
      case 0xab: // test keyboard port
        this.answer(PORT_CLOCK_STUCK_LOW);
        break;
      case 0xaa: // self test
        words[Word.Status] = this.word(Word.Status) | STATUS_SYSTEM;
        this.answer(SELF_TEST_PASSED);
        break;
      case 0xad: // disable keyboard
        this.config |= CONFIG_KEYBOARD_DISABLED;
        break;
      case 0xae: // enable keyboard
        this.config &= ~CONFIG_KEYBOARD_DISABLED;
        break;
      case 0xc0: // read input port
        this.answer(0x80);
        break;
      case 0xd0: // read output port
        this.answer(this.outputPort);
        break;
      case 0xdd: // close A20
        this.outputPort &= ~OUTPUT_PORT_A20;
        break;
      case 0xdf: // open A20
        this.outputPort |= OUTPUT_PORT_A20;
        break;
      default:
      // Unknown commands do nothing.
    }
  }

  /** A parameter of the command before, or a byte for the keyboard that is not there. */
  private writeData(value: number): void {
    const { words } = this.block;
    const command = this.word(Word.Command);
    words[Word.Command] = 0;
    words[Word.Status] = this.word(Word.Status) & ~STATUS_COMMAND;
    switch (command) {
      case 0x60:
        this.config = value;
        words[Word.Status] =
          (this.word(Word.Status) & ~STATUS_SYSTEM) | (value & CONFIG_SYSTEM ? STATUS_SYSTEM : 0);
        this.updateInterrupt();
        break;
      case 0xd1:
        this.outputPort = value;
        break;
      case 0xd2:
      case 0xd3: // comes back, but not marked as from the mouse: there is none
        this.answer(value);
        break;
      default:
        this.answer(RESEND, STATUS_TIMEOUT);
    }
  }
}
