/** `vexit disk`: what it makes, what it says about bad input, and what it leaves behind: nothing. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const MIB = 2 ** 20;

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-disk-cli-'));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function vexit(args: readonly string[], prefix: readonly string[] = []): Outcome {
  const [program = '', ...rest] = [...prefix, process.execPath, CLI, ...args];
  const { status, stdout, stderr } = spawnSync(program, rest, {
    cwd: dir,
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, VEXIT_CODE_CACHE: '0', XDG_CACHE_HOME: path.join(dir, 'none') },
  });
  return { status, stdout, stderr };
}

const SILENT: Outcome = { status: 0, stdout: '', stderr: '' };

function expectRefused({ status, stdout, stderr }: Outcome, says: RegExp): void {
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^vexit: [^\n]+\n$/);
  expect(stderr).toMatch(says);
  expect(stderr).not.toMatch(/ at .*:\d+:\d+|TypeError|RangeError/);
  expect(status).toBe(2);
}

describe('vexit disk', () => {
  test('create, info and resize an empty disk', () => {
    expect(vexit(['disk', 'create', 'a.img', '100M'])).toEqual(SILENT);
    const { stdout, stderr, status } = vexit(['disk', 'info', 'a.img']);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toMatch(/^virtual size +100 MiB \(104857600 bytes\)$/m);
    expect(stdout).toMatch(/^format +raw$/m);
    expect(vexit(['disk', 'resize', 'a.img', '1G'])).toEqual(SILENT);
    expect(JSON.parse(vexit(['disk', 'info', 'a.img', '--json']).stdout)).toMatchObject({
      path: 'a.img',
      format: 'raw',
      kind: 'file',
      virtualSize: 2 ** 30,
    });
  });

  test('a file system of a directory, grown and shrunk with the disk', () => {
    mkdirSync(path.join(dir, 'from'));
    writeFileSync(path.join(dir, 'from/hello'), 'hello');
    expect(vexit(['disk', 'create', 'r.ext4', '16M', '--from', 'from'])).toEqual(SILENT);
    expect(vexit(['disk', 'resize', 'r.ext4', '64M', '--fs'])).toEqual(SILENT);
    expect(vexit(['disk', 'resize', 'r.ext4', '8M', '--fs', '--shrink'])).toEqual(SILENT);
    const image = path.join(dir, 'r.ext4');
    expect(statSync(image).size).toBe(8 * MIB);
    expect(spawnSync('/sbin/e2fsck', ['-f', '-n', image]).status).toBe(0);
    const cat = spawnSync('/sbin/debugfs', ['-R', 'cat /hello', image], { encoding: 'utf8' });
    expect(cat.stdout).toBe('hello');
  });

  test.each(['create', 'info', 'resize'])('%s --help has examples', (command) => {
    const { status, stdout } = vexit(['disk', command, '--help']);
    expect(status).toBe(0);
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain(`vexit disk ${command} `);
    expect(stdout.split('\n').every((line) => line.length <= 100)).toBe(true);
  });
});

describe('bad input to vexit disk', () => {
  const cases: { what: string; args: string[]; says: RegExp }[] = [
    { what: 'nothing', args: [], says: /create, info or resize/ },
    { what: 'an unknown command', args: ['crate'], says: /create|crate/ },
    { what: 'no size', args: ['create', 'new'], says: /got 1, need at least 2/ },
    ...['', '0', '-1G', '1.5G', 'abc', '1X', '99999999999T', '100'].map((size) => ({
      what: `a size of "${size}"`,
      args: ['create', 'new', size],
      says: /size|not possible|multiple of 512|need at least 2/,
    })),
    { what: 'a file that is there', args: ['create', 'there', '1M'], says: /exists already: rem/ },
    { what: 'a directory', args: ['create', 'folder', '1M'], says: /exists already/ },
    { what: 'no directory', args: ['create', 'no/new', '1M'], says: /no directory .*\/no: make/ },
    { what: 'below a file', args: ['create', 'there/new', '1M'], says: /not below a directory/ },
    { what: 'a long name', args: ['create', 'n'.repeat(300), '1M'], says: /too long/ },
    {
      what: 'too large a file',
      args: ['create', 'new', '8000T'],
      says: /too large: give|too large/,
    },
    { what: 'an unknown format', args: ['create', 'new', '1M', '--format', 'xfs'], says: /format/ },
    {
      what: 'options given twice',
      args: ['create', 'new', '1M', '--from', 'a', '--from', 'b'],
      says: /--from is given 2 times/,
    },
    { what: 'no content', args: ['create', 'new', '1M', '--from', 'none'], says: /none: does not/ },
    {
      what: 'content that is no archive',
      args: ['create', 'new', '16M', '--from', 'there'],
      says: /there is not a tar archive: give/,
    },
    {
      what: 'content that is a device',
      args: ['create', 'new', '16M', '--from', '/dev/null'],
      says: /neither a directory nor an archive/,
    },
    {
      what: 'a size too small for ext4',
      args: ['create', 'new', '4K', '--format', 'ext4'],
      says: /too little for the file system: give/,
    },
    { what: 'info of nothing', args: ['info', 'none'], says: /none: does not exist: check/ },
    { what: 'info of a directory', args: ['info', 'folder'], says: /is a directory/ },
    { what: 'info of a device', args: ['info', '/dev/null'], says: /not a disk image/ },
    { what: 'resizing nothing', args: ['resize', 'none', '1M'], says: /none: does not exist/ },
    { what: 'resizing a device', args: ['resize', '/dev/null', '1M'], says: /not a disk image/ },
    { what: 'shrinking', args: ['resize', 'there', '512'], says: /larger already.*--shrink/ },
    { what: 'an odd size', args: ['resize', 'there', '5001'], says: /multiple of 512/ },
    { what: 'no file system', args: ['resize', 'there', '1M', '--fs'], says: /holds no ext4/ },
  ];

  test.each([
    { args: ['new', '--package', 'fio'], says: /busybox has no packages: make .*--kind debian/ },
    { args: ['new', '--kind', 'debian', '--package', '../x'], says: /"\.\.\/x" is not the name/ },
    { args: ['new', '--kind', 'debian', '--package', ''], says: /"" is not the name/ },
  ])('vexit guest disk $args', ({ args, says }) => {
    expectRefused(vexit(['guest', 'disk', ...args]), says);
    expect(readdirSync(dir)).toEqual([]);
  });

  test.each(cases)('$what', ({ args, says }) => {
    writeFileSync(path.join(dir, 'there'), 'text '.repeat(1000));
    mkdirSync(path.join(dir, 'folder'));
    expectRefused(vexit(['disk', ...args]), says);
    expect(readdirSync(dir).sort()).toEqual(['folder', 'there']);
    expect(readFileSync(path.join(dir, 'there'), 'utf8')).toBe('text '.repeat(1000));
  });

  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  asNobody.push('--inh-caps=-all', '--');
  const rootTest = process.getuid?.() === 0 ? test : test.skip;

  rootTest('no permission', () => {
    writeFileSync(path.join(dir, 'disk'), Buffer.alloc(512));
    expectRefused(vexit(['disk', 'create', 'new', '1M'], asNobody), /new: permission denied/);
    expectRefused(vexit(['disk', 'resize', 'disk', '1M'], asNobody), /disk: permission denied/);
    mkdirSync(path.join(dir, 'open'));
    mkdirSync(path.join(dir, 'closed'), { mode: 0o700 });
    chmodSync(path.join(dir, 'open'), 0o777);
    const args = ['disk', 'create', 'open/new', '16M', '--from', 'closed'];
    expectRefused(vexit(args, asNobody), /not all of closed may be read/);
    expect(readdirSync(path.join(dir, 'open'))).toEqual([]);
  });

  rootTest('without privileges, content becomes root’s', () => {
    mkdirSync(path.join(dir, 'open/from'), { recursive: true });
    writeFileSync(path.join(dir, 'open/from/tool'), 'x', { mode: 0o755 });
    spawnSync('chown', ['-R', '65534:65534', path.join(dir, 'open')]);
    const args = ['disk', 'create', 'open/new', '16M', '--from', 'open/from'];
    expect(vexit(args, asNobody)).toEqual(SILENT);
    const image = path.join(dir, 'open/new');
    for (const file of ['/', '/tool']) {
      const stat = spawnSync('/sbin/debugfs', ['-R', `stat ${file}`, image], { encoding: 'utf8' });
      expect(stat.stdout).toMatch(/User: +0 +Group: +0 /);
    }
  });

  const own = ['unshare', '--user', '--map-root-user', '--mount', '--'];
  const mayMount = spawnSync(own[0]!, [...own.slice(1), 'mount', '-t', 'tmpfs', 'x', '/mnt']);
  (mayMount.status === 0 ? test : test.skip)('no space left', () => {
    mkdirSync(path.join(dir, 'small'));
    mkdirSync(path.join(dir, 'from'));
    writeFileSync(path.join(dir, 'from/large'), Buffer.alloc(4 * MIB, 1));
    const script =
      'mount -t tmpfs -o size=2M x small && "$@"; status=$?; ls -A small; exit $status';
    const prefix = [...own, 'sh', '-c', script, 'sh'];
    const args = ['disk', 'create', 'small/new', '64M', '--from', 'from'];
    // Nothing on standard output: ls finds the place empty.
    expectRefused(vexit(args, prefix), /there is no space left on the host: free some/);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('%s leaves nothing behind', async (signal) => {
    mkdirSync(path.join(dir, 'bin'));
    const slow = path.join(dir, 'bin/tar');
    writeFileSync(slow, '#!/bin/sh\ntouch "$5/started"\nexec sleep 60\n', { mode: 0o755 });
    writeFileSync(path.join(dir, 'archive'), 'x');
    const child = spawn(
      process.execPath,
      [CLI, 'disk', 'create', 'new', '16M', '--from', 'archive'],
      {
        cwd: dir,
        env: { ...process.env, PATH: `${path.join(dir, 'bin')}:${process.env.PATH}` },
        stdio: 'ignore',
      },
    );
    const ended = once(child, 'exit');
    const started = (): boolean =>
      readdirSync(dir).some((name) => existsSync(path.join(dir, name, 'content/started')));
    await until('tar runs', started);
    child.kill(signal);
    expect((await ended)[1]).toBe(signal);
    expect(readdirSync(dir).sort()).toEqual(['archive', 'bin']);
  });
});
