import type { CommandModule } from 'yargs';
import type { DiskInfo } from '../../../images/info.js';

interface InfoArguments {
  path: string;
  json: boolean | undefined;
}

/** "1.5 GiB (1610612736 bytes)" */
function size(bytes: number): string {
  let value = bytes;
  let unit = 'bytes';
  for (const larger of ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']) {
    if (value < 1024) break;
    value /= 1024;
    unit = larger;
  }
  return unit === 'bytes' ? `${bytes} bytes` : `${+value.toFixed(1)} ${unit} (${bytes} bytes)`;
}

function table(info: DiskInfo): string {
  const rows: [string, string][] = [
    ['path', info.path],
    ['format', info.format],
    ['kind', info.kind],
    ['virtual size', size(info.virtualSize)],
    ['allocated', size(info.allocatedSize)],
    ['holes', size(info.holes)],
  ];
  return rows.map(([name, value]) => `${name.padEnd(13)} ${value}\n`).join('');
}

export const diskInfoCommand: CommandModule<object, InfoArguments> = {
  command: 'info <path>',
  describe: 'Say how large a disk image is and what it takes on the host',
  builder: (yargs) =>
    yargs
      .positional('path', { type: 'string', demandOption: true, describe: 'Image or block device' })
      .option('json', { type: 'boolean', describe: 'Print it as JSON, sizes in bytes' })
      .example('vexit disk info data.img', 'print a table')
      .example('vexit disk info data.img --json', 'print JSON'),
  handler: async ({ path, json }) => {
    const { diskInfo } = await import('../../../images/info.js');
    const info = await diskInfo(path);
    process.stdout.write(json === true ? `${JSON.stringify(info)}\n` : table(info));
  },
};
