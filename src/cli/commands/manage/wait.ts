import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

export const waitCommand: CommandModule<object, NamesArguments> = {
  command: 'wait <vm..>',
  describe: 'Wait until VMs have ended and print their exit statuses',
  builder: (yargs) => vmNames(yargs).example('vexit wait web', 'prints 0 when it powers off'),
  handler: async ({ vm }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    await eachVm(vm, async (one) => String((await one.wait()).status));
  },
};
