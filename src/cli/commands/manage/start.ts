import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

interface StartArguments extends NamesArguments {
  readonly attach: boolean | undefined;
}

export const startCommand: CommandModule<object, StartArguments> = {
  command: 'start <vm..>',
  describe: 'Start VMs that have been created or have ended',
  builder: (yargs) =>
    vmNames(yargs)
      .option('attach', { type: 'boolean', alias: 'a', describe: 'Connect the terminal to it' })
      .example('vexit start web', 'start it in the background'),
  handler: async ({ vm, attach }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    const { prepareFor } = await import('../../manage/create-vm.js');
    await eachVm(vm, async (one) => {
      await prepareFor(one.config);
      await one.start();
      return undefined;
    });
    if (attach !== true || process.exitCode !== undefined) return;
    const { attachTo } = await import('../../manage/attach-console.js');
    await attachTo(vm[0]!);
  },
};
