/** What went wrong, as one line and an exit status. */
import { EXIT_STATUS } from '../machine/exit-report.js';
import { ProjectError } from '../manage/project/problems.js';
import { VexitError, errorMessage, type ErrorCode } from '../util/errors.js';
import { UsageError } from './usage-error.js';

/** What is nobody's input. */
const INTERNAL: readonly ErrorCode[] = ['ERR_VCPU', 'ERR_STATE', 'ERR_CONTROL'];

/** One line that says what is wrong and what to do. */
function describe(error: unknown): string {
  if (error instanceof VexitError) {
    return error.hint === undefined ? error.message : `${error.message}: ${error.hint}`;
  }
  if (error instanceof UsageError) return `${error.message} (see vexit --help)`;
  const stack = error instanceof Error ? error.stack : undefined;
  return process.env.VEXIT_DEBUG !== undefined && stack !== undefined ? stack : errorMessage(error);
}

/** Input that cannot be used is status 2; what fails on the way is the VMM's 125. */
export function statusOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_STATUS.usage;
  if (!(error instanceof VexitError)) return EXIT_STATUS.internalError;
  if (error.code === 'ERR_ABORTED') return EXIT_STATUS.interrupted;
  return INTERNAL.includes(error.code) ? EXIT_STATUS.internalError : EXIT_STATUS.usage;
}

/** Says it on standard error: in one line, or one for each mistake of a file, as compilers do. */
export function reportError(error: unknown): void {
  if (error instanceof ProjectError) {
    process.stderr.write(`${error.message}\n`);
    return;
  }
  process.stderr.write(`vexit: ${describe(error).replaceAll('\n', ' ')}\n`);
}
