import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

interface UpdateArguments extends NamesArguments {
  readonly restart: string | undefined;
  readonly balloon: string | undefined;
}

export const updateCommand: CommandModule<object, UpdateArguments> = {
  command: 'update <vm..>',
  describe: 'Change VMs without starting them again',
  builder: (yargs) =>
    vmNames(yargs)
      .option('restart', { type: 'string', describe: 'no, on-failure[:N], always' })
      .option('balloon', {
        type: 'string',
        describe: 'Memory that the guest is asked to give up, such as 256M',
      })
      .example('vexit update --restart always web', 'from its next end on'),
  handler: async ({ vm, restart, balloon }) => {
    const { updateVms } = await import('../../manage/update-vms.js');
    await updateVms(vm, restart, balloon);
  },
};
