/** Programs and files in the guest of a VM in the background, in one boot of Linux. */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
/** A boot takes 20 s of a processor here; a busy machine may need many times that. */
const BUSY_MS = 600_000;
jest.setTimeout(BUSY_MS);

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

let home: string;
let env: NodeJS.ProcessEnv;
let terminal: ChildProcess | undefined;

beforeAll(() => {
  // Longer than the path of a unix socket may be.
  home = fs.mkdtempSync(path.join(os.tmpdir(), `vexit-exec-${'long-'.repeat(25)}`));
  env = { ...process.env, XDG_STATE_HOME: home, VEXIT_CODE_CACHE: '0', NO_COLOR: '1' };
});
afterAll(() => {
  terminal?.kill('SIGKILL');
  const names = spawnSync(process.execPath, [CLI, 'ps', '-aq'], { env, encoding: 'utf8' }).stdout;
  for (const name of names.split('\n').filter((one) => one !== '')) {
    spawnSync(process.execPath, [CLI, 'rm', '-f', name], { env });
  }
  fs.rmSync(home, { recursive: true, force: true });
});

async function vexit(args: readonly string[], input = ''): Promise<Outcome> {
  const running = promisify(execFile)(process.execPath, [CLI, ...args], { env });
  running.child.stdin!.end(input);
  try {
    return { status: 0, ...(await running) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

async function ok(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await vexit(args);
  expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: '' });
  return stdout.trim();
}

/** An error of one line. */
async function fails(...args: string[]): Promise<{ status: number; says: string }> {
  const { status, stdout, stderr } = await vexit(args);
  expect(stdout).toBe('');
  expect(stderr.trim().split('\n')).toHaveLength(1);
  return { status, says: stderr.trim() };
}

const file = (name: string): string => path.join(home, name);

describeKvm('programs and files in a VM of the default guest', () => {
  beforeAll(async () => {
    expect(await ok('run', '-d', '--name', 'web')).toBe('web');
    const log = file('vexit/vms/web/console.log');
    const booted = (): boolean => fs.readFileSync(log, 'latin1').includes('# ');
    await until('a shell', booted, BUSY_MS);
  });

  test('exec: streams and exit status are the program’s', async () => {
    const script = 'cat; echo err >&2; pwd; echo $A; id -u; exit 7';
    const options = ['-i', '-e', 'A=b c', '-w', '/tmp', '-u', '1000'];
    const run = await vexit(['exec', ...options, 'web', '--', 'sh', '-c', script], 'input\n');
    expect(run).toEqual({ status: 7, stdout: 'input\n/tmp\nb c\n1000\n', stderr: 'err\n' });
    // Without -i the program reads nothing.
    expect(await vexit(['exec', 'web', '--', 'cat'], 'input')).toEqual({
      ...{ status: 0, stdout: '', stderr: '' },
    });
    expect((await vexit(['exec', 'web', '--', 'sh', '-c', 'kill -9 $$'])).status).toBe(137);
  });

  test('exec: what cannot be run', async () => {
    expect(await fails('exec', 'web', '--', 'nosuch')).toMatchObject({ status: 127 });
    expect(await fails('exec', 'web', '--', '/etc')).toMatchObject({ status: 126 });
    const noCommand = await fails('exec', 'web');
    expect(noCommand).toMatchObject({ status: 125 });
    expect(noCommand.says).toContain('vexit exec web -- ls');
  });

  test('exec -it: the terminal’s size, changes of it, Ctrl-C and the status', async () => {
    const resize = `(until [ -e ${file('go')} ]; do sleep 0.1; done; stty rows 41 cols 99 </dev/tty) &`;
    const line = `stty rows 31 cols 97; ${resize} ${process.execPath} ${CLI} exec -it web -- sh; echo status=$?`;
    const child = spawn('script', ['-qec', line, '/dev/null'], { env, stdio: 'pipe' });
    terminal = child;
    let text = '';
    child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')));
    const shows = (what: string): Promise<void> => until(what, () => text.includes(what), BUSY_MS);
    await shows('# ');
    child.stdin.write('stty size\r');
    await shows('31 97');
    fs.writeFileSync(file('go'), '');
    child.stdin.write('until [ "$(stty size)" = "41 99" ]; do sleep 0.1; done; echo resi""zed\r');
    await shows('resized');
    child.stdin.write('echo slee""ping; sleep 1000\r');
    await shows('sleeping');
    child.stdin.write('\x03');
    child.stdin.write('exit 9\r');
    await shows('status=9');
  });

  test('cp: files and directories both ways', async () => {
    fs.mkdirSync(file('tree/sub'), { recursive: true });
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) & 0xff));
    fs.writeFileSync(file('tree/sub/bytes'), bytes, { mode: 0o640 });
    await ok('cp', file('tree'), 'web:/tmp');
    await ok('cp', file('tree/sub/bytes'), 'web:/tmp/one');
    expect(await ok('exec', 'web', '--', 'sh', '-c', 'cmp /tmp/one /tmp/tree/sub/bytes')).toBe('');
    await ok('cp', 'web:/tmp/tree', file('back'));
    await ok('cp', 'web:/tmp/one', file('one'));
    expect(fs.readFileSync(file('back/sub/bytes')).equals(bytes)).toBe(true);
    expect(fs.readFileSync(file('one')).equals(bytes)).toBe(true);
    expect(fs.statSync(file('one')).mode & 0o777).toBe(0o640);
    expect(await fails('cp', 'web:/nosuch', file('x'))).toMatchObject({ status: 2 });
    expect(await fails('cp', file('x'), 'web:/tmp')).toMatchObject({ status: 2 });
    expect((await fails('cp', 'a', 'b')).says).toContain('VM:PATH');
  });

  test('a paused VM says so; stop by the agent ends the guest in order', async () => {
    await ok('pause', 'web');
    const paused = await fails('exec', 'web', '--', 'true');
    expect(paused).toMatchObject({ status: 125 });
    expect(paused.says).toContain('vexit resume web');
    await ok('resume', 'web');
    await ok('stop', '--time', '300', 'web');
    expect(await ok('inspect', '--format', '{{.state.exit.reason}}', 'web')).toBe('power-off');
    expect((await fails('exec', 'web', '--', 'true')).says).toContain('web is not running');
    expect(fs.existsSync(file('vexit/vms/web/vsock.sock'))).toBe(false);
  });
});

describeKvm('VMs without an agent', () => {
  test('a kernel of its own, an unknown VM: one line', async () => {
    const kernel = ['--kernel', buildGuest('control'), '--memory', '16M', '--cmdline', 'do=S'];
    await ok('run', '-d', '--name', 'own', ...kernel);
    for (const args of [
      ['exec', 'own', '--', 'true'],
      ['cp', CLI, 'own:/tmp'],
    ]) {
      expect((await fails(...args)).says).toContain('VM own has no agent');
    }
    const unknown = await fails('exec', 'nobody', '--', 'true');
    expect(unknown).toMatchObject({ status: 125 });
    expect(unknown.says).toContain('no VM is called nobody');
    await ok('rm', '-f', 'own');
  });
});
