/** Runs the programs a build needs. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { VexitError } from '../util/errors.js';
import type { BuildLog } from './log.js';

/** How to run a program. */
export interface RunOptions {
  readonly signal: AbortSignal;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Gets every line of output. */
  readonly log?: BuildLog;
  readonly onLine?: (line: string) => void;
  /** Exit statuses that are a success; default 0 alone. */
  readonly statuses?: readonly number[];
  /** What ends the program when the signal is aborted; default SIGTERM. */
  readonly stopWith?: NodeJS.Signals;
  /**
   * In a process group of its own, where a terminal's Ctrl-C does not reach it. An abort ends all
   * of the group.
   */
  readonly ownGroup?: boolean;
}

/**
 * Runs a program to its successful end and gives its standard output.
 * @throws VexitError ERR_GUEST_BUILD with the last lines of output, or the signal's reason
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<string> {
  const { signal, log, onLine, statuses = [0], stopWith = 'SIGTERM', ownGroup = false } = options;
  signal.throwIfAborted();
  log?.line(`$ ${[program, ...args].join(' ')}`);
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: ownGroup,
  });
  const stop = (): void => {
    // A group without a member left is no group: then there is nothing to stop.
    if (ownGroup && child.exitCode === null && child.pid !== undefined)
      process.kill(-child.pid, stopWith);
    else child.kill(stopWith);
  };
  signal.addEventListener('abort', stop, { once: true });
  const stdout: string[] = [];
  const tail: string[] = [];
  const collect = (line: string): void => {
    log?.line(line);
    onLine?.(line);
    tail.push(line);
    if (tail.length > 12) tail.shift();
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    stdout.push(line);
    if (stdout.length > 20_000) stdout.shift();
    collect(line);
  });
  createInterface({ input: child.stderr }).on('line', collect);
  const failure = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, killed) => {
      resolve(
        code !== null && statuses.includes(code) ? undefined : (killed ?? `status ${code ?? 1}`),
      );
    });
  });
  signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  if (failure !== undefined) {
    const where = log === undefined ? undefined : `the whole output is in ${log.file}`;
    const lines = tail.map((line) => `\n  ${line}`).join('');
    throw new VexitError('ERR_GUEST_BUILD', `${program} failed (${failure})${lines}`, where);
  }
  return stdout.join('\n');
}

/** True when the program runs and succeeds. */
export async function succeeds(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await run(program, args, { signal });
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
