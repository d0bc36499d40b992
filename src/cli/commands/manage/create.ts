import type { CommandModule } from 'yargs';
import { RUN_OPTIONS, type RunArguments } from '../run.js';

/** What is for a terminal, or for a VM that is started at once. */
const FOR_RUN = ['detach', 'timeout', 'json', 'verbose'];
const CREATE_OPTIONS = Object.fromEntries(
  Object.entries(RUN_OPTIONS).filter(([name]) => !FOR_RUN.includes(name)),
);

export const createCommand: CommandModule<object, RunArguments> = {
  command: 'create',
  describe: 'Create a VM that "vexit start" starts; options as for "vexit run"',
  builder: (yargs) =>
    yargs
      .usage('$0 create [options] [-- command [argument...]]')
      .options(CREATE_OPTIONS)
      .example(
        'vexit create --name web --restart always',
        'say what it is, and start it later',
      ) as never,
  handler: async (args) => {
    const { createOnly } = await import('../../manage/create-vm.js');
    const { name } = await createOnly(args);
    process.stdout.write(`${name}\n`);
  },
};
