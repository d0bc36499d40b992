import type { CommandModule } from 'yargs';
import { graceMs, timeOption, type TimeArguments } from './grace.js';
import { vmNames, type NamesArguments } from './names.js';

export const stopCommand: CommandModule<object, NamesArguments & TimeArguments> = {
  command: 'stop <vm..>',
  describe: 'Ask guests to power off, and switch off those that do not',
  builder: (yargs) =>
    vmNames(yargs)
      .option('time', timeOption)
      .example('vexit stop web', 'give its guest 10 seconds'),
  handler: async ({ vm, time }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    const grace = graceMs(time);
    await eachVm(vm, async (one) => {
      await one.stop(grace);
      return undefined;
    });
  },
};
