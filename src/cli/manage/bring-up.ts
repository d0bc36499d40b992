/** `vexit up` */
import { readProject } from '../../manage/project/project-file.js';
import type { Project } from '../../manage/project/project.js';
import { Vexit } from '../../manage/vexit.js';
import { VexitError } from '../../util/errors.js';
import { prepareFor } from './create-vm.js';
import { followProject } from './follow-project.js';
import { projectFileName } from './project-file-name.js';
import { progressPrinter } from './project-progress.js';

export interface UpArguments {
  readonly vm: string[] | undefined;
  readonly file: string | undefined;
  readonly project: string | undefined;
  readonly detach: boolean | undefined;
  readonly wait: boolean | undefined;
  readonly removeOrphans: boolean | undefined;
  readonly json: boolean | undefined;
}

/** Aborted by the first signal to this process; a second one does not wait for anything. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort();
    });
  }
  return controller.signal;
}

/** Default guests that are not there yet are built here, with their progress shown. */
async function prepareGuests({ vms }: Project): Promise<void> {
  for (const { config } of vms.values()) await prepareFor(config);
}

export async function bringUp(args: UpArguments): Promise<void> {
  if (args.json === true && args.detach !== true) {
    throw new VexitError('ERR_CONFIG', '--json is for VMs in the background', 'add --detach');
  }
  const file = projectFileName(args.file);
  const name = args.project === undefined ? {} : { name: args.project };
  const project = readProject(file, name);
  await prepareGuests(project);
  const vexit = new Vexit();
  const signal = interruption();
  const began = Date.now();
  const onProgress = progressPrinter([...project.vms.keys()]);
  const result = await vexit.up(file, {
    ...name,
    ...{ vms: args.vm ?? [], wait: args.wait === true, signal, onProgress },
    removeOrphans: args.removeOrphans === true,
  });
  if (result.orphans.length > 0 && args.removeOrphans !== true) {
    process.stderr.write(
      `vexit: not in the file any more: ${result.orphans.join(', ')}: vexit up --remove-orphans removes them\n`,
    );
  }
  if (args.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
  if (args.detach === true) return;
  const vms = result.vms.map(({ vm, name: full }) => ({ name: vm, vm: vexit.get(full) }));
  await followProject(vms, began, signal);
  if (signal.aborted) await vexit.stopProject(project.name, { onProgress });
}
