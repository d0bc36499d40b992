import type { CommandModule } from 'yargs';
import { vmNames, type NamesArguments } from './names.js';

interface InspectArguments extends NamesArguments {
  readonly format: string | undefined;
}

export const inspectCommand: CommandModule<object, InspectArguments> = {
  command: 'inspect <vm..>',
  describe: 'Print all that is known of VMs, as JSON',
  builder: (yargs) =>
    vmNames(yargs)
      .option('format', { type: 'string', describe: 'Template, such as {{.state.status}}' })
      .example("vexit inspect --format '{{.state.pid}}' web", 'its process'),
  handler: async ({ vm, format }) => {
    const { eachVm } = await import('../../manage/each-vm.js');
    const { fillTemplate } = await import('../../manage/template.js');
    await eachVm(vm, async (one) => {
      const info = await one.inspect();
      return format === undefined || format === 'json'
        ? JSON.stringify(info, undefined, 2)
        : fillTemplate(format, info);
    });
  },
};
