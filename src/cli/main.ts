/** `vexit`: finds the command and turns errors into one line and an exit status. */
import yargs from 'yargs';
import { EXIT_STATUS } from '../machine/exit-report.js';
import { VexitError, errorMessage } from '../util/errors.js';
import { completionCommand } from './commands/completion.js';
import { doctorCommand } from './commands/doctor.js';
import { guestCommand } from './commands/guest.js';
import { runCommand } from './commands/run.js';
import { version } from './version.js';

export { milestones } from './milestones.js';

/** What a person typed wrong, as opposed to what went wrong later. */
class UsageError extends Error {}

function parser(args: readonly string[]): ReturnType<typeof yargs> {
  return yargs(args as string[])
    .scriptName('vexit')
    .usage('$0 <command> [options]\n\nA KVM virtual machine monitor.')
    .command(runCommand)
    .command(doctorCommand)
    .command(guestCommand)
    .command(completionCommand)
    .version(version())
    .help()
    .alias({ help: 'h', version: 'V' })
    .parserConfiguration({ 'populate--': true, 'duplicate-arguments-array': true })
    .strict()
    .demandCommand(1, 'say what to do: vexit run boots Linux to a shell')
    .recommendCommands()
    .completion('__complete', false)
    .showHelpOnFail(false)
    .exitProcess(false)
    .wrap(Math.min(100, process.stdout.columns || 100))
    .epilogue('Exit statuses: docs/exit-status.md. The host is checked by: vexit doctor')
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? new UsageError(message ?? 'wrong usage');
    });
}

/**
 * Before it waits for a command yargs lays out that command's help text, in case it fails, which
 * takes longer than all its parsing; this parser never shows help on failure.
 */
function skipHelpText(instance: ReturnType<typeof yargs>): ReturnType<typeof yargs> {
  const { getInternalMethods } = instance as unknown as {
    getInternalMethods?: () => { getUsageInstance?: () => { cacheHelpMessage?: () => void } };
  };
  const usage = getInternalMethods?.call(instance).getUsageInstance?.();
  if (usage?.cacheHelpMessage !== undefined) usage.cacheHelpMessage = () => undefined;
  return instance;
}

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

/** Whoever read our output has gone away: nothing more to say. */
function exitOnBrokenPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_STATUS.internalError);
  });
}

async function main(): Promise<void> {
  exitOnBrokenPipe(process.stdout);
  exitOnBrokenPipe(process.stderr);
  try {
    await skipHelpText(parser(process.argv.slice(2))).parseAsync();
  } catch (error) {
    process.stderr.write(`vexit: ${describe(error).replaceAll('\n', ' ')}\n`);
    process.exitCode = statusOf(error);
  }
}

void main();
