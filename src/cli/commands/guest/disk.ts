import type { CommandModule } from 'yargs';
import type { RootDiskKind } from '../../../images/root-disk.js';

interface GuestDiskArguments {
  path: string;
  kind: RootDiskKind;
  size: string | undefined;
  package: string[] | undefined;
}

export const guestDiskCommand: CommandModule<object, GuestDiskArguments> = {
  command: 'disk <path>',
  describe: 'Make a root disk, to be booted with vexit run --disk',
  builder: (yargs) =>
    yargs
      .positional('path', { type: 'string', demandOption: true, describe: 'The file to make' })
      .option('kind', {
        choices: ['busybox', 'debian'] as const,
        default: 'busybox' as const,
        describe: 'What is on it; Debian is installed by debootstrap, which needs root',
      })
      .option('size', {
        type: 'string',
        requiresArg: true,
        describe: 'Such as 10G; default: 32M for busybox, 4G for Debian',
      })
      .option('package', {
        type: 'string',
        array: true,
        nargs: 1,
        requiresArg: true,
        describe: 'Debian package to install; may be repeated',
      })
      .example('vexit guest disk root.ext4', 'a small disk with busybox')
      .example('vexit guest disk --kind debian debian.ext4', 'Debian 12')
      .example('vexit guest disk --kind debian --package fio d.ext4', 'and a package'),
  handler: async ({ path, kind, size, package: packages }) => {
    const { createRootDisk } = await import('../../../images/root-disk.js');
    const { withProgress } = await import('../../prepare-guest.js');
    const { diskSize } = await import('../../size-argument.js');
    const { once } = await import('../../once.js');
    once({ kind, size });
    const bytes = size === undefined ? {} : { size: diskSize(size) };
    await withProgress((progress) =>
      createRootDisk(path, { kind, ...bytes, packages: packages ?? [], progress }),
    );
  },
};
