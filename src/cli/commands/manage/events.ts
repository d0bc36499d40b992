import type { CommandModule } from 'yargs';

interface EventsArguments {
  readonly since: string | undefined;
  readonly follow: boolean;
  readonly json: boolean | undefined;
  readonly format: string | undefined;
  readonly filter: string[] | undefined;
}

export const eventsCommand: CommandModule<object, EventsArguments> = {
  command: 'events',
  describe: 'Print what happens to VMs, as it happens',
  builder: (yargs) =>
    yargs
      .option('since', { type: 'string', describe: 'Also what has happened since: 10m, or a date' })
      .option('follow', { type: 'boolean', default: true, describe: 'Go on until interrupted' })
      .option('filter', {
        type: 'string',
        array: true,
        nargs: 1,
        alias: 'f',
        describe: 'name=NAME, type=TYPE; may be repeated',
      })
      .option('json', { type: 'boolean', describe: 'One JSON object a line' })
      .option('format', { type: 'string', describe: 'Template, such as {{.name}} {{.type}}' })
      .example('vexit events --since 1h --no-follow', 'the last hour'),
  handler: async (args) => {
    const { printEvents } = await import('../../manage/print-events.js');
    await printEvents(args);
  },
};
