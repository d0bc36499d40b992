import type { CommandModule } from 'yargs';
import { vmName, type NameArguments } from './names.js';

export const attachCommand: CommandModule<object, NameArguments> = {
  command: 'attach <vm>',
  describe: 'Connect the terminal to the console of a VM; Ctrl-a d leaves it',
  builder: (yargs) => vmName(yargs).example('vexit attach web', 'type into its console'),
  handler: async ({ vm }) => {
    const { attachTo } = await import('../../manage/attach-console.js');
    await attachTo(vm);
  },
};
