/** What a guest prints, kept for the questions of a test and for its report. */
import type { Readable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';

/** Characters that are kept; a guest that floods its console pushes out what it said before. */
const KEPT = 4 << 20;
const TAIL_LINES = 40;

/** Why a wait has ended without its text. */
export class ConsoleError extends Error {
  override readonly name = 'ConsoleError';
}

interface Waiter {
  readonly pattern: RegExp | string;
  readonly settle: (match: string[] | ConsoleError) => void;
}

/** The text of one console. */
export class ConsoleLog {
  private kept = '';
  /** Where in the kept text the next question begins: after what the last one has found. */
  private position = 0;
  private ended = false;
  private readonly waiters = new Set<Waiter>();

  constructor(output: Readable) {
    const decoder = new TextDecoder();
    output.on('data', (bytes: Uint8Array) => this.add(decoder.decode(bytes, { stream: true })));
    output.once('end', () => this.end());
  }

  /** Everything that was printed, as far back as it is kept. */
  get text(): string {
    return this.kept;
  }

  /** The last lines, as people read them: without control sequences. */
  tail(lines = TAIL_LINES): string {
    const all = stripVTControlCharacters(this.kept).replace(/\r/g, '').trimEnd().split('\n');
    return all.slice(-lines).join('\n');
  }

  /**
   * Waits for a text after the one that was found last; resolves with the match.
   * @param milliseconds how long to wait
   * @throws ConsoleError when it does not come, or the console ends before
   */
  waitFor(pattern: RegExp | string, milliseconds: number): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        pattern,
        settle: (match) => {
          clearTimeout(timer);
          this.waiters.delete(waiter);
          if (match instanceof ConsoleError) reject(match);
          else resolve(match);
        },
      };
      const timer = setTimeout(() => {
        waiter.settle(this.missing(pattern, `not printed within ${milliseconds} ms`));
      }, milliseconds);
      this.waiters.add(waiter);
      this.look(waiter);
    });
  }

  private missing(pattern: RegExp | string, why: string): ConsoleError {
    return new ConsoleError(`${String(pattern)}: ${why}; the console's end:\n${this.tail()}`);
  }

  private add(text: string): void {
    this.kept += text;
    const excess = this.kept.length - KEPT;
    if (excess > 0) {
      this.kept = this.kept.slice(excess);
      this.position = Math.max(0, this.position - excess);
    }
    for (const waiter of [...this.waiters]) this.look(waiter);
  }

  private end(): void {
    this.ended = true;
    for (const waiter of [...this.waiters]) this.look(waiter);
  }

  private look(waiter: Waiter): void {
    const { pattern } = waiter;
    const rest = this.kept.slice(this.position);
    if (typeof pattern === 'string') {
      const at = rest.indexOf(pattern);
      if (at >= 0) {
        this.position += at + pattern.length;
        waiter.settle([pattern]);
        return;
      }
    } else {
      const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(rest);
      if (match !== null) {
        this.position += match.index + match[0].length;
        waiter.settle(match);
        return;
      }
    }
    if (this.ended) waiter.settle(this.missing(pattern, 'the guest has ended without printing it'));
  }
}
