/** `vexit up` and `down`: several VMs from a file, with guests of a few bytes. */
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Vexit, type ProjectProgress } from 'vexit';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';
import { CLI, VexitHome, type Outcome } from '../support/vexit-home';

let host: VexitHome;
let attached: ChildProcess | undefined;

beforeAll(() => {
  host = new VexitHome();
});
afterEach(async () => {
  attached?.kill('SIGKILL');
  await host.expectNothing();
});
afterAll(() => host.remove());

const vexit = (...args: string[]): Promise<Outcome> => host.vexit(...args);
const ok = (...args: string[]): Promise<string> => host.ok(...args);
const up = (...more: string[]): Promise<Record<string, string>> => host.up(...more);
const write = (text: string, file?: string): void => host.write(text, file);
const names = async (): Promise<string[]> =>
  (await ok('ps', '-aq')).split('\n').filter((name) => name !== '');

/** A VM of a guest that says "spin" and runs for ever. */
const spinning = (more = ''): string =>
  `{kernel: ${buildGuest('control')}, memory: 16M, cmdline: do=S, stopTimeout: 0${more === '' ? '' : `, ${more}`}}`;

describeKvm('a project of small guests', () => {
  test('up makes what is missing, again what has changed, and nothing else', async () => {
    write(`name: small\nvms:\n  a: ${spinning()}\n  b: ${spinning('dependsOn: [a]')}\n`);
    expect(await up()).toEqual({ a: 'created', b: 'created' });
    expect(await names()).toEqual(['small-a', 'small-b']);
    const pid = await ok('inspect', '--format', '{{.state.pid}}', 'small-a');
    expect(await up()).toEqual({ a: 'kept', b: 'kept' });
    write(
      `name: small\nvms:\n  a: ${spinning()}\n  b: ${spinning('dependsOn: [a], append: x')}\n  c: ${spinning()}\n`,
    );
    await ok('stop', '-t', '0', 'small-a');
    // Only b, and what it needs.
    expect(await up('b')).toEqual({ a: 'started', b: 'recreated' });
    expect(await ok('inspect', '--format', '{{.state.pid}}', 'small-a')).not.toBe(pid);
    expect(await up()).toEqual({ a: 'kept', b: 'kept', c: 'created' });
    const shown = JSON.parse(await ok('ps', '--json', '-f', 'project=small')) as object[];
    expect(shown).toHaveLength(3);
    expect(await ok('ps', '--json', '-f', 'project=other')).toBe('[]');

    // What is not in the file any more is said, and removed when that is asked for.
    write(`name: small\nvms:\n  a: ${spinning()}\n`);
    expect((await vexit('up', '-d')).stderr).toContain('not in the file any more: b, c');
    expect(await names()).toHaveLength(3);
    expect(await up('--remove-orphans')).toEqual({ a: 'kept' });
    expect(await names()).toEqual(['small-a']);

    // A file that is no use any more still has the name; without a file the name will do.
    write('name: small\nvms: nonsense\n');
    expect((await vexit('up', '-d')).status).toBe(2);
    expect(JSON.parse(await ok('down', '-t', '0', '--json'))).toEqual({
      ...{ project: 'small', removed: ['a'] },
    });
    expect((await vexit('down', '-p', 'small')).stderr).toContain('no VM of project small');
  });

  test('a start that fails leaves nothing of this call, and what was there before', async () => {
    write('not a kernel', 'broken');
    write(`name: half\nvms:\n  a: ${spinning()}\n`);
    expect(await up()).toEqual({ a: 'created' });
    write(
      `name: half\nvms:\n  a: ${spinning()}\n  b: ${spinning()}\n  c: {kernel: broken, dependsOn: [a, b]}\n`,
    );
    const failed = await vexit('up', '-d');
    expect(failed).toMatchObject({ status: 2, stdout: '' });
    expect(failed.stderr.trim().split('\n').at(-1)).toMatch(/^vexit: c: .*broken is not a kernel/);
    expect(await names()).toEqual(['half-a']);
    await ok('down', '-t', '0');
  });

  test('mistakes are said before anything is started; names that others have are refused', async () => {
    write('name: bad\nvms:\n  a: {cpus: 0}\n  b: {dependsOn: [c]}\n');
    const { status, stderr } = await vexit('up', '-d');
    expect(status).toBe(2);
    expect(stderr.split('\n').map((line) => line.split(': ')[0])).toEqual([
      'vms.yaml:3:13',
      'vms.yaml:4:19',
      '',
    ]);
    write(`name: bad\nvms:\n  a: ${spinning()}\n`);
    const kernel = ['--kernel', buildGuest('control'), '--memory', '16M', '--cmdline', 'do=S'];
    await ok('run', '-d', '--name', 'bad-a', ...kernel);
    expect((await vexit('up', '-d')).stderr).toContain('a VM called bad-a is there already');
    await ok('down');
    expect(await names()).toEqual(['bad-a']);
    await ok('rm', '-f', 'bad-a');
    expect((await vexit('up', '-d', 'b')).stderr).toContain('the file has no VM b');
    fs.rmSync(path.join(host.home, 'vms.yaml'));
    expect((await vexit('up')).stderr).toContain('there is no vms.yaml');
  });

  test('a VM that has to complete first, and one that does not', async () => {
    const job = (orders: string): string =>
      `{kernel: ${buildGuest('control')}, memory: 16M, cmdline: do=${orders}}`;
    const file = (orders: string): string =>
      `name: jobs\nvms:\n  job: ${job(orders)}\n  a: ${spinning('dependsOn: {job: completed}')}\n`;
    write(file('ep'));
    expect(await up()).toEqual({ job: 'created', a: 'created' });
    // It has been: it is not run again.
    expect(await up()).toEqual({ job: 'kept', a: 'kept' });
    write(file('et'));
    const { status, stderr } = await vexit('up', '-d');
    expect(status).toBe(2);
    expect(stderr).toMatch(/^job +failed; the end of its log:\n +echo$/m);
    expect(stderr.trim().split('\n').at(-1)).toMatch(/^vexit: job has not completed/);
    await ok('down', '-t', '0');
  });

  test('without -d: logs with names; Ctrl-C stops all, those first that depend on others', async () => {
    write(`name: fore\nvms:\n  db: ${spinning()}\n  web: ${spinning('dependsOn: [db]')}\n`);
    const child = spawn(process.execPath, [CLI, 'up'], {
      ...{ env: host.env, cwd: host.home, stdio: 'pipe' as const },
    });
    attached = child;
    const [said, told] = [{ text: '' }, { text: '' }];
    child.stdout.on('data', (bytes: Buffer) => (said.text += bytes.toString('latin1')));
    child.stderr.on('data', (bytes: Buffer) => (told.text += bytes.toString('latin1')));
    const ended = new Promise((resolve) => child.once('close', resolve));
    await until(
      'both',
      () => /^db {2}\| spin$/m.test(said.text) && /^web \| spin$/m.test(said.text),
    );
    // Another one waits for its turn in vain only while the first changes something.
    expect(await up()).toEqual({ db: 'kept', web: 'kept' });
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    const steps = told.text.split('\n').filter((line) => line.includes('stop'));
    expect(steps.map((line) => line.replace(/ +/, ' '))).toEqual([
      ...['web stopping', 'web stopped', 'db stopping', 'db stopped'],
    ]);
    expect(await ok('ps', '-q')).toBe('');
    await ok('down');
  });

  test('by the library, with an end by a signal', async () => {
    const before = { state: process.env.XDG_STATE_HOME, runtime: process.env.XDG_RUNTIME_DIR };
    Object.assign(process.env, { XDG_STATE_HOME: host.home, XDG_RUNTIME_DIR: host.runtime });
    try {
      const here = new Vexit();
      const file = path.join(host.home, 'vms.yaml');
      const steps: ProjectProgress[] = [];
      write(`name: lib\nvms:\n  a: ${spinning()}\n  b: ${spinning('dependsOn: {a: completed}')}\n`);
      const controller = new AbortController();
      const started = here.up(file, {
        signal: controller.signal,
        onProgress: (one) => {
          steps.push(one);
          if (one.step === 'waiting') controller.abort();
        },
      });
      await expect(started).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      expect(steps.map(({ vm, step }) => `${vm} ${step}`)).toEqual([
        ...['a creating', 'a starting', 'a started', 'a waiting'],
      ]);
      expect(here.list()).toEqual([]);
      write('name: lib\nvms: {a: {cpus: 0}}\n');
      await expect(here.up(file)).rejects.toMatchObject({
        code: 'ERR_PROJECT',
        problems: [{ line: 2, column: 17, path: 'vms.a.cpus' }],
      });
      expect(await here.down('lib')).toEqual([]);
      await expect(here.down('../x')).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    } finally {
      process.env.XDG_STATE_HOME = before.state;
      if (before.state === undefined) delete process.env.XDG_STATE_HOME;
      process.env.XDG_RUNTIME_DIR = before.runtime;
      if (before.runtime === undefined) delete process.env.XDG_RUNTIME_DIR;
    }
  });
});
