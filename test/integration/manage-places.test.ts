/** State directories that are full, read-only or somebody else's, in a name space of mounts. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';
import { unprivilegedProblem } from '../support/unprivileged';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const problem = unprivilegedProblem();
const describeMounts = problem === '' ? describeKvm : describe.skip;
if (problem !== '') console.warn(`skipped: ${problem}`);

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describeMounts('a state directory', () => {
  let directory: string;
  let holder: ChildProcess;

  /** Runs in the name space. */
  function inside(...argv: string[]): Outcome {
    const args = [`--mount=/proc/${holder.pid}/ns/mnt`, '--', ...argv];
    return spawnSync('nsenter', args, {
      encoding: 'latin1',
      timeout: 60_000,
      env: { ...process.env, XDG_STATE_HOME: directory, VEXIT_CODE_CACHE: '0', NO_COLOR: '1' },
      input: '',
    });
  }

  const vexit = (...args: string[]): Outcome => inside(process.execPath, CLI, ...args);
  const shell = (script: string): string => {
    const { status, stdout, stderr } = inside('sh', '-c', `cd "$0" && ${script}`, directory);
    expect({ script, status, stderr }).toEqual({ script, status: 0, stderr: '' });
    return stdout.trim();
  };

  function ok(...args: string[]): string {
    const { status, stdout, stderr } = vexit(...args);
    expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: '' });
    return stdout.trim();
  }

  /** A command that is refused, in one line. */
  function refused(...args: string[]): string {
    const { status, stdout, stderr } = vexit(...args);
    expect({ args, status, stdout }).toEqual({ args, status: 2, stdout: '' });
    expect(stderr.trim().split('\n')).toHaveLength(1);
    return stderr;
  }

  const guest = (name: string, orders = 'S'): string[] => {
    const kernel = ['--kernel', buildGuest('control'), '--memory', '16M'];
    return ['--name', name, ...kernel, '--cmdline', `do=${orders}`];
  };
  const fill = (): string => shell('cat /dev/zero >full 2>/dev/null; test -s full');

  beforeEach(async () => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-places-'));
    const setUp =
      'mount -t tmpfs -o size=512k,mode=700 tmpfs "$0" && echo ready && exec sleep 1000';
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', setUp, directory];
    holder = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    holder.stdout!.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await until('the name space', () => said.includes('ready'));
  });
  afterEach(() => {
    shell('rm -f full');
    const names = vexit('ps', '-aq').stdout.split('\n').filter(Boolean);
    if (names.length > 0) ok('rm', '-f', ...names);
    holder.kill('SIGKILL');
    execFileSync('rmdir', [directory]);
  });

  test('on a full disk: no new VM, and nothing of it', () => {
    ok('create', ...guest('before'));
    fill();
    for (const command of [['run', '-d'], ['create']]) {
      expect(refused(...command, ...guest('new'))).toContain('make room on that file system');
    }
    expect(ok('ps', '-aq')).toBe('before');
    expect(shell('ls -A vexit/vms')).toBe('.lock\nbefore'.split('\n').sort().join('\n'));
  });

  test('that becomes full: a VM runs on, is stopped and starts again', () => {
    ok('run', '-d', ...guest('web', 'o'));
    fill();
    expect(ok('inspect', '--format', '{{.state.status}}', 'web')).toBe('running');
    ok('pause', 'web');
    ok('resume', 'web');
    ok('stop', '-t', '0', 'web');
    expect(ok('inspect', '--format', '{{.state.exit.reason}}', 'web')).toBe('killed');
    shell('rm full');
    ok('start', 'web');
  });

  test('that is read-only can be looked at', () => {
    ok('create', ...guest('web'));
    shell('mount -o remount,ro .');
    expect(ok('ps', '-aq')).toBe('web');
    expect(ok('inspect', '--format', '{{.name}}', 'web')).toBe('web');
    for (const command of [
      ['run', '-d', ...guest('new')],
      ['start', 'web'],
      ['rm', 'web'],
      ['rename', 'web', 'web-2'],
      ['update', '--cpu-weight', '50', 'web'],
    ]) {
      expect(refused(...command)).toContain('read-only');
    }
    shell('mount -o remount,rw .');
    expect(ok('ps', '-aq')).toBe('web');
  });

  test("that is another user's is refused", () => {
    ok('create', ...guest('web'));
    shell('chown 12345 vexit');
    for (const command of [['ps'], ['run', '-d', ...guest('new')], ['rm', '-f', 'web']]) {
      expect(refused(...command)).toContain('belongs to another user (uid 12345)');
    }
    shell('chown 0 vexit');
    expect(ok('ps', '-aq')).toBe('web');
  });

  test('with a half-written configuration: that VM says so, the others work', () => {
    ok('create', ...guest('web'));
    ok('create', ...guest('good', 'p'));
    shell(
      'head -c 100 vexit/vms/web/config.json >new && cat new >vexit/vms/web/config.json; rm new',
    );
    expect(refused('start', 'web')).toContain('config.json is damaged');
    ok('start', 'good');
    expect(ok('wait', 'good')).toBe('0');
    expect(vexit('ps', '-a').stdout).toContain('good');
    ok('rm', '-f', 'web');
    expect(ok('ps', '-aq')).toBe('good');
  });
});
