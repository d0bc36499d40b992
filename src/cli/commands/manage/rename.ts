import type { CommandModule } from 'yargs';
import { vmName, type NameArguments } from './names.js';

interface RenameArguments extends NameArguments {
  readonly name: string;
}

export const renameCommand: CommandModule<object, RenameArguments> = {
  command: 'rename <vm> <name>',
  describe: 'Give a VM another name',
  builder: (yargs) =>
    vmName(yargs)
      .positional('name', { type: 'string', demandOption: true, describe: 'The new name' })
      .example('vexit rename web web-1', 'also while it runs'),
  handler: async ({ vm, name }) => {
    const { Vexit } = await import('../../../manage/vexit.js');
    await new Vexit().get(vm).rename(name);
  },
};
