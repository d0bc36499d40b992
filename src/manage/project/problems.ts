/** What is wrong with a project's file: every mistake with its place. */
import { VexitError } from '../../util/errors.js';

/** A mistake in a file. */
export interface Problem {
  /** As it was given. */
  readonly file: string;
  /** Both from 1; 0 when the mistake is about the file itself. */
  readonly line: number;
  readonly column: number;
  /** Where in the data, such as `vms.web.disks[0]`; empty at the top. */
  readonly path: string;
  readonly message: string;
  readonly hint?: string;
}

/** `vms.yaml:12:7: vms.web.memory: "lots" is not a size; write for example 512M` */
export function formatProblem({ file, line, column, path, message, hint }: Problem): string {
  const place = line === 0 ? file : `${file}:${line}:${column}`;
  const what = path === '' ? message : `${path}: ${message}`;
  // Messages quote what people wrote, and are one line all the same.
  const text = `${place}: ${what}${hint === undefined ? '' : `; ${hint}`}`;
  return text.replace(/\p{Cc}+/gu, ' ');
}

/** A file that cannot be used, with all of its mistakes. */
export class ProjectError extends VexitError {
  /** @param problems at least one */
  constructor(readonly problems: readonly Problem[]) {
    super('ERR_PROJECT', problems.map(formatProblem).join('\n'));
  }
}
