/** `vexit logs` */
import { once } from 'node:events';
import { Vexit } from '../../manage/vexit.js';
import { VexitError } from '../../util/errors.js';
import { parseSince } from './times.js';

interface Wanted {
  readonly follow: boolean | undefined;
  readonly since: string | undefined;
  readonly tail: string | undefined;
}

function lines(text: string): number | undefined {
  if (text === 'all') return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new VexitError('ERR_CONFIG', `--tail ${text} is not a number of lines`, 'or write "all"');
}

export async function printLogs(name: string, { follow, since, tail }: Wanted): Promise<void> {
  const vm = new Vexit().get(name);
  const count = tail === undefined ? undefined : lines(tail);
  const pieces = vm.logs({
    follow: follow === true,
    ...(since === undefined ? {} : { since: parseSince(since) }),
    ...(count === undefined ? {} : { tail: count }),
  });
  for await (const bytes of pieces) {
    if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
  }
}
