/** `vexit/jest` in a jest of its own: what passes, what a failure shows, and that jest ends. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';

const ROOT = path.resolve(__dirname, '../..');
const JEST = path.join(ROOT, 'node_modules/jest/bin/jest.js');

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-jest-'));
  const config = {
    testMatch: ['<rootDir>/*.test.js'],
    moduleNameMapper: { '^vexit/jest$': path.join(ROOT, 'dist/jest.js') },
  };
  writeFileSync(path.join(directory, 'jest.config.json'), JSON.stringify(config));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly artifacts: Record<string, string>;
}

/** Runs a test file; `control` guests do what `do=` on their command line says. */
function jestWith(name: string, body: string): Outcome {
  const file = path.join(directory, `${name}.test.js`);
  const artifacts = path.join(directory, name);
  writeFileSync(
    file,
    `const { vmTest, TestVm } = require('vexit/jest');
const guest = (orders) => ({
  kernel: ${JSON.stringify(buildGuest('control'))}, memory: '16M', cmdline: 'do=' + orders,
});
${body}`,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, [JEST, file], {
    cwd: directory,
    encoding: 'utf8',
    timeout: 90_000,
    env: { ...process.env, VEXIT_ARTIFACTS: artifacts, VEXIT_TEST_COUNTS: '' },
  });
  let names: string[] = [];
  try {
    names = readdirSync(artifacts);
  } catch {
    // Nothing was kept.
  }
  const kept = names.map((kept) => [kept, readFileSync(path.join(artifacts, kept), 'utf8')]);
  return { status, output: stdout + stderr, artifacts: Object.fromEntries(kept) as never };
}

describeKvm('vexit/jest', () => {
  test('boots a kernel, sees what it prints, types, and sees its end', () => {
    const outcome = jestWith(
      'passes',
      `vmTest('prints and powers off', guest('lp'), async (vm) => {
         const [, code] = await vm.waitFor(/post=(\\w+)\\n/);
         expect(code).toBe('3c');
         expect(await vm.wait()).toMatchObject({ reason: 'power-off', status: 0 });
         expect(vm.console.text).toBe('post=3c\\n');
       });
       vmTest('does what is typed', guest(''), async (vm) => {
         vm.type('lp');
         await vm.waitFor('post=3c');
         expect(await vm.wait()).toMatchObject({ reason: 'power-off' });
       });
       vmTest('is stopped after the body', guest('S'), (vm) => vm.waitFor('spin'));
       vmTest.skip('is left out', guest('S'), () => { throw new Error('not left out'); });
       test('a VM without a test of its own', async () => {
         const vm = await TestVm.start(guest('t'));
         try {
           expect(await vm.wait()).toMatchObject({ reason: 'triple-fault' });
           await expect(vm.waitFor('more')).rejects.toThrow(/has ended without printing it/);
         } finally {
           await vm.stop();
         }
       });`,
    );
    expect(outcome.output).toContain('4 passed');
    expect(outcome.output).toContain('1 skipped');
    expect(outcome).toMatchObject({ status: 0, artifacts: {} });
  });

  test('shows the console of a test that fails, keeps it, and ends', () => {
    const { status, output, artifacts } = jestWith(
      'fails',
      `vmTest('expects another code', guest('lp'), async (vm) => {
         const [, code] = await vm.waitFor(/post=(\\w+)\\n/);
         expect(code).toBe('ff');
       });
       vmTest('waits in vain', guest('S'), (vm) => vm.waitFor('never', 200));
       vmTest('waits for an end', guest('S'), (vm) => vm.wait(200));
       vmTest('takes too long', { ...guest('S'), timeout: 500 }, async (vm) => {
         await vm.waitFor('spin');
         await new Promise(() => undefined);
       });`,
    );
    expect(status).toBe(1);
    expect(output).toContain('4 failed');
    expect(output).toMatch(/The guest's console:\s+post=3c/);
    expect(output).toMatch(/never: not printed within 200 ms; the console's end:\s+spin/);
    expect(output).toMatch(/has not ended within 200 ms; the console's end:/);
    expect(output).toContain('the test has not ended within 500 ms');
    expect(artifacts['expects-another-code.log']).toBe('post=3c\n');
    expect(Object.keys(artifacts)).toHaveLength(4);
  });
});
