/** Limits of VMs in the background, by the command line: what is in force, by what, and changes. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');

let home: string;
let env: NodeJS.ProcessEnv;

beforeAll(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-resources-'));
  env = { ...process.env, XDG_STATE_HOME: home, VEXIT_CODE_CACHE: '0', NO_COLOR: '1' };
});
afterEach(() => vexit('rm', '-f', 'web'));
afterAll(() => fs.rmSync(home, { recursive: true, force: true }));

function vexit(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'latin1',
    timeout: 60_000,
    env,
    input: '',
  });
}

function ok(...args: string[]): string {
  const { status, stdout, stderr } = vexit(...args);
  expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: '' });
  return stdout.trim();
}

/** A VM whose guest spins on its vCPU, and never leaves it. */
function spin(...options: string[]): void {
  const guest = ['--kernel', buildGuest('control'), '--memory', '16M', '--cmdline', 'do=S'];
  ok('run', '-d', '--name', 'web', ...guest, ...options);
}

const inspect = (field: string): string => ok('inspect', '--format', `{{json .${field}}}`, 'web');

interface Row {
  readonly cpuPercent: number;
  readonly heldPercent: number;
}

const stats = (): Row => (JSON.parse(ok('stats', '--no-stream', '--json', 'web')) as [Row])[0];

/** A field of every thread's status. */
function threads(field: string): string[] {
  const pid = inspect('state.pid');
  const found = fs.readdirSync(`/proc/${pid}/task`).map((tid) => {
    const text = fs.readFileSync(`/proc/${pid}/task/${tid}/status`, 'latin1');
    return new RegExp(`^${field}:\\s+(.*)$`, 'm').exec(text)![1]!;
  });
  return [...new Set(found)];
}

describeKvm('limits of a VM', () => {
  test('a guest that never leaves its vCPU can be counted', () => {
    spin();
    expect(stats().heldPercent).toBe(0);
    expect(inspect('resources')).toBe('null');
  });

  test('quota, weight and processors: in force, reported, changed, taken away', () => {
    spin('--cpu-quota', '0.1', '--cpu-weight', '50', '--cpuset', '0');
    const limits = JSON.parse(inspect('resources')) as Record<string, { by: string }>;
    expect(Object.keys(limits)).toEqual(['cpuWeight', 'cpuQuota', 'cpuset']);
    expect(limits.cpuset).toEqual({ limit: '0', by: 'affinity' });
    expect(threads('Cpus_allowed_list')).toEqual(['0']);
    const byHold = limits.cpuQuota!.by === 'vcpu-hold';
    expect(['vcpu-hold', 'cgroup']).toContain(limits.cpuQuota!.by);
    // A busy machine gives less; nothing may give more.
    expect(stats().cpuPercent).toBeLessThan(16);
    if (byHold) expect(stats().heldPercent).toBeGreaterThan(0);
    ok('update', '--cpu-quota', '0.05', 'web');
    stats();
    expect(stats().cpuPercent).toBeLessThan(9);
    ok('update', '--cpu-quota', 'none', '--cpuset', 'none', '--cpu-weight', '40', 'web');
    expect(inspect('config.resources')).toBe('{"cpuWeight":40}');
    expect(stats().heldPercent).toBe(0);
    if (os.availableParallelism() > 1) expect(threads('Cpus_allowed_list')).not.toEqual(['0']);
  });

  test('pause and resume of a VM that is held', () => {
    spin('--cpu-quota', '0.02');
    for (let i = 0; i < 3; i++) {
      ok('pause', 'web');
      expect(inspect('state.status')).toBe('"paused"');
      ok('resume', 'web');
    }
    expect(inspect('state.status')).toBe('"running"');
    expect(stats().cpuPercent).toBeLessThan(6);
    ok('stop', '-t', '0', 'web');
  });

  test('a VM with more memory than its limit is ended', async () => {
    spin();
    ok('update', '--memory-limit', '64M', 'web');
    await until('its end', () => inspect('state.status') === '"exited"');
    // By this process, or by the kernel.
    expect(['"memory-limit"', '"process-killed"']).toContain(inspect('state.exit.reason'));
    expect(ok('wait', 'web')).toBe('137');
  });

  test.each([
    [['--cpu-quota', '0'], 'a CPU quota of 0 is not possible'],
    [['--cpuset', '9-1'], 'cpuset "9-1" is not a list of processors'],
    [['--cpuset', '1023'], 'this host has no processor 1023'],
  ])('%j: refused, and nothing is left', (options, message) => {
    const kernel = ['--kernel', buildGuest('control'), '--memory', '16M'];
    for (const run of [
      ['run', '-d', '--name', 'web'],
      ['run', '--timeout', '5'],
    ]) {
      const { status, stderr } = vexit(...run, ...kernel, ...options);
      expect(stderr).toContain(message);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(status).toBe(2);
    }
    expect(ok('ps', '-aq')).toBe('');
  });

  test('a change that makes no sense changes nothing', () => {
    spin('--cpu-weight', '90');
    for (const change of [
      ['--cpuset', '1023'],
      ['--cpu-weight', 'x'],
    ]) {
      const { status, stderr } = vexit('update', ...change, 'web');
      expect({ status, lines: stderr.trim().split('\n').length }).toEqual({ status: 2, lines: 1 });
    }
    expect(inspect('config.resources')).toBe('{"cpuWeight":90}');
    expect(inspect('resources.cpuWeight.limit')).toBe('90');
  });
});
