import type { CommandModule } from 'yargs';

interface CopyArguments {
  readonly from: string;
  readonly to: string;
}

export const cpCommand: CommandModule<object, CopyArguments> = {
  command: 'cp <from> <to>',
  describe: 'Copy a file or directory into the guest of a VM, or out of it',
  builder: (yargs) =>
    yargs
      .positional('from', { type: 'string', demandOption: true, describe: 'PATH, or VM:PATH' })
      .positional('to', { type: 'string', demandOption: true, describe: 'VM:PATH, or PATH' })
      .example('vexit cp site web:/srv', 'a directory, into /srv if that is there')
      .example('vexit cp web:/var/log/messages .', 'a file of the guest'),
  handler: async ({ from, to }) => {
    const { copyFiles } = await import('../../manage/copy-files.js');
    await copyFiles(from, to);
  },
};
