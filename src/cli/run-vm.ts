/** `vexit run`: makes the VM, connects it to this terminal and ends with its status. */
import os from 'node:os';
import type { AgentChannel, CommandExit } from '../agent/agent-channel.js';
import { EXIT_STATUS, type ExitReport } from '../machine/exit-report.js';
import { VirtualMachine } from '../machine/virtual-machine.js';
import { VexitError } from '../util/errors.js';
import type { RunArguments } from './commands/run.js';
import { connectConsole, type ConsoleConnection } from './console-connection.js';
import { runOptions } from './run-options.js';

/** How long the guest has to power off after its command has ended; it is switched off then. */
const POWER_OFF_GRACE_MS = 2000;
/** How much of the console is shown when a command could not be run. */
const TAIL_BYTES = 2048;

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The last console output, kept so that a guest that dies can be understood. */
function keepTail(vm: VirtualMachine): () => string {
  let tail = Buffer.alloc(0);
  vm.serial.output.on('data', (bytes: Buffer) => {
    tail = Buffer.concat([tail, bytes]).subarray(-TAIL_BYTES);
  });
  return () => tail.toString('utf8');
}

function commandStatus({ kind, value }: CommandExit): number {
  if (kind === 'exited') return value;
  if (kind === 'signalled') return 128 + value;
  return value === os.constants.errno.ENOENT ? EXIT_STATUS.notFound : EXIT_STATUS.notExecutable;
}

/** Connects the command's streams; resolves with its exit status, or undefined when it is lost. */
function connectCommand(agent: AgentChannel, vm: VirtualMachine): Promise<number | undefined> {
  process.stdin.pipe(agent.stdin);
  agent.stdin.on('error', () => process.stdin.unpipe(agent.stdin));
  agent.stdout.pipe(process.stdout, { end: false });
  agent.stderr.pipe(process.stderr, { end: false });
  return new Promise((resolve) => {
    agent.once('exit', (exit) => {
      if (exit.kind === 'not-started') {
        const name = Object.entries(os.constants.errno).find(([, value]) => value === exit.value);
        say(`vexit: the command cannot be run in the guest: ${name?.[0] ?? exit.value}`);
      }
      const timer = setTimeout(() => void vm.stop(), POWER_OFF_GRACE_MS);
      void vm.wait().then(() => {
        clearTimeout(timer);
        resolve(commandStatus(exit));
      });
    });
    void vm.wait().then(() => setImmediate(() => resolve(undefined)));
  });
}

/** Signals that end this process end the VM first. Returns the status once one has come. */
function stopOnSignals(vm: VirtualMachine): () => number | undefined {
  let status: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // A second signal does not wait for anything.
      if (status !== undefined) process.exit(status);
      status = 128 + os.constants.signals[signal];
      void vm.stop();
    });
  }
  return () => status;
}

/** Waits until what has been written to standard output and error has left the process. */
async function flushOutput(): Promise<void> {
  const flush = (stream: NodeJS.WriteStream): Promise<void> =>
    new Promise((resolve) => {
      if (stream.destroyed || !stream.writable) resolve();
      else stream.write('', () => resolve());
    });
  await Promise.all([flush(process.stdout), flush(process.stderr)]);
}

function describeEnd(report: ExitReport, args: RunArguments, quiet: boolean): void {
  if (args.json === true) say(JSON.stringify(report));
  else if (!quiet || report.reason !== 'power-off') say(`vexit: ${report.message}`);
  if (report.dump !== undefined && report.dump !== '' && args.json !== true) say(report.dump);
}

/** Runs the VM that the arguments describe; sets the exit status of the process. */
export async function runVm(args: RunArguments): Promise<void> {
  const command = args['--'];
  if (command?.length === 0) {
    throw new VexitError('ERR_CONFIG', 'no command after --', 'write the command, or leave -- out');
  }
  const options = runOptions(args);
  const vm = await VirtualMachine.create(options);
  const interactive = command === undefined;
  if (interactive || args.verbose === true) for (const note of vm.notes) say(`vexit: ${note}`);
  if (args.verbose === true) vm.on('note', (note) => say(`vexit: ${note}`));

  const signalled = stopOnSignals(vm);
  let timedOut = false;
  if (args.timeout !== undefined) {
    setTimeout(() => {
      timedOut = true;
      void vm.stop();
    }, args.timeout * 1000).unref();
  }
  if (args.firmwareLog === true) vm.firmwareLog.pipe(process.stderr, { end: false });
  if (args.debugConsole === true) vm.debugConsole.pipe(process.stderr, { end: false });

  const tail = interactive ? undefined : keepTail(vm);
  const connection: ConsoleConnection = connectConsole(vm, interactive);
  const commandDone =
    interactive || vm.agent === undefined ? undefined : connectCommand(vm.agent, vm);
  try {
    await vm.start();
    const report = await vm.wait();
    const status = await commandDone;
    connection.restore();
    const known = status !== undefined || connection.quit;
    const ended = signalled() ?? (timedOut ? EXIT_STATUS.timeout : undefined);
    if (timedOut) say(`vexit: stopped after ${args.timeout} s`);
    else if (!known) describeEnd(report, args, !process.stderr.isTTY && args.verbose !== true);
    if (!interactive && status === undefined && ended === undefined) {
      say(`vexit: the guest ended before its command; its last console output:\n${tail?.() ?? ''}`);
    }
    const fallback = interactive || report.status !== 0 ? report.status : EXIT_STATUS.commandLost;
    process.exitCode = ended ?? status ?? fallback;
  } finally {
    connection.restore();
    await vm.stop();
    await flushOutput();
  }
  process.exit();
}
