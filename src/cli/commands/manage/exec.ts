import type { Argv, CommandModule } from 'yargs';
import { vmName } from './names.js';

function builder(yargs: Argv) {
  return vmName(yargs)
    .usage(
      '$0 exec [options] <vm> -- command [argument...]\n\nRuns a program in the guest of a VM.',
    )
    .option('interactive', {
      type: 'boolean',
      alias: 'i',
      describe: 'Let the program read standard input',
    })
    .option('tty', { type: 'boolean', alias: 't', describe: 'Give the program a terminal' })
    .option('env', {
      type: 'string',
      array: true,
      nargs: 1,
      alias: 'e',
      describe: 'NAME=VALUE for the program',
    })
    .option('workdir', { type: 'string', alias: 'w', describe: 'Working directory; default /' })
    .option('user', {
      type: 'string',
      alias: 'u',
      describe: 'name, name:group, uid or uid:gid; default root',
    })
    .example('vexit exec -it web -- sh', 'a shell on your terminal')
    .example('vexit exec web -- cat /etc/hostname', 'a program, with its exit status');
}

/** What yargs makes of the options of `vexit exec`. */
export type ExecArguments = Awaited<ReturnType<typeof builder>['argv']> & { '--'?: string[] };

export const execCommand: CommandModule<object, ExecArguments> = {
  command: 'exec <vm>',
  describe: 'Run a program in the guest of a VM',
  builder: builder,
  handler: async (args) => {
    const { execIn } = await import('../../manage/exec-program.js');
    await execIn(args);
  },
};
