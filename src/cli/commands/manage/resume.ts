import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

export const resumeCommand: CommandModule<object, NamesArguments> = {
  command: 'resume <vm..>',
  describe: 'Let paused VMs go on',
  builder: (yargs) => vmNames(yargs).example('vexit resume web', 'its guest goes on where it was'),
  handler: async ({ vm }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    await eachVm(vm, async (one) => {
      await one.resume();
      return undefined;
    });
  },
};
