/** Options of the commands that work on the VMs of a file. */
import type { Options } from 'yargs';

export const FILE_OPTION = {
  type: 'string',
  alias: 'f',
  describe: 'The file; default: vms.yaml, vms.yml or vms.json here',
} as const satisfies Options;
