/** `vexit run`: makes the VM, connects it to this terminal and ends with its status. */
import os from 'node:os';
import type { AgentChannel, CommandExit } from '../agent/agent-channel.js';
import { rootDisk } from '../boot/root-disk.js';
import { commandStatus } from '../machine/command-status.js';
import { bootsDefaultGuest, guestSource, type VirtualMachineOptions } from '../machine/config.js';
import { EXIT_STATUS, type ExitReport } from '../machine/exit-report.js';
import { VirtualMachine } from '../machine/virtual-machine.js';
import type { ForegroundVm } from '../manage/foreground.js';
import type { ResourceControl } from '../manage/resources/resource-control.js';
import { VexitError } from '../util/errors.js';
import { exitOnBrokenPipe } from './broken-pipe.js';
import type { RunArguments } from './commands/run.js';
import { connectConsole, type ConsoleConnection } from './console-connection.js';
import { flushOutput } from './flush-output.js';
import { healthCheck } from './health-options.js';
import { milestones } from './milestones.js';
import { resourceLimits } from './resource-options.js';
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
  vm.console.output.on('data', (bytes: Buffer) => {
    tail = Buffer.concat([tail, bytes]).subarray(-TAIL_BYTES);
  });
  return () => tail.toString('utf8');
}

/** The status of a shell or command that could not be started; undefined of one that was. */
function notStarted(exit: CommandExit | undefined): number | undefined {
  if (exit?.kind !== 'not-started' && exit?.kind !== 'no-root') return undefined;
  return commandStatus(exit);
}

function errorName(errno: number): string {
  const name = Object.entries(os.constants.errno).find(([, value]) => value === errno);
  return name?.[0] ?? String(errno);
}

/** Why nothing runs in the guest, if that is so. */
function explainExit({ kind, value }: CommandExit, options: VirtualMachineOptions): void {
  if (kind === 'not-started') {
    const program = options.command === undefined ? 'shell' : 'command';
    say(`vexit: the ${program} cannot be run in the guest: ${errorName(value)}`);
  } else if (kind === 'no-root') {
    const { disks = [] } = options;
    const disk = disks[rootDisk(disks) ?? -1];
    const name = disk !== undefined && 'path' in disk ? `disk ${disk.path}` : 'the root disk';
    say(
      `vexit: ${name} cannot be mounted as the root file system: ${errorName(value)}: make one ` +
        'with "vexit guest disk", or write --disk PATH,data for a disk that is none',
    );
  }
}

/** Connects the command's streams; resolves with its exit status, or undefined when it is lost. */
function connectCommand(agent: AgentChannel, vm: VirtualMachine): Promise<number | undefined> {
  process.stdin.pipe(agent.stdin);
  agent.stdin.on('error', () => process.stdin.unpipe(agent.stdin));
  agent.stdout.pipe(process.stdout, { end: false });
  agent.stderr.pipe(process.stderr, { end: false });
  return new Promise((resolve) => {
    agent.once('exit', (exit) => {
      const timer = setTimeout(() => void vm.stop(), POWER_OFF_GRACE_MS);
      void vm.wait().then(() => {
        clearTimeout(timer);
        resolve(commandStatus(exit));
      });
    });
    void vm.wait().then(() => setImmediate(() => resolve(undefined)));
  });
}

/** Ends the VM before the guest does: for signals to this process, and for --timeout. */
class EarlyEnd {
  /** Exit status, once the VM has been ended from here. */
  status: number | undefined;

  constructor(private readonly vm: VirtualMachine) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        // A second signal does not wait for anything.
        if (this.status !== undefined) process.exit(this.status);
        this.end(128 + os.constants.signals[signal]);
      });
    }
  }

  after(seconds: number): void {
    const expired = (): void => {
      say(`vexit: stopped after ${seconds} s`);
      this.end(EXIT_STATUS.timeout);
    };
    setTimeout(expired, seconds * 1000).unref();
  }

  private end(status: number): void {
    this.status = status;
    void this.vm.stop();
  }
}

function describeEnd(report: ExitReport, args: RunArguments, quiet: boolean): void {
  if (args.json === true) say(JSON.stringify(report));
  else if (!quiet || report.reason !== 'power-off') say(`vexit: ${report.message}`);
  if (report.dump !== undefined && report.dump !== '' && args.json !== true) say(report.dump);
}

