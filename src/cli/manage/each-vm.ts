/** Commands that do the same with several VMs. */
import type { ManagedVm } from '../../manage/managed-vm.js';
import { Vexit } from '../../manage/vexit.js';
import { reportError, statusOf } from '../error-report.js';

/**
 * Does something with each VM at once, and says its name. What goes wrong with one is said and does
 * not keep the others from it; the exit status is that of the first failure.
 */
export async function eachVm(
  names: readonly string[],
  work: (vm: ManagedVm) => Promise<string | undefined>,
): Promise<void> {
  const vexit = new Vexit();
  const results = await Promise.allSettled(
    [...new Set(names)].map(async (name) => (await work(vexit.get(name))) ?? name),
  );
  for (const result of results) {
    if (result.status === 'fulfilled') {
      process.stdout.write(`${result.value}\n`);
    } else {
      reportError(result.reason);
      process.exitCode ??= statusOf(result.reason);
    }
  }
}
