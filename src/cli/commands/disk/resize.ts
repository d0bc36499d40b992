import type { CommandModule } from 'yargs';

interface ResizeArguments {
  path: string;
  size: string;
  shrink: boolean | undefined;
  fs: boolean | undefined;
}

export const diskResizeCommand: CommandModule<object, ResizeArguments> = {
  command: 'resize <path> <size>',
  describe: 'Make a disk image larger, or smaller if told; no VM may be using it',
  builder: (yargs) =>
    yargs
      .positional('path', { type: 'string', demandOption: true, describe: 'Image file' })
      .positional('size', { type: 'string', demandOption: true, describe: 'Such as 512M or 10G' })
      .option('shrink', { type: 'boolean', describe: 'Allow a smaller size' })
      .option('fs', { type: 'boolean', describe: 'Resize the ext4 file system on it, too' })
      .example('vexit disk resize data.img 20G', 'grow a disk')
      .example('vexit disk resize root.ext4 8G --fs', 'grow a disk and its file system')
      .example('vexit disk resize root.ext4 1G --fs --shrink', 'shrink both'),
  handler: async ({ path, size, shrink, fs }) => {
    const { resizeDisk } = await import('../../../images/resize.js');
    const { diskSize } = await import('../../size-argument.js');
    await resizeDisk(path, {
      size: diskSize(size),
      shrink: shrink === true,
      fileSystem: fs === true,
    });
  },
};
