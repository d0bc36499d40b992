/** VMs in the background by the command line: every command, mistakes, races, kills, leaks. */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Vexit } from 'vexit';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
/** Rounds of the test for leaks; each starts and kills ten VMs at once. */
const ROUNDS = Number(process.env.VEXIT_MANAGE_ROUNDS ?? '1');

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let home: string;
let env: NodeJS.ProcessEnv;
const children: ChildProcess[] = [];

beforeAll(() => {
  // Longer than the path of a unix socket may be.
  home = fs.mkdtempSync(path.join(os.tmpdir(), `vexit-manage-${'long-'.repeat(25)}`));
  env = { ...process.env, XDG_STATE_HOME: home, VEXIT_CODE_CACHE: '0', NO_COLOR: '1' };
});
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const pid of processes()) process.kill(pid, 'SIGKILL');
  fs.rmSync(home, { recursive: true, force: true });
});
afterEach(() => {
  const { stdout } = vexit('ps', '-aq');
  const names = stdout.split('\n').filter((name) => name !== '');
  if (names.length > 0) vexit('rm', '-f', ...names);
  expect(entries()).toEqual([]);
});

function vexit(...args: string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'latin1',
    timeout: 60_000,
    env,
    input: '',
  });
  return { status, stdout, stderr };
}

function ok(...args: string[]): string {
  const { status, stdout, stderr } = vexit(...args);
  expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: '' });
  return stdout.trim();
}

/** The same without waiting for it. */
async function later(...args: string[]): Promise<Outcome> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [CLI, ...args], { env });
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

/** What follows `vexit run -d` or `create` for the obedient guest. */
function guest(name: string, orders: string, ...more: string[]): string[] {
  const kernel = ['--kernel', buildGuest('control'), '--memory', '16M'];
  return ['--name', name, ...kernel, '--cmdline', `do=${orders}`, ...more];
}

function state(name: string, field: string): string {
  return ok('inspect', '--format', `{{.state.${field}}}`, name);
}

function entries(): string[] {
  const vms = path.join(home, 'vexit', 'vms');
  return fs.existsSync(vms) ? fs.readdirSync(vms).filter((name) => name !== '.lock') : [];
}

/** Processes of VMs of this test. */
function processes(): number[] {
  return fs
    .readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return fs
          .readFileSync(`/proc/${pid}/environ`, 'latin1')
          .includes(`XDG_STATE_HOME=${home}\0`);
      } catch {
        return false; // ended, or another user's
      }
    })
    .map(Number);
}

describeKvm('a VM in the background', () => {
  test('runs, is listed, says things, pauses, is renamed, stops, starts again and is removed', async () => {
    expect(ok('run', '-d', ...guest('web', 'S'))).toBe('web');
    expect(ok('ps', '-q')).toBe('web');
    await until('spin', () => ok('logs', 'web').includes('spin'));
    ok('pause', 'web');
    expect(state('web', 'status')).toBe('paused');
    expect(ok('ps')).toMatch(/^web +paused/m);
    ok('resume', 'web');
    ok('rename', 'web', 'web-2');
    expect(vexit('inspect', 'web').status).toBe(2);
    expect(state('web-2', 'status')).toBe('running');
    // The guest does not listen to the power button.
    ok('stop', '--time', '0.2', 'web-2');
    expect(state('web-2', 'exit.reason')).toBe('killed');
    expect(ok('wait', 'web-2')).toBe('137');
    expect(ok('ps', '-q')).toBe('');
    expect(ok('ps', '-aq')).toBe('web-2');
    ok('start', 'web-2');
    ok('kill', 'web-2');
    ok('rm', 'web-2');
    const events = ok('events', '--since', '1h', '--no-follow', '--format', '{{.type}}');
    expect(events.split('\n').slice(-11)).toEqual([
      ...['create', 'start', 'pause', 'resume', 'rename', 'stop', 'exit', 'start', 'kill', 'exit'],
      'remove',
    ]);
  });

  test('create, start, wait: the guest ends by itself', () => {
    ok('create', ...guest('once', 'p'));
    expect(state('once', 'status')).toBe('created');
    ok('start', 'once');
    expect(ok('wait', 'once')).toBe('0');
    expect(state('once', 'exit.reason')).toBe('power-off');
    expect(ok('prune')).toBe('once');
  });

  test('stop presses the power button of a guest that listens', () => {
    ok('run', '-d', ...guest('polite', 'w'));
    ok('stop', '--time', '60', 'polite');
    expect(state('polite', 'exit.reason')).toBe('power-off');
  });

  test('--rm: nothing is left when it ends', async () => {
    ok('run', '-d', '--rm', ...guest('gone', 'p'));
    await until('it is gone', () => entries().length === 0 && processes().length === 0);
  });

  test('restart policies', async () => {
    ok('run', '-d', '--restart', 'on-failure:2', '--debug-exit', ...guest('fails', 'd'));
    expect(ok('wait', 'fails')).toBe('15');
    expect(state('fails', 'restarts')).toBe('2');
    ok('run', '-d', '--restart', 'always', ...guest('always', 'p'));
    await until('restarts', () => Number(state('always', 'restarts')) > 1);
    ok('stop', 'always');
    expect(state('always', 'status')).toBe('exited');
    ok('run', '-d', ...guest('again', 'S'));
    const pid = state('again', 'pid');
    ok('restart', '--time', '0', 'again');
    await until('it runs again', () => state('again', 'restarts') === '1');
    expect(state('again', 'pid')).toBe(pid);
    ok('update', '--restart', 'always', 'again');
    expect(ok('inspect', '--format', '{{.config.restart.name}}', 'again')).toBe('always');
  });

  test('attach: types into the console, and ends with the VM and its status', async () => {
    ok('run', '-d', '--debug-exit', ...guest('talk', ''));
    const child = spawn(process.execPath, [CLI, 'attach', 'talk'], { env });
    children.push(child);
    let output = '';
    let status: number | null | undefined;
    child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
    child.on('close', (code) => (status = code));
    child.stdin.write('e');
    await until('echo', () => output.includes('echo'));
    child.stdin.write('d');
    await until('the end', () => status !== undefined);
    expect(status).toBe(15);
    expect(ok('logs', '--tail', '1', 'talk')).toBe('echo');
  });

  test('logs -f ends with the VM', async () => {
    ok('run', '-d', ...guest('talk', ''));
    const following = later('logs', '-f', 'talk');
    ok('kill', 'talk');
    expect((await following).stdout).toContain('ready');
  });

  test('the library finds the same VMs', async () => {
    const library = new Vexit(path.join(home, 'vexit'));
    const options = { kernel: buildGuest('control'), memory: '16M', cmdline: 'do=S' };
    const vm = await library.run({ name: 'lib', options });
    expect(ok('ps', '-q')).toBe('lib');
    expect((await library.get('lib').state()).status).toBe('running');
    expect(library.list().map(({ name }) => name)).toEqual(['lib']);
    expect(await vm.stop(0)).toMatchObject({ reason: 'killed', status: 137 });
    await vm.remove();
    expect(() => library.get('lib')).toThrow('no VM is called lib');
  });
});

