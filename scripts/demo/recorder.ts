/** A bash on a pseudo-terminal of script(1), typed into as a person would, and what it shows with times. */
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cast, CastEvent } from './cast';

const KEY_MS = 45;
const BEFORE_ENTER_MS = 350;
/** Time to read what a command printed. */
const READING_MS = 1400;
const PATIENCE_MS = 180_000;

/** A prompt with marks before it that terminals do not show: the last exit status and a prompt (OSC 133). */
const BASH_ENVIRONMENT = {
  PROMPT_COMMAND: String.raw`printf '\e]133;D;%s\a' $?`,
  PS1: String.raw`\[\e]133;A\a\]\[\e[1;32m\]$\[\e[0m\] `,
};
const PROMPT = /\]133;D;(\d+).*\]133;A/s;

export class Recorder {
  private readonly child: ChildProcess;
  private readonly start = performance.now();
  private readonly events: CastEvent[] = [];
  /** Output since the last command. */
  private shown = '';
  private ended = false;

  /**
   * @param width - columns of the terminal
   * @param height - its rows
   * @param env - the environment of bash, but for its prompt
   * @param cwd - its working directory
   */
  constructor(
    private readonly width: number,
    private readonly height: number,
    env: NodeJS.ProcessEnv,
    cwd: string,
  ) {
    const line = `stty rows ${height} columns ${width}; exec bash --noprofile --norc -i`;
    this.child = spawn('script', ['-qec', line, '/dev/null'], {
      ...{ env: { ...env, ...BASH_ENVIRONMENT }, cwd, stdio: 'pipe' },
    });
    const decoder = new TextDecoder(); // a character may come in two pieces
    this.child.stdout!.on('data', (bytes: Buffer) => {
      const text = decoder.decode(bytes, { stream: true });
      this.events.push({ time: (performance.now() - this.start) / 1000, text });
      this.shown += text;
    });
    this.child.on('close', () => (this.ended = true));
  }

  /** Types a line for a program that is not bash; waits until what it shows matches. */
  async type(line: string, answer: RegExp): Promise<void> {
    for (const key of line) {
      this.child.stdin!.write(key);
      await sleep(key === ' ' ? KEY_MS * 2 : KEY_MS);
    }
    await sleep(BEFORE_ENTER_MS);
    this.shown = '';
    this.child.stdin!.write('\r');
    await this.shows(answer);
    await sleep(READING_MS);
  }

  /** Types a command for bash; throws when it fails. */
  async run(line: string): Promise<void> {
    await this.type(line, PROMPT);
    const status = PROMPT.exec(this.shown)![1];
    if (status !== '0') throw new Error(`${line}: exit status ${String(status)}: ${this.shown}`);
  }

  /** Waits for bash's first prompt. */
  async ready(): Promise<void> {
    await this.shows(PROMPT);
    await sleep(READING_MS);
  }

  /** Ends bash; what was shown before is the recording. */
  stop(title: string): Cast {
    const events = [...this.events];
    this.child.kill('SIGKILL'); // script(1) lets others wait; bash gets SIGHUP from the kernel
    return { width: this.width, height: this.height, title, events };
  }

  private async shows(what: RegExp): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!what.test(this.shown)) {
      if (this.ended || performance.now() > end) {
        throw new Error(`the terminal does not show ${String(what)}: ${this.shown}`);
      }
      await sleep(20);
    }
  }
}