/** Exit status when no command has reported one. */
function lostStatus(report: ExitReport, interactive: boolean): number {
  return interactive || report.status !== 0 ? report.status : EXIT_STATUS.commandLost;
}

/** A VM with a name can be found by it while it runs. */
async function register(
  args: RunArguments,
  options: VirtualMachineOptions,
): Promise<ForegroundVm | undefined> {
  if (args.restart !== undefined) {
    throw new VexitError('ERR_CONFIG', '--restart is for VMs in the background', 'add --detach');
  }
  if (healthCheck(args) !== undefined) {
    throw new VexitError('ERR_CONFIG', '--health is for VMs in the background', 'add --detach');
  }
  if (args.name === undefined) return undefined;
  const { ForegroundVm } = await import('../manage/foreground.js');
  return ForegroundVm.register(args.name, options, resourceLimits(args));
}

/** Limits this process, when that is asked for. */
async function limitResources(
  args: RunArguments,
  vm: VirtualMachine,
): Promise<ResourceControl | undefined> {
  const limits = resourceLimits(args);
  if (limits === undefined) return undefined;
  const { limitProcess } = await import('../manage/resources/limit-process.js');
  return limitProcess(vm, args.cpus, limits, (bytes) =>
    say(`vexit: stopped: ${Math.round(bytes / 2 ** 20)} MiB of memory are more than its limit`),
  );
}

/** Runs the VM that the arguments describe; sets the exit status of the process. */
export async function runVm(args: RunArguments): Promise<void> {
  const command = args['--'];
  if (command?.length === 0) {
    throw new VexitError('ERR_CONFIG', 'no command after --', 'write the command, or leave -- out');
  }
  const options = await runOptions(args);
  if (bootsDefaultGuest(options))
    await (await import('./prepare-guest.js')).prepareGuest(guestSource(options));
  const entry = await register(args, options);
  let vm: VirtualMachine;
  try {
    vm = await VirtualMachine.create(options);
  } catch (error) {
    await entry?.end(undefined);
    throw error;
  }
  const early = new EarlyEnd(vm);
  let connection: ConsoleConnection | undefined;
  let limits: ResourceControl | undefined;
  try {
    limits = await limitResources(args, vm);
    // The guest runs while it is being connected; until then its output waits.
    await vm.start();
    await entry?.started(vm, limits);
    exitOnBrokenPipe();
    // A shell on a pipe is a command too: see runOptions.
    const interactive = options.command === undefined;
    if (command === undefined || args.verbose === true)
      for (const note of vm.notes) say(`vexit: ${note}`);
    if (args.verbose === true) vm.on('note', (note) => say(`vexit: ${note}`));
    if (args.allowNet !== undefined || args.denyNet !== undefined)
      (await import('./denials.js')).reportDenials(vm, say);
    if (args.timeout !== undefined) early.after(args.timeout);
    if (args.firmwareLog === true) vm.firmwareLog.pipe(process.stderr, { end: false });
    if (args.debugConsole === true) vm.debugConsole.pipe(process.stderr, { end: false });

    const tail = interactive ? undefined : keepTail(vm);
    connection = connectConsole(vm, interactive);
    let agentExit: CommandExit | undefined;
    vm.command?.once('exit', (exit) => (agentExit = exit));
    const commandDone =
      interactive || vm.command === undefined ? undefined : connectCommand(vm.command, vm);
    const report = await vm.wait();
    milestones.guestEnded = true;
    const status = (await commandDone) ?? notStarted(agentExit);
    connection.restore();
    if (agentExit !== undefined) explainExit(agentExit, options);
    process.exitCode = early.status ?? status ?? lostStatus(report, interactive);
    if (early.status !== undefined || status !== undefined || connection.quit) return;
    describeEnd(report, args, !process.stderr.isTTY && args.verbose !== true);
    if (tail !== undefined) {
      say(`vexit: the guest ended before its command; its last console output:\n${tail()}`);
    }
  } finally {
    connection?.restore();
    await vm.stop();
    limits?.close();
    await entry?.end(vm.exitReport);
    await flushOutput();
    // Standard input may be a terminal or a pipe that never ends: nothing waits for it now.
    setImmediate(() => process.exit());
  }
}