describeKvm('a VM on a terminal with a name', () => {
  test('is listed and stopped by its name, and leaves nothing', async () => {
    const child = spawn(process.execPath, [CLI, 'run', ...guest('fg', 'S')], { env });
    children.push(child);
    let status: number | null | undefined;
    child.on('close', (code) => (status = code));
    await until('it runs', () => ok('ps', '-q') === 'fg');
    expect(vexit('run', '-d', ...guest('fg', 'S')).stderr).toContain('is there already');
    expect(vexit('attach', 'fg').status).toBe(2);
    expect(vexit('restart', 'fg').status).toBe(2);
    ok('stop', '--time', '0', 'fg');
    await until('it ends', () => status !== undefined);
    expect(status).toBe(130);
    expect(entries()).toEqual([]);
  });
});

describeKvm('mistakes', () => {
  test.each([
    ['an unknown VM', ['stop', 'nobody'], 'no VM is called nobody'],
    ['an illegal name', ['run', '-d', '--name', '../x'], 'is not a name for a VM'],
    ['an illegal name asked for', ['rm', '-f', '..'], 'is not a name for a VM'],
    ['a policy nobody knows', ['run', '-d', '--restart', 'maybe'], '--restart maybe is not known'],
    ['a policy on a terminal', ['run', '--restart', 'always'], 'add --detach'],
    ['a time that is none', ['stop', '--time', 'x', 'a'], '--time is not a number'],
    ['lines that are no number', ['logs', '--tail', 'x', 'web'], 'no VM is called web'],
    ['a filter nobody knows', ['ps', '--filter', 'x=y'], '--filter x=y is not known'],
    ['nothing to change', ['update', 'web'], 'nothing to change'],
    ['no VM', ['start'], 'Not enough'],
  ])('%s', (_, args, says) => {
    const { status, stderr, stdout } = vexit(...args);
    expect(stderr).toContain(says);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });

  test('a VM that cannot start leaves nothing; its error is the library’s', () => {
    const { status, stderr } = vexit('run', '-d', '--name', 'bad', '--kernel', '/nonexistent');
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: 'vexit: /nonexistent does not exist: check the path and its permissions\n',
    });
    expect(entries()).toEqual([]);
  });

  test('commands on VMs in the wrong state', () => {
    ok('create', ...guest('web', 'S'));
    for (const command of ['stop', 'kill', 'pause', 'resume', 'attach', 'wait']) {
      const { status, stderr } = vexit(command, 'web');
      expect({ command, status }).toEqual({ command, status: 2 });
      expect(stderr).toMatch(/^vexit: .*(not running|is created|has not been started)\n$/);
    }
    ok('start', 'web');
    expect(vexit('start', 'web').stderr).toContain('is running already');
    expect(vexit('resume', 'web').status).toBe(2);
    expect(vexit('rm', 'web').stderr).toContain('vexit rm -f');
    expect(state('web', 'status')).toBe('running');
  });

  test('one of several that fails does not keep the others from it', () => {
    ok('create', ...guest('a', 'p'));
    ok('create', ...guest('b', 'p'));
    const { status, stdout, stderr } = vexit('rm', 'a', 'nobody', 'b');
    expect({ status, stdout }).toEqual({ status: 2, stdout: 'a\nb\n' });
    expect(stderr).toContain('nobody');
  });
});

