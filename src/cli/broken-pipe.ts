/** Whoever read our output has gone away: nothing more to say. */
import { EXIT_STATUS } from '../machine/exit-report.js';

let done = false;

/**
 * Ends the process when standard output or error is a pipe that nobody reads any more. To be called
 * before either is written; late, because making the two streams takes milliseconds.
 */
export function exitOnBrokenPipe(): void {
  if (done) return;
  done = true;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(EXIT_STATUS.internalError);
    });
  }
}
