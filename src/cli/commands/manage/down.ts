import type { CommandModule } from 'yargs';
import { FILE_OPTION } from './project-options.js';
import type { DownArguments } from '../../manage/bring-down.js';

export const downCommand: CommandModule<object, DownArguments> = {
  command: 'down',
  describe: 'Stop and remove the VMs of "vexit up"',
  builder: (yargs) =>
    yargs
      .option('file', FILE_OPTION)
      .option('project', {
        type: 'string',
        alias: 'p',
        describe: 'Name of the project; no file is needed then',
      })
      .option('time', {
        type: 'number',
        alias: 't',
        describe: 'Seconds that guests have to power off; default: what the file says, or 10',
      })
      .option('json', { type: 'boolean', describe: 'Print what was removed as JSON' })
      .example('vexit down -f vms.yaml', 'as in the file')
      .example('vexit down -p shop -t 0', 'by its name, and at once'),
  handler: async (args) => {
    const { bringDown } = await import('../../manage/bring-down.js');
    await bringDown(args);
  },
};
