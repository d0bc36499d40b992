import type { CommandModule } from 'yargs';

interface CreateArguments {
  path: string;
  size: string;
  format: 'ext4' | undefined;
  from: string | undefined;
}

export const diskCreateCommand: CommandModule<object, CreateArguments> = {
  command: 'create <path> <size>',
  describe: 'Make a disk image; it takes space as it is written to',
  builder: (yargs) =>
    yargs
      .positional('path', { type: 'string', demandOption: true, describe: 'The file to make' })
      .positional('size', { type: 'string', demandOption: true, describe: 'Such as 512M or 10G' })
      .option('format', {
        choices: ['ext4'] as const,
        requiresArg: true,
        describe: 'Make a file system on it',
      })
      .option('from', {
        type: 'string',
        requiresArg: true,
        describe: 'Directory or tar archive to fill an ext4 file system from',
      })
      .example('vexit disk create data.img 10G', 'an empty disk')
      .example('vexit disk create data.ext4 1G --format ext4', 'a disk with a file system')
      .example('vexit disk create root.ext4 2G --from rootfs.tar', 'a root disk of an archive'),
  handler: async ({ path, size, format, from }) => {
    const { createDisk } = await import('../../../images/create.js');
    const { diskSize } = await import('../../size-argument.js');
    const { once } = await import('../../once.js');
    once({ format, from });
    const fileSystem = format ?? (from === undefined ? undefined : 'ext4');
    await createDisk(path, {
      size: diskSize(size),
      ...(fileSystem === undefined ? {} : { fileSystem }),
      ...(from === undefined ? {} : { from }),
    });
  },
};
