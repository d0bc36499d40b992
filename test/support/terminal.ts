/** A shell line on a real pseudo-terminal, made by script(1) of util-linux. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { until } from './run-guest';

/** How it is run. */
export interface TerminalOptions {
  /** Starts a program with pipes. */
  readonly start?: (argv: readonly string[]) => ChildProcess;
  /** How long it may take to show what is waited for. */
  readonly patienceMs?: number;
}

function startHere([program = '', ...args]: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: 'pipe' });
}

/** A shell line on a terminal, with what it shows. */
export class Terminal {
  text = '';
  private ended = false;
  private readonly child: ChildProcess;
  private readonly patienceMs: number;

  constructor(line: string, { start = startHere, patienceMs = 30_000 }: TerminalOptions = {}) {
    this.patienceMs = patienceMs;
    this.child = start(['script', '-qec', line, '/dev/null']);
    this.child.stdout!.on('data', (bytes: Buffer) => (this.text += bytes.toString('latin1')));
    this.child.on('close', () => (this.ended = true));
  }

  type(keys: string): void {
    this.child.stdin!.write(keys);
  }

  /** Waits for text; of a pattern, line ends count as one newline, whoever added carriage returns. */
  async shows(what: string | RegExp, ms = this.patienceMs): Promise<void> {
    const isThere = (): boolean =>
      typeof what === 'string'
        ? this.text.includes(what)
        : what.test(this.text.replace(/\r*\n/g, '\n'));
    await until(String(what), () => isThere() || this.ended, ms).catch(() => undefined);
    if (isThere()) return;
    throw new Error(`the terminal does not show ${String(what)}: ${this.text}`);
  }

  /** Another size, as a window that is dragged gets it; the line has to have run `tty`. */
  resize(rows: number, columns: number): void {
    const device = /\/dev\/pts\/\d+/.exec(this.text)![0];
    execFileSync('stty', ['-F', device, 'rows', String(rows), 'columns', String(columns)]);
  }

  async closes(): Promise<void> {
    await until('the end', () => this.ended, 20_000);
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
