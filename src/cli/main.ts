/** `vexit`: finds the command and turns errors into one line and an exit status. */
import { exitOnBrokenPipe } from './broken-pipe.js';
import { RUN_OPTIONS, type RunArguments } from './commands/run.js';
import { reportError, statusOf } from './error-report.js';
import { parsePlain } from './plain-arguments.js';

export { milestones } from './milestones.js';

async function run(args: readonly string[]): Promise<void> {
  const plain = args[0] === 'run' ? parsePlain(args.slice(1), RUN_OPTIONS) : undefined;
  if (plain === undefined || plain.detach === true) {
    exitOnBrokenPipe();
    const { runByYargs } = await import('./parser.js');
    await runByYargs(args);
  } else {
    const { runVm } = await import('./run-vm.js');
    await runVm(plain as unknown as RunArguments);
  }
}

async function main(): Promise<void> {
  try {
    await run(process.argv.slice(2));
  } catch (error) {
    exitOnBrokenPipe();
    reportError(error);
    process.exitCode = statusOf(error);
  }
}

void main();
