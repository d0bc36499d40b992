import type { CommandModule } from 'yargs';

interface ValidateArguments {
  readonly file: string[];
}

const validateCommand: CommandModule<object, ValidateArguments> = {
  command: 'validate <file..>',
  describe: 'Check configurations: files as config.json of a VM, or names of VMs',
  builder: (yargs) =>
    yargs
      .positional('file', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Path of a file, or name of a VM',
      })
      .example('vexit config validate web', 'the configuration of a VM'),
  handler: async ({ file }) => {
    const { validateConfigs } = await import('../../manage/validate-config.js');
    validateConfigs(file);
  },
};

export const configCommand: CommandModule = {
  command: 'config',
  describe: 'Check the configuration of VMs',
  builder: (yargs) => yargs.command(validateCommand).demandCommand(1, 'say what to do: validate'),
  handler: () => undefined,
};
