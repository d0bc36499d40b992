/** `vexit down` */
import { Vexit } from '../../manage/vexit.js';
import { graceMs } from '../commands/manage/grace.js';
import { projectFileName } from './project-file-name.js';
import { progressPrinter } from './project-progress.js';

export interface DownArguments {
  readonly file: string | undefined;
  readonly project: string | undefined;
  readonly time: number | undefined;
  readonly json: boolean | undefined;
}

/** The project's name; what else is in its file does not matter any more. */
async function nameOf({ file, project }: DownArguments): Promise<string> {
  if (project !== undefined) return project;
  const { readProjectName } = await import('../../manage/project/project-file.js');
  return readProjectName(projectFileName(file));
}

export async function bringDown(args: DownArguments): Promise<void> {
  const project = await nameOf(args);
  const removed = await new Vexit().down(project, {
    ...(args.time === undefined ? {} : { graceMs: graceMs(args.time) }),
    onProgress: progressPrinter(),
  });
  if (args.json === true) process.stdout.write(`${JSON.stringify({ project, removed })}\n`);
  else if (removed.length === 0)
    process.stderr.write(`vexit: no VM of project ${project} is there\n`);
}
