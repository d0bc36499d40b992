/** `vexit exec`: a program in the guest of a VM, on this terminal or these pipes. */
import os from 'node:os';
import type { ExecOptions, GuestExit, GuestProcess } from '../../agent/guest-process.js';
import { EXIT_STATUS } from '../../machine/exit-report.js';
import { Vexit } from '../../manage/vexit.js';
import { VexitError, systemCode } from '../../util/errors.js';
import type { ExecArguments } from '../commands/manage/exec.js';
import { DEFAULT_TERMINAL_SIZE, terminalSize } from '../console-connection.js';
import { reportError } from '../error-report.js';
import { flushOutput } from '../flush-output.js';
import { environment } from '../run-options.js';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

function execOptions(args: ExecArguments): ExecOptions {
  const { env = [], workdir, user, tty } = args;
  const term = process.env.TERM;
  const terminal = tty === true && term !== undefined ? { TERM: term } : {};
  return {
    env: { ...terminal, ...environment(env) },
    ...(workdir === undefined ? {} : { cwd: workdir }),
    ...(user === undefined ? {} : { user }),
    ...(tty === true ? { tty: terminalSize() ?? DEFAULT_TERMINAL_SIZE } : {}),
  };
}

/** As a shell says it. */
function exitStatus({ status, signal }: GuestExit): number {
  if (signal === null) return status ?? EXIT_STATUS.internalError;
  return 128 + (typeof signal === 'number' ? signal : os.constants.signals[signal]);
}

/** 126 and 127 for a program that could not be started, 125 for whatever else is wrong. */
function failureStatus(error: unknown): number {
  const code = error instanceof VexitError ? systemCode(error.cause) : undefined;
  if (code === undefined || !(error instanceof VexitError) || error.code !== 'ERR_AGENT') {
    return EXIT_STATUS.internalError;
  }
  return code === 'ENOENT' ? EXIT_STATUS.notFound : EXIT_STATUS.notExecutable;
}

/** Signals to this process are the program's; the second one of a kind ends this process too. */
function forwardSignals(program: GuestProcess): void {
  for (const signal of FORWARDED) {
    let before = false;
    process.on(signal, () => {
      if (before) process.exit(128 + os.constants.signals[signal]);
      before = true;
      program.kill(signal);
    });
  }
}

/** Standard input as keys, all of which are the program's: its terminal makes signals of them. */
function useRawTerminal(): void {
  const { stdin } = process;
  stdin.setRawMode(true);
  process.on('exit', () => stdin.setRawMode(false));
}

function connectInput(program: GuestProcess, { interactive, tty }: ExecArguments): void {
  const { stdin } = process;
  // Who has left does not read what is still typed.
  program.stdin.on('error', () => stdin.unpipe(program.stdin));
  if (interactive !== true) {
    if (tty !== true) program.stdin.end();
    return;
  }
  if (tty === true && stdin.isTTY) useRawTerminal();
  stdin.on('error', () => program.stdin.end());
  stdin.pipe(program.stdin);
}

function followSize(program: GuestProcess): void {
  process.stdout.on('resize', () => {
    const size = terminalSize();
    if (size !== undefined) program.resize(size.cols, size.rows);
  });
}

/** Runs it to its end. */
async function runProgram(args: ExecArguments): Promise<number> {
  const argv = args['--'] ?? [];
  if (argv.length === 0) {
    throw new VexitError(
      'ERR_CONFIG',
      'no program to run',
      `write it behind --: vexit exec ${args.vm} -- ls`,
    );
  }
  const options = execOptions(args);
  const agent = await new Vexit().get(args.vm).agent();
  const program = await agent.exec(argv, options);
  forwardSignals(program);
  connectInput(program, args);
  if (args.tty === true) followSize(program);
  program.stdout.pipe(process.stdout, { end: false });
  program.stderr.pipe(process.stderr, { end: false });
  const read = [program.stdout, program.stderr].map(
    (stream) => new Promise((resolve) => stream.once('close', resolve)),
  );
  const status = exitStatus(await program.wait());
  await Promise.all(read);
  return status;
}

/** The same; ends this process with the program's exit status. */
export async function execIn(args: ExecArguments): Promise<void> {
  let status: number;
  try {
    status = await runProgram(args);
  } catch (error) {
    if (process.stdin.isTTY && process.stdin.isRaw) process.stdin.setRawMode(false);
    reportError(error);
    status = failureStatus(error);
  }
  await flushOutput();
  // Standard input may be a terminal or a pipe that never ends: nothing waits for it now.
  process.exit(status);
}
