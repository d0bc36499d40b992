/** The command line by yargs: help, completion, and what is wrong with what was typed. */
import yargs from 'yargs';
import { completionCommand } from './commands/completion.js';
import { diskCommand } from './commands/disk.js';
import { doctorCommand } from './commands/doctor.js';
import { guestCommand } from './commands/guest.js';
import * as manage from './commands/manage/index.js';
import { runCommand } from './commands/run.js';
import { completeVmNames } from './complete-vm-names.js';
import { UsageError } from './usage-error.js';
import { version } from './version.js';

function parser(args: readonly string[]): ReturnType<typeof yargs> {
  return yargs(args as string[])
    .scriptName('vexit')
    .usage('$0 <command> [options]\n\nA KVM virtual machine monitor.')
    .command(runCommand)
    .command(manage.createCommand)
    .command(manage.startCommand)
    .command(manage.psCommand)
    .command(manage.logsCommand)
    .command(manage.attachCommand)
    .command(manage.execCommand)
    .command(manage.cpCommand)
    .command(manage.stopCommand)
    .command(manage.killCommand)
    .command(manage.restartCommand)
    .command(manage.pauseCommand)
    .command(manage.resumeCommand)
    .command(manage.waitCommand)
    .command(manage.rmCommand)
    .command(manage.renameCommand)
    .command(manage.inspectCommand)
    .command(manage.updateCommand)
    .command(manage.statsCommand)
    .command(manage.topCommand)
    .command(manage.portCommand)
    .command(manage.eventsCommand)
    .command(manage.upCommand)
    .command(manage.downCommand)
    .command(manage.configCommand)
    .command(manage.pruneCommand)
    .command(doctorCommand)
    .command(guestCommand)
    .command(diskCommand)
    .command(completionCommand)
    .version(version())
    .help()
    .alias({ help: 'h', version: 'V' })
    .parserConfiguration({ 'populate--': true, 'duplicate-arguments-array': true })
    .strict()
    .demandCommand(1, 'say what to do: vexit run boots Linux to a shell')
    .recommendCommands()
    .completion('__complete', false, completeVmNames)
    .showHelpOnFail(false)
    .exitProcess(false)
    .wrap(Math.min(100, process.stdout.columns || 100))
    .epilogue('Exit statuses: docs/exit-status.md. The host is checked by: vexit doctor')
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? new UsageError(message ?? 'wrong usage');
    });
}

/** Runs the command that the arguments name. */
export async function runByYargs(args: readonly string[]): Promise<void> {
  await parser(args).parseAsync();
}
