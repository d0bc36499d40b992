/** A shell in the default guest that a test types commands into, one after the other. */
import type { AgentChannel } from 'vexit';

/** What a command said and how it ended. */
export interface ShellResult {
  readonly output: string;
  readonly status: number;
}

/** Drives `sh` that the agent runs with pipes: the command option has to be `sh`. */
export class GuestShell {
  private received = '';
  private wake: () => void = () => undefined;
  private count = 0;

  constructor(private readonly agent: AgentChannel) {
    const take = (bytes: Buffer): void => {
      this.received += bytes.toString();
      this.wake();
    };
    agent.stdout.on('data', take);
    agent.stderr.on('data', take);
  }

  /** Runs a command, and returns its output and errors without the last newline. */
  async try(command: string): Promise<ShellResult> {
    const mark = `:end ${this.count++}:`;
    this.agent.stdin.write(`{ ${command}\n} </dev/null 2>&1; echo "${mark}$?."\n`);
    const pattern = new RegExp(`${mark}(\\d+)\\.\\n`);
    let found: RegExpExecArray | null;
    while ((found = pattern.exec(this.received)) === null) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    const output = this.received.slice(0, found.index).replace(/\n$/, '');
    this.received = this.received.slice(found.index + found[0].length);
    return { output, status: Number(found[1]) };
  }

  /** Runs a command that has to succeed. @throws Error when it does not */
  async run(command: string): Promise<string> {
    const { output, status } = await this.try(command);
    if (status !== 0) throw new Error(`${command}: status ${status}: ${output}`);
    return output;
  }
}
