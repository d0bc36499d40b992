import type { CommandModule } from 'yargs';

export const guestCommand: CommandModule<object, { json: boolean | undefined }> = {
  command: 'guest',
  describe: 'Build the default guest (kernel and initramfs), or say where it is',
  builder: (yargs) =>
    yargs
      .option('json', { type: 'boolean', describe: 'Print the paths as JSON' })
      .example('vexit guest', 'build what is missing and print the paths'),
  handler: async ({ json }) => {
    const { prepareGuest } = await import('../prepare-guest.js');
    const guest = await prepareGuest();
    if (json === true) {
      process.stdout.write(`${JSON.stringify(guest)}\n`);
    } else {
      for (const [name, path] of Object.entries(guest)) process.stdout.write(`${name}\t${path}\n`);
    }
  },
};
