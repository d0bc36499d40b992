import type { CommandModule } from 'yargs';

interface GuestAgentArguments {
  output: string;
}

export const guestAgentCommand: CommandModule<object, GuestAgentArguments> = {
  command: 'agent',
  describe: 'Write the agent, a static program, for images of your own: see docs/agent.md',
  builder: (yargs) =>
    yargs
      .option('output', {
        type: 'string',
        alias: 'o',
        demandOption: true,
        requiresArg: true,
        describe: 'The file to make',
      })
      .example(
        'vexit guest agent --output vexit-agent',
        'copy it into an image and start it there',
      ),
  handler: async ({ output }) => {
    const { copyAgent } = await import('../../../guest/agent-copy.js');
    const { withProgress } = await import('../../prepare-guest.js');
    const { once } = await import('../../once.js');
    once({ output });
    await withProgress((progress) => copyAgent(output, progress));
  },
};
