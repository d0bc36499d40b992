/** Linux keeps the vector registers of its programs apart: on kvm-pvm this takes completions. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeKvm } from '../support/kvm.js';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const SOURCE = path.resolve(__dirname, '../guests/vector-linux.c');
const BOOT_TIMEOUT_S = 300;

jest.setTimeout((BOOT_TIMEOUT_S + 20) * 1000);

describeKvm('programs of the default guest', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'vexit-vector-'));
    const flags = ['-static', '-s', '-O1', '-Wall', '-Wextra', '-Werror'];
    execFileSync('gcc', [...flags, SOURCE, '-o', path.join(dir, 'vector')], { stdio: 'pipe' });
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  test('keep AVX and AVX-512 registers over task switches', () => {
    const options = ['--timeout', String(BOOT_TIMEOUT_S), '--share', `${dir}:/mnt:ro`];
    const args = [CLI, 'run', ...options, '--', '/mnt/vector'];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(stdout).toMatch(/^no AVX\n$|3 of 3 programs kept their registers/);
    expect(status).toBe(0);
  });
});
