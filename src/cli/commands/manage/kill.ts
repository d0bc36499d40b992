import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

export const killCommand: CommandModule<object, NamesArguments> = {
  command: 'kill <vm..>',
  describe: 'Switch VMs off at once',
  builder: (yargs) => vmNames(yargs).example('vexit kill web', 'do not ask its guest'),
  handler: async ({ vm }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    await eachVm(vm, async (one) => {
      await one.kill();
      return undefined;
    });
  },
};
