import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

interface RmArguments extends NamesArguments {
  readonly force: boolean | undefined;
}

export const rmCommand: CommandModule<object, RmArguments> = {
  command: 'rm <vm..>',
  describe: 'Remove VMs that do not run, with their logs',
  builder: (yargs) =>
    vmNames(yargs)
      .option('force', { type: 'boolean', alias: 'f', describe: 'Kill those that run' })
      .example('vexit rm -f web', 'kill it and remove it'),
  handler: async ({ vm, force }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    await eachVm(vm, async (one) => {
      await one.remove(force === true);
      return undefined;
    });
  },
};
