import type { CommandModule } from 'yargs';
import type { StatsArguments } from '../../manage/show-stats.js';

export const statsCommand: CommandModule<object, StatsArguments> = {
  command: 'stats [vm..]',
  describe: 'Show what VMs take of the host: processors, memory, disks, networks, exits',
  builder: (yargs) =>
    yargs
      .positional('vm', { type: 'string', array: true, describe: 'Names; default: all that run' })
      .option('stream', {
        type: 'boolean',
        default: true,
        describe: 'Renew it every second; --no-stream shows one second',
      })
      .option('json', { type: 'boolean', describe: 'Print JSON, one array a line' })
      .option('format', { type: 'string', describe: 'Template, such as {{.name}} {{.cpuPercent}}' })
      .example('vexit stats --no-stream', 'one second of all VMs'),
  handler: async (args) => {
    const { showStats } = await import('../../manage/show-stats.js');
    await showStats(args);
  },
};
