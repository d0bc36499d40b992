/**
 * The programs of docs/cookbook.md, from the packed package in an empty directory.
 *
 * VEXIT_NODES names other Node.js to run them with, a colon between; scripts/node-versions.sh does so.
 * VEXIT_COOKBOOK=all boots Linux by `require` too, and not by `import` alone.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { PackedPackage } from '../support/packed';

const ROOT = path.resolve(__dirname, '../..');
const NODES = (process.env.VEXIT_NODES ?? process.execPath).split(':');
const BOTH_WAYS = process.env.VEXIT_COOKBOOK === 'all';
const LINUX_MS = 600_000;

/** Programs by file name. */
function programs(): Map<string, string> {
  const text = readFileSync(path.join(ROOT, 'docs/cookbook.md'), 'utf8');
  const blocks = text.matchAll(/^```js\n\/\/ file: (\S+)\n(.*?)^```$/gms);
  return new Map(Array.from(blocks, ([, name, code]) => [name!, code!]));
}

/** The same program with `require`. */
function required(code: string): string {
  const plain = code
    .replace(/^import (\{[^}]*\}|\w+) from ('[^']+');$/gm, 'const $1 = require($2);')
    .replaceAll('shout-device.mjs', 'shout-device.cjs');
  const exported = Array.from(plain.matchAll(/^export class (\w+)/gm), ([, name]) => name!);
  if (exported.length > 0) {
    return `${plain.replace(/^export class/gm, 'class')}\nmodule.exports = { ${exported.join()} };`;
  }
  return `async function main() {\n${plain}}\nmain().catch((error) => {\n  console.error(error);\n  process.exit(1);\n});\n`;
}

const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'ci-job': ['+ tr a-z A-Z < source/message.txt > results.txt', '20 results.txt'],
  sandbox: ['kept alone 3'],
  policy: ['welcome', 'denied', 'asked: 10.0.2.2 192.0.2.1'],
  device: ['answer=HELLO, WORLD power-off'],
};
const LINUX = ['ci-job', 'sandbox', 'policy'];

jest.setTimeout(LINUX_MS + 20_000);

describeKvm('the cookbook', () => {
  let installed: PackedPackage;
  beforeAll(() => {
    installed = PackedPackage.install();
    for (const [file, code] of programs()) {
      installed.write(file, code);
      if (file.endsWith('.mjs')) installed.write(file.replace('.mjs', '.cjs'), required(code));
    }
  });
  afterAll(() => installed.remove());

  test('has the programs that are run here', () => {
    const names = [...Object.keys(EXPECTED), 'shout-device'].map((name) => `${name}.mjs`);
    expect([...programs().keys()].sort()).toEqual([...names, 'kernel.test.cjs'].sort());
  });

  const cases = NODES.flatMap((node) =>
    Object.keys(EXPECTED).flatMap((name) => {
      const imported = { node, name, way: 'import', file: `${name}.mjs` };
      if (LINUX.includes(name) && !BOTH_WAYS) return [imported];
      return [imported, { node, name, way: 'require', file: `${name}.cjs` }];
    }),
  );
  test.each(cases)('$name by $way, $node', async ({ node, name, file }) => {
    const { stdout } = await promisify(execFile)(node, [file], {
      cwd: installed.user,
      timeout: LINUX_MS,
      env: { ...process.env, KERNEL: buildGuest('virtio') },
    });
    for (const line of EXPECTED[name]!) expect(stdout.split('\n')).toContain(line);
    if (name === 'ci-job') {
      const results = readFileSync(path.join(installed.user, 'results.txt'), 'utf8');
      expect(results).toBe('HELLO FROM THE HOST\n');
    }
  });

  test.each(NODES)('the kernel test in jest, %s', async (node) => {
    const jest = path.join(ROOT, 'node_modules/jest/bin/jest.js');
    const args = [jest, '--rootDir', installed.user, '--testMatch', '**/*.test.cjs'];
    const { stderr } = await promisify(execFile)(node, args, {
      cwd: installed.user,
      timeout: 60_000,
      env: { ...process.env, KERNEL: buildGuest('control'), VEXIT_TEST_COUNTS: '' },
    });
    expect(stderr).toContain('1 passed');
  });
});
