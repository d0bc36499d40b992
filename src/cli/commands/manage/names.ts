/** What commands about VMs have in common. */
import type { Argv } from 'yargs';

export interface NamesArguments {
  readonly vm: string[];
}

export interface NameArguments {
  readonly vm: string;
}

/** One or more VMs. */
export function vmNames(yargs: Argv): Argv<NamesArguments> {
  return yargs.positional('vm', {
    type: 'string',
    array: true,
    demandOption: true,
    describe: 'Names of VMs',
  });
}

/** One VM. */
export function vmName(yargs: Argv): Argv<NameArguments> {
  return yargs.positional('vm', { type: 'string', demandOption: true, describe: 'Name of a VM' });
}
