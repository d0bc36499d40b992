/** `vexit doctor` on the terminal or as JSON. */
import { styleText } from 'node:util';
import { EXIT_STATUS } from '../machine/exit-report.js';
import { checkHost, type CheckStatus } from '../machine/host-check.js';
import { checkResources } from '../manage/resources/check.js';

const MARKS: Record<CheckStatus, { sign: string; colour: 'green' | 'yellow' | 'red' }> = {
  ok: { sign: '✓', colour: 'green' },
  note: { sign: '!', colour: 'yellow' },
  fail: { sign: '✗', colour: 'red' },
};

function coloured(colour: 'green' | 'yellow' | 'red', text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(colour, text) : text;
}

/**
 * Prints the checks.
 * @returns 0 when VMs can run, 1 otherwise
 */
export function printDoctor(json: boolean): number {
  const checks = [...checkHost(), checkResources()];
  const usable = checks.every((check) => check.status !== 'fail');
  if (json) {
    process.stdout.write(`${JSON.stringify({ usable, checks }, undefined, 2)}\n`);
  } else {
    const width = Math.max(...checks.map((check) => check.name.length));
    for (const { name, status, detail, hint } of checks) {
      const { sign, colour } = MARKS[status];
      process.stdout.write(`${coloured(colour, sign)} ${name.padEnd(width)}  ${detail}\n`);
      if (hint !== undefined) process.stdout.write(`  ${' '.repeat(width)}  → ${hint}\n`);
    }
    process.stdout.write(usable ? 'VMs can run here.\n' : 'No VM can run here yet.\n');
  }
  return usable ? EXIT_STATUS.ok : 1;
}
