/** What `up` and `down` do, a line a step on standard error. */
import type { OnProjectProgress, ProjectStep } from '../../manage/project/progress.js';
import { printable } from './printable.js';

const [GREEN, YELLOW, RED, DIM] = [32, 33, 31, 2];

const COLOURS: Readonly<Record<ProjectStep, number>> = {
  ...{ creating: DIM, starting: DIM, waiting: YELLOW, stopping: DIM, kept: DIM },
  ...{ started: GREEN, healthy: GREEN, completed: GREEN, stopped: GREEN, removed: GREEN },
  failed: RED,
};

/** @param names of the VMs, for columns that stand under each other */
export function progressPrinter(names: readonly string[] = []): OnProjectProgress {
  const { stderr } = process;
  const coloured = stderr.isTTY && stderr.hasColors();
  const width = Math.max(0, ...names.map((name) => name.length));
  return ({ vm, step, detail }) => {
    const word = coloured ? `\u001b[${COLOURS[step]}m${step}\u001b[0m` : step;
    if (step === 'failed') {
      stderr.write(`${vm.padEnd(width)}  ${word}; the end of its log:\n`);
      for (const line of (detail ?? '').split('\n')) stderr.write(`    ${printable(line)}\n`);
      return;
    }
    const what = detail === undefined ? word : `${word} until ${detail}`;
    stderr.write(`${vm.padEnd(width)}  ${what}\n`);
  };
}
