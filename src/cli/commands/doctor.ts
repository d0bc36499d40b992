import type { CommandModule } from 'yargs';

export const doctorCommand: CommandModule<object, { json: boolean | undefined }> = {
  command: 'doctor',
  describe: 'Check this host and say how to mend what is missing',
  builder: (yargs) =>
    yargs
      .option('json', { type: 'boolean', describe: 'Print the checks as JSON' })
      .example('vexit doctor', 'check the host')
      .example(
        'vexit doctor --json | jq \'.checks[] | select(.status != "ok")\'',
        'what is not ok',
      ),
  handler: async ({ json }) => {
    const { printDoctor } = await import('../doctor-report.js');
    process.exitCode = printDoctor(json === true);
  },
};
