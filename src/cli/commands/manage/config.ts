import type { CommandModule } from 'yargs';

interface ValidateArguments {
  readonly file: string[];
}

const validateCommand: CommandModule<object, ValidateArguments> = {
  command: 'validate <file..>',
  describe:
    'Check configurations: files of projects, files as config.json of a VM, or names of VMs',
  builder: (yargs) =>
    yargs
      .positional('file', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Path of a file, or name of a VM',
      })
      .example('vexit config validate vms.yaml', 'a file for "vexit up"')
      .example('vexit config validate web', 'the configuration of a VM'),
  handler: async ({ file }) => {
    const { validateConfigs } = await import('../../manage/validate-config.js');
    await validateConfigs(file);
  },
};

const schemaCommand: CommandModule = {
  command: 'schema',
  describe: 'Print the JSON schema of files for "vexit up"',
  handler: async () => {
    const { projectSchema } = await import('../../../manage/project/project-file.js');
    process.stdout.write(`${JSON.stringify(projectSchema(), undefined, 2)}\n`);
  },
};

export const configCommand: CommandModule = {
  command: 'config',
  describe: 'Check the configuration of VMs',
  builder: (yargs) =>
    yargs
      .command(validateCommand)
      .command(schemaCommand)
      .demandCommand(1, 'say what to do: validate or schema'),
  handler: () => undefined,
};
