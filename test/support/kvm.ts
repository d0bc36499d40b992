/** Whether VMs can run here: tests that need KVM are skipped, and counted as skipped, elsewhere. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../..');

/**
 * Opens /dev/kvm (which checks API version 12) and lets a guest of a few bytes power itself off,
 * in a process of its own: a host that hangs or crashes in it must not take the tests along.
 */
const PROBE = `
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const dir = mkdtempSync(require('node:path').join(require('node:os').tmpdir(), 'vexit-probe-'));
const kernel = dir + '/probe';
// mov dx, 0x604; mov ax, 0x2000; out dx, ax; hlt
writeFileSync(kernel, Buffer.from('ba0406b80020eff4', 'hex'));
(async () => {
  const { VirtualMachine } = require(process.argv[1]);
  const vm = await VirtualMachine.create({ kernel, bootProtocol: 'flat', memory: '16M' });
  setTimeout(() => void vm.stop(), 20000).unref();
  await vm.start();
  const { reason } = await vm.wait();
  if (reason !== 'power-off') throw new Error('the probe guest ended with ' + reason);
})().catch((error) => { console.error(error.message); process.exitCode = 1; })
    .finally(() => rmSync(dir, { recursive: true }));
`;

let answer: string | undefined;

/** Why no VM can run here; the empty string when one can. */
export function kvmProblem(): string {
  if (answer !== undefined) return answer;
  const library = path.join(ROOT, 'dist/index.js');
  if (!existsSync(library)) throw new Error('dist/ is missing: run npm run build first');
  const { status, stderr } = spawnSync(process.execPath, ['-e', PROBE, library], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  answer = status === 0 ? '' : stderr.trim() || 'the probe guest did not end';
  return answer;
}

/** `describe` where VMs can run; skipped elsewhere, or failing when REQUIRE_KVM=1. */
export function describeKvm(name: string, body: () => void): void {
  const problem = kvmProblem();
  if (problem === '') {
    describe(name, body);
  } else if (process.env.REQUIRE_KVM === '1') {
    describe(name, () => {
      test('needs KVM', () => {
        throw new Error(`REQUIRE_KVM=1, but no VM can run here: ${problem}`);
      });
    });
  } else {
    describe.skip(`${name} (no KVM: ${problem})`, body);
  }
}
