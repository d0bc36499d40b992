/** `vexit`: finds the command and turns errors into one line and an exit status. */
import { EXIT_STATUS } from '../machine/exit-report.js';
import { VexitError, errorMessage } from '../util/errors.js';
import { exitOnBrokenPipe } from './broken-pipe.js';
import { RUN_OPTIONS, type RunArguments } from './commands/run.js';
import { parsePlain } from './plain-arguments.js';
import { UsageError } from './usage-error.js';

export { milestones } from './milestones.js';

/** One line that says what is wrong and what to do. */
function describe(error: unknown): string {
  if (error instanceof VexitError) {
    return error.hint === undefined ? error.message : `${error.message}: ${error.hint}`;
  }
  if (error instanceof UsageError) return `${error.message} (see vexit --help)`;
  const stack = error instanceof Error ? error.stack : undefined;
  return process.env.VEXIT_DEBUG !== undefined && stack !== undefined ? stack : errorMessage(error);
}

/** Input that cannot be used is status 2; what fails on the way is the VMM's 125. */
function statusOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_STATUS.usage;
  if (!(error instanceof VexitError)) return EXIT_STATUS.internalError;
  if (error.code === 'ERR_ABORTED') return EXIT_STATUS.interrupted;
  return error.code === 'ERR_VCPU' || error.code === 'ERR_STATE'
    ? EXIT_STATUS.internalError
    : EXIT_STATUS.usage;
}

async function run(args: readonly string[]): Promise<void> {
  const plain = args[0] === 'run' ? parsePlain(args.slice(1), RUN_OPTIONS) : undefined;
  if (plain === undefined) {
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
    process.stderr.write(`vexit: ${describe(error).replaceAll('\n', ' ')}\n`);
    process.exitCode = statusOf(error);
  }
}

void main();
