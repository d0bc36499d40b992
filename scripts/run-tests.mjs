// Runs jest and ends standard output with "N passed, N failed[, N skipped]".
//
// The tests of test/integration run one file after the other, each in a process of its own: they
// measure and fill the machine, and a VMM that dies there must not take the other results with it.
// All other tests run in one jest, in parallel. Arguments go to jest: npm test -- test/unit -t name
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { root } from './stamps.mjs';

const jest = createRequire(import.meta.url).resolve('jest/bin/jest');
const userArgs = process.argv.slice(2);
const directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-test-'));
const INTEGRATION = '<rootDir>/test/integration/**/*.test.ts';
const total = { passed: 0, failed: 0, skipped: 0 };
let status = 0;
let child;

/** jest waits for ever for a thread that is inside KVM_RUN: somebody has to look at the clock. */
// testMatch is a list, which would swallow patterns that follow it: another option goes between.
function runJest(args, minutes) {
  const counts = path.join(directory, 'counts.json');
  rmSync(counts, { force: true });
  return new Promise((resolve) => {
    // In a group of its own, so that everything it started can be ended.
    child = spawn(process.execPath, [jest, ...args, '--ci', '--passWithNoTests', ...userArgs], {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, VEXIT_TEST_COUNTS: counts },
      detached: true,
    });
    const timer = setTimeout(() => {
      console.error(`tests: not finished after ${minutes} minutes: ${args.join(' ')}`);
      process.kill(-child.pid, 'SIGKILL');
    }, minutes * 60_000);
    child.once('close', (code) => {
      clearTimeout(timer);
      child = undefined;
      if (code !== 0) status = 1;
      let counted;
      try {
        counted = JSON.parse(readFileSync(counts, 'utf8'));
      } catch {
        // It died, or wrote nothing because it was asked for something else, such as --version.
        counted = { passed: 0, failed: code === 0 ? 0 : 1, skipped: 0 };
      }
      for (const key of Object.keys(total)) total[key] += counted[key];
      if (code !== 0 && counted.failed === 0) total.failed++;
      resolve();
    });
  });
}

function end(code) {
  rmSync(directory, { recursive: true, force: true });
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
  process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`, () =>
    process.exit(code),
  );
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, () => {
    if (child !== undefined) process.kill(-child.pid, 'SIGKILL');
    total.failed++;
    end(code);
  });
}

const workers = Math.max(1, Math.min(4, os.availableParallelism()));
await runJest(
  [
    `--maxWorkers=${workers}`,
    '--testMatch=<rootDir>/test/**/*.test.ts',
    // Not a negated testMatch: jest does not replace <rootDir> behind an exclamation mark.
    '--testPathIgnorePatterns=/test/integration/',
  ],
  10,
);

const list = spawnSync(
  process.execPath,
  [jest, `--testMatch=${INTEGRATION}`, '--listTests', '--passWithNoTests', ...userArgs],
  {
    cwd: root,
    encoding: 'utf8',
  },
);
for (const file of list.stdout
  .split('\n')
  .filter((line) => line.endsWith('.test.ts'))
  .sort()) {
  await runJest([`--testMatch=${file}`, '--runInBand'], 40);
}

if (total.passed + total.failed + total.skipped === 0) {
  console.error('tests: no test matches');
  status = 1;
}
end(status);
