/** Takes what a VM says to its log and to everybody who is attached, and what they type to the VM. */
import type { Readable, Writable } from 'node:stream';
import type { VirtualMachine } from '../machine/virtual-machine.js';
import type { ConsoleLog } from './console-log.js';
import type { ControlStream } from './control-server.js';
import { FrameType, decodeJson, encodeJson, writeData, type Frame } from './frames.js';
import type { VmExit } from './records.js';

/** Bytes that wait for an attached reader; who is further behind misses some. */
const MAX_BACKLOG = 2 ** 20;
/** Bytes that wait for a guest that does not read: the rest is dropped, as a serial line would. */
const MAX_INPUT = 64 * 1024;

/** The streams of the VM that runs, which is another one after each restart. */
export class ConsoleHub {
  private readonly clients = new Set<ControlStream>();
  private vm: VirtualMachine | undefined;
  private input: Writable | undefined;

  constructor(private readonly log: ConsoleLog) {}

  /**
   * Connects the streams of a VM that is to be started.
   * @param extra what goes to the log besides the console
   */
  connect(vm: VirtualMachine, hasCommand: boolean, extra: readonly Readable[]): void {
    this.vm = vm;
    const command = hasCommand ? vm.command : undefined;
    this.input = command?.stdin ?? vm.console.input;
    this.input.on('error', () => undefined);
    // The console is read in any case: a guest must not wait for a reader.
    for (const stream of [vm.console.output, command?.stdout, command?.stderr, ...extra]) {
      stream?.on('data', (bytes: Buffer) => this.say(bytes));
    }
  }

  private say(bytes: Buffer): void {
    this.log.append(bytes);
    for (const { socket } of this.clients) {
      if (socket.writableLength < MAX_BACKLOG) writeData(socket, FrameType.Data, bytes);
    }
  }

  attach(stream: ControlStream): void {
    this.clients.add(stream);
    stream.socket.on('close', () => this.clients.delete(stream));
    stream.onFrame = (frame) => this.onFrame(frame);
  }

  private onFrame(frame: Frame): void {
    if (frame.type === FrameType.Data) {
      const { input } = this;
      if (input !== undefined && input.writableLength < MAX_INPUT && input.writable) {
        input.write(frame.payload);
      }
    } else if (frame.type === FrameType.Power) {
      if (this.vm?.state === 'running') this.vm.pressPowerButton();
    } else if (frame.type === FrameType.Json) {
      const { rows, cols } = decodeJson(frame);
      if (isSize(rows) && isSize(cols)) {
        this.vm?.virtioConsole?.resize(cols, rows);
        this.vm?.command?.resize(rows, cols);
      }
    }
  }

  /** Everything has been said: tells who is attached how the VM has ended. */
  end(exit: VmExit): void {
    for (const { socket } of this.clients) socket.end(encodeJson({ exit }));
  }
}

function isSize(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65536;
}
