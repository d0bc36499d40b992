import type { Argv, CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

import type { UpdateArguments } from '../../manage/update-vms.js';
import { RESOURCE_UPDATES } from '../../resource-options.js';

/** May be repeated. */
const LIST = { type: 'string', array: true, nargs: 1 } as const;

export const updateCommand: CommandModule<object, UpdateArguments & NamesArguments> = {
  command: 'update <vm..>',
  describe: 'Change VMs without starting them again',
  builder: (yargs) =>
    vmNames(yargs)
      .option('restart', { type: 'string', describe: 'no, on-failure[:N], always' })
      .option('balloon', {
        type: 'string',
        describe: 'Memory that the guest is asked to give up, such as 256M',
      })
      .options(RESOURCE_UPDATES)
      .option('disk-limit', {
        ...LIST,
        describe: 'Limits of a disk, by its number: 0:bps=10M,iops=100, or 0:none',
      })
      .option('disk-size', { ...LIST, describe: 'Size of a disk, by its number: 0:2G' })
      .option('net-limit', {
        ...LIST,
        describe: 'Limits of a network, by its number: 0:tx=10M,rx=10M,tx-frames=1000, or 0:none',
      })
      .example('vexit update --restart always web', 'from its next end on')
      .example(
        'vexit update --cpu-quota 0.5 web',
        'half a processor from now on',
      ) as unknown as Argv<UpdateArguments & NamesArguments>,
  handler: async ({ vm, ...args }) => {
    const { updateVms } = await import('../../manage/update-vms.js');
    await updateVms(vm, args);
  },
};
