import type { CommandModule } from 'yargs';
import type { GuestSource } from '../../guest/default-guest.js';
import { guestAgentCommand } from './guest/agent.js';
import { guestDiskCommand } from './guest/disk.js';

interface GuestArguments {
  kernel: GuestSource | undefined;
  json: boolean | undefined;
}

export const guestCommand: CommandModule<object, GuestArguments> = {
  command: 'guest',
  describe: 'Make the default guest (kernel and initramfs) and say where it is',
  builder: (yargs) =>
    yargs
      .command(guestDiskCommand)
      .command(guestAgentCommand)
      .option('kernel', {
        choices: ['built', 'cloud'] as const,
        describe: "vexit's own build, or Debian's cloud kernel; default: what this host boots best",
      })
      .option('json', { type: 'boolean', describe: 'Print the paths as JSON' })
      .example('vexit guest', 'make what is missing and print the paths')
      .example('vexit guest disk root.ext4', 'make a root disk'),
  handler: async ({ kernel, json }) => {
    const { prepareGuest } = await import('../prepare-guest.js');
    const { guestSource } = await import('../../machine/config.js');
    const guest = await prepareGuest(kernel ?? guestSource({}));
    if (json === true) {
      process.stdout.write(`${JSON.stringify(guest)}\n`);
      return;
    }
    process.stdout.write(`kernel\t${guest.kernel}\n`);
    for (const file of guest.initrds) process.stdout.write(`initrd\t${file}\n`);
  },
};
