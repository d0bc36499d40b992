/** From the end of a guest's command to an exit status. */
import os from 'node:os';
import type { CommandExit } from '../agent/agent-channel.js';
import { EXIT_STATUS } from './exit-report.js';

/** As a shell says it: 128 and the signal's number, 126 and 127 for what could not be run. */
export function commandStatus({ kind, value }: CommandExit): number {
  if (kind === 'exited') return value;
  if (kind === 'signalled') return 128 + value;
  if (kind === 'no-root') return EXIT_STATUS.notExecutable;
  return value === os.constants.errno.ENOENT ? EXIT_STATUS.notFound : EXIT_STATUS.notExecutable;
}
