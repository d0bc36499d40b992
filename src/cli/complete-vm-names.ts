/** Completion: where a command takes VMs, their names. */
import { Store } from '../manage/store.js';
import { VexitError } from '../util/errors.js';

const TAKE_VMS = new Set([
  ...['attach', 'inspect', 'kill', 'logs', 'pause', 'rename', 'restart', 'resume', 'rm', 'start'],
  ...['exec', 'stats', 'stop', 'top', 'port', 'update', 'validate', 'wait'],
]);

function names(): string[] {
  try {
    return Store.open().names();
  } catch (error) {
    if (error instanceof VexitError) return [];
    throw error;
  }
}

/** What yargs calls for completions; its own are options and commands. */
export function completeVmNames(
  current: string,
  argv: { readonly _?: readonly (string | number)[] },
  own: (done: (error: Error | null, completions: string[] | undefined) => void) => void,
  done: (completions: string[]) => void,
): void {
  own((_error, completions = []) => {
    // The words begin with the name of the program.
    const words = (argv._ ?? []).map(String);
    const command = words.find((word) => TAKE_VMS.has(word));
    const wanted = command !== undefined && !current.startsWith('-');
    done(wanted ? names().filter((name) => name.startsWith(current)) : completions);
  });
}
