/** Connects this process's terminal, or its pipes, to a VM's console or command. */
import { isatty } from 'node:tty';
import type { VirtualMachine } from '../machine/virtual-machine.js';
import { ESCAPE_HELP, EscapeFilter, type EscapeAction } from './escape-filter.js';

/** Ctrl-d: what ends a shell's input on a terminal line. */
const END_OF_FILE = 0x04;
const NEWLINE = 0x0a;

/** What has been connected. */
export interface ConsoleConnection {
  /** True when the person quit with the escape key. */
  readonly quit: boolean;
  /** Puts the terminal back; safe to call twice. */
  restore(): void;
}

/** Of a guest's terminal that is none on this side. */
export const DEFAULT_TERMINAL_SIZE = { rows: 24, cols: 80 };

/** The terminal's size as rows and columns, when standard output is one. */
export function terminalSize(): { rows: number; cols: number } | undefined {
  // Asked first without process.stdout: making the stream takes milliseconds, the guest waits.
  if (!isatty(1)) return undefined;
  const { rows, columns } = process.stdout;
  return { rows, cols: columns };
}

class TerminalConnection implements ConsoleConnection {
  quit = false;
  private raw = false;

  constructor(
    private readonly vm: VirtualMachine,
    private readonly toConsole: boolean,
  ) {
    const { stdin, stdout } = process;
    if (toConsole) vm.console.output.pipe(stdout, { end: false });
    if (stdin.isTTY && stdout.isTTY) this.connectTerminal();
    else if (toConsole) this.connectPipe();
  }

  /** Raw mode: every key goes to the guest but the escape key. */
  private connectTerminal(): void {
    const { stdin, stdout } = process;
    stdin.setRawMode(true);
    this.raw = true;
    process.on('exit', () => this.restore());
    stdout.on('resize', () => {
      const size = terminalSize();
      if (size !== undefined) this.resize(size.rows, size.cols);
    });
    if (!this.toConsole) return;
    process.stderr.write('vexit: Ctrl-a x quits, Ctrl-a h helps\r\n');
    const filter = new EscapeFilter((action) => this.act(action));
    stdin.on('data', (bytes: Buffer) => {
      const input = filter.filter(bytes);
      if (input.length > 0 && !this.vm.console.input.write(input)) {
        stdin.pause();
        this.vm.console.input.once('drain', () => stdin.resume());
      }
    });
  }

  /** The agent is told last: kernels before 6.16 take a console's size the wrong way round. */
  private resize(rows: number, cols: number): void {
    this.vm.virtioConsole?.resize(cols, rows);
    this.vm.command?.resize(rows, cols);
  }

  private act(action: EscapeAction): void {
    if (action === 'help') {
      process.stderr.write(`\r\n${ESCAPE_HELP}\r\n`);
    } else if (action === 'power') {
      if (this.vm.state === 'running') this.vm.pressPowerButton();
    } else {
      this.quit = true;
      void this.vm.stop();
    }
  }

  /** A file or a pipe as the console's input; its end is Ctrl-d, as a person would type it. */
  private connectPipe(): void {
    const { stdin } = process;
    const { input } = this.vm.console;
    let last = NEWLINE;
    const forward = (): void => {
      stdin.on('data', (bytes: Buffer) => {
        last = bytes.at(-1) ?? last;
        if (!input.write(bytes)) {
          stdin.pause();
          input.once('drain', () => stdin.resume());
        }
      });
      // On a line that has begun, the first Ctrl-d only ends the line.
      const end = (): void => {
        input.write(Buffer.from(last === NEWLINE ? [END_OF_FILE] : [END_OF_FILE, END_OF_FILE]));
      };
      stdin.on('end', end);
      stdin.on('error', end);
    };
    // The default guest says when its shell reads; typing earlier would be lost in its start-up.
    if (this.vm.command !== undefined) this.vm.command.once('ready', forward);
    else forward();
  }

  restore(): void {
    if (!this.raw) return;
    this.raw = false;
    process.stdin.setRawMode(false);
  }
}

/**
 * Connects standard input and output.
 * @param toConsole true for the guest's console, false when a command has the streams
 */
export function connectConsole(vm: VirtualMachine, toConsole: boolean): ConsoleConnection {
  return new TerminalConnection(vm, toConsole);
}
