import type { CommandModule } from 'yargs';
import { FILE_OPTION } from './project-options.js';
import type { UpArguments } from '../../manage/bring-up.js';

export const upCommand: CommandModule<object, UpArguments> = {
  command: 'up [vm..]',
  describe: 'Start the VMs that a file describes, in the order of their dependencies',
  builder: (yargs) =>
    yargs
      .positional('vm', {
        type: 'string',
        array: true,
        describe: 'Only these VMs of the file, and what they depend on',
      })
      .option('file', FILE_OPTION)
      .option('project', {
        type: 'string',
        alias: 'p',
        describe: 'Name instead of that in the file',
      })
      .option('detach', { type: 'boolean', alias: 'd', describe: 'End when they run' })
      .option('wait', {
        type: 'boolean',
        describe: 'Wait until all with a health check are healthy',
      })
      .option('remove-orphans', {
        type: 'boolean',
        describe: 'Remove VMs of the project that are not in the file',
      })
      .option('json', { type: 'boolean', describe: 'Print what was done as JSON; with -d' })
      .example('vexit up -d -f vms.yaml', 'in the background')
      .example('vexit up', 'with their logs; Ctrl-C stops them') as never,
  handler: async (args) => {
    const { bringUp } = await import('../../manage/bring-up.js');
    await bringUp(args);
  },
};
