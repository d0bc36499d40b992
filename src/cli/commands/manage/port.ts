import type { CommandModule } from 'yargs';
import { vmName, type NameArguments } from './names.js';

interface PortArguments extends NameArguments {
  readonly json: boolean | undefined;
}

export const portCommand: CommandModule<object, PortArguments> = {
  command: 'port <vm>',
  describe: 'Print the published ports of a VM',
  builder: (yargs) =>
    vmName(yargs)
      .option('json', { type: 'boolean', describe: 'Print JSON' })
      .example('vexit port web', '127.0.0.1:8080->80/tcp'),
  handler: async ({ vm, json }) => {
    const { Vexit } = await import('../../../manage/vexit.js');
    const ports = new Vexit().get(vm).ports();
    const text = json === true ? `${JSON.stringify(ports)}\n` : ports.map((p) => `${p}\n`).join('');
    process.stdout.write(text);
  },
};
