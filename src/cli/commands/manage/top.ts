import type { CommandModule } from 'yargs';
import { vmName, type NameArguments } from './names.js';

interface TopArguments extends NameArguments {
  readonly json: boolean | undefined;
}

export const topCommand: CommandModule<object, TopArguments> = {
  command: 'top <vm>',
  describe: "Show the threads of a VM's process and how much they run",
  builder: (yargs) =>
    vmName(yargs)
      .option('json', { type: 'boolean', describe: 'Print JSON' })
      .example('vexit top web', 'vcpu0, vcpu1..., io: the threads of a VM'),
  handler: async ({ vm, json }) => {
    const { showThreads } = await import('../../manage/show-threads.js');
    await showThreads(vm, json === true);
  },
};
