import type { CommandModule } from 'yargs';

export const pruneCommand: CommandModule = {
  command: 'prune',
  describe: 'Remove all VMs that have ended',
  builder: (yargs) => yargs.example('vexit prune', 'prints the names of what is gone'),
  handler: async () => {
    const { Vexit } = await import('../../../manage/vexit.js');
    for (const name of await new Vexit().prune()) process.stdout.write(`${name}\n`);
  },
};
