import type { CommandModule } from 'yargs';
import { vmName, type NameArguments } from './names.js';

interface LogsArguments extends NameArguments {
  readonly follow: boolean | undefined;
  readonly since: string | undefined;
  readonly tail: string | undefined;
}

export const logsCommand: CommandModule<object, LogsArguments> = {
  command: 'logs <vm>',
  describe: 'Print what the console of a VM, or its command, has said',
  builder: (yargs) =>
    vmName(yargs)
      .option('follow', { type: 'boolean', alias: 'f', describe: 'Go on until the VM has ended' })
      .option('since', { type: 'string', describe: 'From this time on: 10m, 1h30m, or a date' })
      .option('tail', { type: 'string', alias: 'n', describe: 'Only so many lines at the end' })
      .example('vexit logs -f --tail 10 web', 'the last lines, and what follows'),
  handler: async ({ vm, follow, since, tail }) => {
    const { printLogs } = await import('../../manage/print-logs.js');
    await printLogs(vm, { follow, since, tail });
  },
};