describeKvm('commands at once, and processes that are killed', () => {
  test('of eight starts one starts it', async () => {
    ok('create', ...guest('web', 'S'));
    const results = await Promise.all(Array.from({ length: 8 }, () => later('start', 'web')));
    expect(results.filter(({ status }) => status === 0)).toHaveLength(1);
    expect(processes()).toHaveLength(1);
  });

  test('stop, kill, rm -f and restart of one VM at once: each does its work or says why not', async () => {
    ok('run', '-d', ...guest('web', 'S'));
    const commands = [
      ['stop', '-t', '1'],
      ['kill'],
      ['rm', '-f'],
      ['restart', '-t', '0'],
      ['pause'],
    ];
    const results = await Promise.all(commands.map((args) => later(...args, 'web')));
    for (const { status, stderr } of results) {
      expect([0, 2, 125]).toContain(status);
      expect(stderr.trim().split('\n').length).toBeLessThan(2);
    }
    vexit('rm', '-f', 'web');
    expect(processes()).toEqual([]);
  });

  test('a killed VM is seen by the next command, and starts again', () => {
    ok('run', '-d', ...guest('web', 'S'));
    process.kill(Number(state('web', 'pid')), 'SIGKILL');
    expect(ok('wait', 'web')).toBe('137');
    expect(state('web', 'exit.reason')).toBe('process-killed');
    ok('start', 'web');
    expect(state('web', 'status')).toBe('running');
  });

  test('a process that does not answer is ended by kill', () => {
    ok('run', '-d', ...guest('web', 'S'));
    process.kill(Number(state('web', 'pid')), 'SIGSTOP');
    ok('kill', 'web');
    expect(state('web', 'status')).toBe('exited');
  });

  test('run -d killed at any moment: the next command finds a VM or nothing', async () => {
    for (let ms = 0; ms < 900; ms += 100) {
      const child = spawn(process.execPath, [CLI, 'run', '-d', '--rm', ...guest('web', 'S')], {
        env,
      });
      await new Promise((resolve) => setTimeout(resolve, ms));
      child.kill('SIGKILL');
      vexit('ps');
      vexit('rm', '-f', 'web');
      expect(entries()).toEqual([]);
      await until('no process', () => processes().length === 0);
    }
  });

  test('ten at once, started and killed: nothing is left', async () => {
    const before = fs.readdirSync(os.tmpdir()).length;
    for (let round = 0; round < ROUNDS; round++) {
      const names = Array.from({ length: 10 }, (_, i) => `vm-${i}`);
      const started = await Promise.all(
        names.map((name) => later('run', '-d', ...guest(name, 'S'))),
      );
      expect(started.map(({ status }) => status)).toEqual(names.map(() => 0));
      const [byCommand, bySignal] = [names.slice(0, 5), names.slice(5)];
      for (const name of bySignal) process.kill(Number(state(name, 'pid')), 'SIGKILL');
      const killed = await Promise.all(byCommand.map((name) => later('kill', name)));
      expect(killed.map(({ status }) => status)).toEqual(byCommand.map(() => 0));
      expect(ok('ps', '-q')).toBe('');
      ok('prune');
      expect(entries()).toEqual([]);
      expect(processes()).toEqual([]);
    }
    expect(fs.readdirSync(path.join(home, 'vexit')).sort()).toEqual(['events.jsonl', 'vms']);
    expect(fs.readdirSync(os.tmpdir()).length).toBeLessThanOrEqual(before + 2);
  });

  test('a VM’s process holds the same files after every restart', async () => {
    ok('run', '-d', ...guest('web', 'S'));
    const pid = state('web', 'pid');
    const count = (): number => fs.readdirSync(`/proc/${pid}/fd`).length;
    const restart = async (times: number): Promise<void> => {
      ok('restart', '-t', '0', 'web');
      await until('again', () => state('web', 'restarts') === String(times));
      await until('runs', () => state('web', 'status') === 'running');
    };
    await restart(1);
    const files = count();
    await restart(2);
    await restart(3);
    expect(count()).toBeLessThanOrEqual(files);
  });
});
