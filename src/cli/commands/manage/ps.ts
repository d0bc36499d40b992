import type { CommandModule } from 'yargs';
import type { PsArguments } from '../../manage/list-vms.js';

export const psCommand: CommandModule<object, PsArguments> = {
  command: ['ps', 'ls'],
  describe: 'List VMs',
  builder: (yargs) =>
    yargs
      .option('all', { type: 'boolean', alias: 'a', describe: 'Also those that do not run' })
      .option('quiet', { type: 'boolean', alias: 'q', describe: 'Only names' })
      .option('filter', {
        type: 'string',
        array: true,
        nargs: 1,
        alias: 'f',
        describe: 'status=, health=, name=PART, project=, exited=STATUS; may be repeated',
      })
      .option('json', { type: 'boolean', describe: 'Print JSON' })
      .option('format', { type: 'string', describe: 'Template, such as {{.name}}\\t{{.status}}' })
      .example('vexit ps -a', 'all VMs')
      .example('vexit ps -q --filter status=exited', 'names of those that have ended'),
  handler: async (args) => {
    const { printVms } = await import('../../manage/list-vms.js');
    await printVms(args);
  },
};
