import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

export const pauseCommand: CommandModule<object, NamesArguments> = {
  command: 'pause <vm..>',
  describe: 'Stop the processors of VMs',
  builder: (yargs) =>
    vmNames(yargs).example('vexit pause web', 'its guest does not run, and loses nothing'),
  handler: async ({ vm }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    await eachVm(vm, async (one) => {
      await one.pause();
      return undefined;
    });
  },
};
