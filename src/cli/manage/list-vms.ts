/** `vexit ps`: what is shown of each VM. */
import type { ManagedVm } from '../../manage/managed-vm.js';
import { isActive } from '../../manage/records.js';
import { Vexit } from '../../manage/vexit.js';
import { VexitError, errorMessage } from '../../util/errors.js';
import { fillTemplate } from './template.js';
import { formatTable, type Column } from './table.js';
import { formatDuration } from './times.js';

/** A line of `vexit ps`, and an object of `vexit ps --json`. */
export interface VmSummary {
  readonly name: string;
  readonly status: string;
  readonly id?: string;
  readonly created?: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly pid?: number;
  readonly restarts?: number;
  /** Of a VM that runs and has a health check. */
  readonly health?: string;
  /** Of a VM of `vexit up`. */
  readonly project?: string;
  readonly exit?: { readonly reason: string; readonly status: number };
  readonly cpus?: number;
  readonly memory?: number | string;
  readonly guest?: string;
  /** HOST:GUEST/PROTOCOL */
  readonly ports?: readonly string[];
  /** Why nothing else is known. */
  readonly error?: string;
}

export interface PsArguments {
  readonly all: boolean | undefined;
  readonly quiet: boolean | undefined;
  readonly json: boolean | undefined;
  readonly format: string | undefined;
  readonly filter: string[] | undefined;
}

async function summarize(vm: ManagedVm): Promise<VmSummary | undefined> {
  const { name } = vm;
  try {
    const { config, state } = await vm.inspect();
    const { options, id, created, project } = config;
    const { status, startedAt, finishedAt, pid, restarts, exit, health } = state;
    const active = isActive(status);
    return {
      name,
      status,
      id,
      created,
      restarts,
      cpus: options.cpus ?? 1,
      guest: options.kernel ?? options.firmware ?? 'default guest',
      ports: vm.ports(),
      ...(options.memory === undefined ? {} : { memory: options.memory }),
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(finishedAt === undefined || active ? {} : { finishedAt }),
      ...(pid === undefined || !active ? {} : { pid }),
      ...(exit === undefined || active ? {} : { exit }),
      ...(health === undefined || !active ? {} : { health: health.status }),
      ...(project === undefined ? {} : { project: project.name }),
    };
  } catch (error) {
    if (!(error instanceof VexitError)) throw error;
    // Removed in the meantime, or files that make no sense.
    if (error.code === 'ERR_NOT_FOUND') return undefined;
    return { name, status: 'damaged', error: errorMessage(error) };
  }
}

type Filter = (vm: VmSummary) => boolean;

function parseFilter(text: string): Filter {
  const at = text.indexOf('=');
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  if (at > 0 && key === 'status') return ({ status }) => status === value;
  if (at > 0 && key === 'name') return ({ name }) => name.includes(value);
  if (at > 0 && key === 'exited') return ({ exit }) => String(exit?.status) === value;
  if (at > 0 && key === 'project') return ({ project }) => project === value;
  if (at > 0 && key === 'health') return ({ health }) => health === value;
  throw new VexitError(
    'ERR_CONFIG',
    `--filter ${text} is not known`,
    'write status=STATUS, health=HEALTH, name=PART, project=NAME or exited=STATUS',
  );
}

const since = (time: string | undefined): string =>
  time === undefined ? '' : formatDuration(Date.now() - Date.parse(time));

function statusText({
  status,
  startedAt,
  finishedAt,
  exit,
  health,
  restarts = 0,
}: VmSummary): string {
  if (status === 'exited') return `exited (${exit?.status ?? '?'}) ${since(finishedAt)} ago`;
  if (status === 'running' || status === 'paused') {
    const again = restarts === 0 ? '' : `, restarted ${restarts} times`;
    const healthy = health === undefined ? '' : ` (${health})`;
    return `${status} ${since(startedAt)}${again}${healthy}`;
  }
  return status;
}

const GREEN = 32;
const YELLOW = 33;
const RED = 31;

function statusColour({ status, exit, health }: VmSummary): number | undefined {
  if (health === 'unhealthy') return RED;
  if (health === 'starting') return YELLOW;
  if (status === 'running') return GREEN;
  if (status === 'damaged') return RED;
  if (status === 'exited') return exit?.status === 0 ? undefined : RED;
  return YELLOW;
}

const COLUMNS: readonly Column<VmSummary>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'STATUS', value: statusText, colour: statusColour },
  {
    title: 'CREATED',
    value: ({ created }) => (created === undefined ? '' : `${since(created)} ago`),
  },
  { title: 'CPUS', value: ({ cpus }) => String(cpus ?? ''), right: true },
  { title: 'MEMORY', value: ({ memory }) => String(memory ?? 'default'), right: true },
  { title: 'PORTS', value: ({ ports = [] }) => ports.join(', ') },
  { title: 'GUEST', value: ({ guest, error }) => error ?? guest ?? '' },
];

/** Prints the VMs as the arguments want them. */
export async function printVms(args: PsArguments): Promise<void> {
  const filters = (args.filter ?? []).map(parseFilter);
  const all = args.all === true || args.filter?.some((text) => /^(status|exited)=/.test(text));
  const summaries = await Promise.all(new Vexit().list().map(summarize));
  const shown = summaries
    .filter((vm) => vm !== undefined)
    .filter(({ status }) => all === true || !['created', 'exited'].includes(status))
    .filter((vm) => filters.every((filter) => filter(vm)));
  process.stdout.write(render(shown, args));
}

function render(shown: readonly VmSummary[], { json, quiet, format }: PsArguments): string {
  if (json === true || format === 'json') return `${JSON.stringify(shown)}\n`;
  if (quiet === true) return shown.map(({ name }) => `${name}\n`).join('');
  if (format !== undefined && format !== 'table') {
    return shown.map((vm) => `${fillTemplate(format, vm)}\n`).join('');
  }
  return formatTable(COLUMNS, shown);
}
