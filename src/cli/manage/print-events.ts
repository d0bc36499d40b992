/** `vexit events` */
import { once } from 'node:events';
import type { VmEvent } from '../../manage/event-log.js';
import { Vexit } from '../../manage/vexit.js';
import { VexitError } from '../../util/errors.js';
import { fillTemplate } from './template.js';
import { parseSince } from './times.js';

interface Wanted {
  readonly since: string | undefined;
  readonly follow: boolean;
  readonly json: boolean | undefined;
  readonly format: string | undefined;
  readonly filter: string[] | undefined;
}

function parseFilter(text: string): (event: VmEvent) => boolean {
  const at = text.indexOf('=');
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  if (at > 0 && (key === 'name' || key === 'type')) return (event) => event[key] === value;
  throw new VexitError('ERR_CONFIG', `--filter ${text} is not known`, 'write name= or type=');
}

function line(event: VmEvent, { json, format }: Wanted): string {
  if (json === true || format === 'json') return JSON.stringify(event);
  if (format !== undefined) return fillTemplate(format, event);
  const { time, type, name, reason, status, before, health } = event;
  const more = [
    ...(reason === undefined ? [] : [`reason=${reason}`]),
    ...(status === undefined ? [] : [`status=${status}`]),
    ...(health === undefined ? [] : [`health=${health}`]),
    ...(before === undefined ? [] : [`before=${before}`]),
  ];
  return [time, name, type, ...more].join(' ');
}

export async function printEvents(wanted: Wanted): Promise<void> {
  const filters = (wanted.filter ?? []).map(parseFilter);
  const since = wanted.since === undefined ? undefined : parseSince(wanted.since);
  const vexit = new Vexit();
  const events = wanted.follow
    ? vexit.events(since === undefined ? {} : { since })
    : vexit.pastEvents(since);
  for await (const event of events) {
    if (!filters.every((filter) => filter(event))) continue;
    if (!process.stdout.write(`${line(event, wanted)}\n`)) await once(process.stdout, 'drain');
  }
}
