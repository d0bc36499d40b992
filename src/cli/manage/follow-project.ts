/** The logs of several VMs, each line with the name of its VM. */
import { once } from 'node:events';
import { StringDecoder } from 'node:string_decoder';
import type { ManagedVm } from '../../manage/managed-vm.js';
import { printable } from './printable.js';
import { hasColours } from './table.js';

/** A line that does not end is cut here. */
const MAX_LINE = 16 * 1024;
const COLOURS = [36, 33, 32, 35, 34, 31];

/** A VM and its name in the file. */
export interface NamedVm {
  readonly name: string;
  readonly vm: ManagedVm;
}

async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

async function followOne(
  { vm }: NamedVm,
  prefix: string,
  since: number,
  signal: AbortSignal,
): Promise<void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const bytes of vm.logs({ follow: true, since }, signal)) {
    const lines = (rest + decoder.write(bytes)).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE) {
      lines.push(rest);
      rest = '';
    }
    const text = lines.map((line) => `${prefix}${printable(line)}\n`).join('');
    if (text !== '') await print(text);
  }
  if (rest !== '') await print(`${prefix}${printable(rest)}\n`);
}

/**
 * Prints what the VMs say from a time on, until all have ended or the signal is aborted.
 * @param since milliseconds since 1970
 */
export async function followProject(
  vms: readonly NamedVm[],
  since: number,
  signal: AbortSignal,
): Promise<void> {
  const width = Math.max(0, ...vms.map(({ name }) => name.length));
  await Promise.all(
    vms.map((one, i) => {
      const name = `${one.name.padEnd(width)} | `;
      const colour = COLOURS[i % COLOURS.length]!;
      const prefix = hasColours() ? `\u001b[${colour}m${name}\u001b[0m` : name;
      return followOne(one, prefix, since, signal);
    }),
  );
}
