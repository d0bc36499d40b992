import type { CommandModule } from 'yargs';
import { graceMs, timeOption, type TimeArguments } from './grace.js';
import { vmNames, type NamesArguments } from './names.js';

export const restartCommand: CommandModule<object, NamesArguments & TimeArguments> = {
  command: 'restart <vm..>',
  describe: 'Stop VMs and start them again',
  builder: (yargs) =>
    vmNames(yargs)
      .option('time', timeOption)
      .example('vexit restart web', 'also when it does not run'),
  handler: async ({ vm, time }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    const grace = graceMs(time);
    await eachVm(vm, async (one) => {
      await one.restart(grace);
      return undefined;
    });
  },
};
