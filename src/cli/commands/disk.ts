import type { CommandModule } from 'yargs';
import { diskCreateCommand } from './disk/create.js';
import { diskInfoCommand } from './disk/info.js';
import { diskResizeCommand } from './disk/resize.js';

export const diskCommand: CommandModule = {
  command: 'disk',
  describe: 'Make, describe and resize disk images',
  builder: (yargs) =>
    yargs
      .command(diskCreateCommand)
      .command(diskInfoCommand)
      .command(diskResizeCommand)
      .demandCommand(1, 'say what to do with the disk: create, info or resize')
      .example('vexit disk create data.img 10G', 'make an empty disk')
      .example('vexit disk info data.img', 'say how large it is'),
  handler: () => undefined,
};
