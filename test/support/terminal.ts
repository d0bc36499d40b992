/** A shell line on a real pseudo-terminal, made by script(1) of util-linux. */
import { spawn, type ChildProcess } from 'node:child_process';
import { until } from './run-guest';

/** What it runs in. */
export interface TerminalOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** How long it may take to show what is waited for. */
  readonly patienceMs?: number;
}

/** A shell line on a terminal, with what it shows. */
export class Terminal {
  text = '';
  private ended = false;
  private readonly child: ChildProcess;
  private readonly patienceMs: number;

  constructor(line: string, { cwd, env, patienceMs = 30_000 }: TerminalOptions = {}) {
    this.patienceMs = patienceMs;
    this.child = spawn('script', ['-qec', line, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env }),
    });
    this.child.stdout!.on('data', (bytes: Buffer) => (this.text += bytes.toString('latin1')));
    this.child.on('close', () => (this.ended = true));
  }

  type(keys: string): void {
    this.child.stdin!.write(keys);
  }

  async shows(text: string): Promise<void> {
    try {
      await until(text, () => this.text.includes(text), this.patienceMs);
    } catch {
      throw new Error(`the terminal does not show ${JSON.stringify(text)}: ${this.text}`);
    }
  }

  async closes(): Promise<void> {
    await until('the end', () => this.ended, 20_000);
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
