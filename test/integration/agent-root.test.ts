/**
 * The agent's way to a root disk. Its parser runs as a program; mounting, switching and handing over
 * run as PID 1 of name spaces, with an overlay in the place of a disk.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  readdirSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const AGENT = path.resolve(__dirname, '../../src/guest/init');
const SUPPORT = path.resolve(__dirname, '../support/agent');
const AGENT_SOURCES = readdirSync(AGENT)
  .filter((name) => name.endsWith('.c'))
  .map((name) => path.join(AGENT, name));

let dir: string;
const program = (name: string): string => path.join(dir, name);

function compile(name: string, sources: readonly string[]): void {
  const flags = ['-static', '-O1', '-Wall', '-Wextra', '-Werror', `-I${AGENT}`].concat(
    '-DCOMMAND_LINE_FILE="/cmdline"',
  );
  execFileSync('gcc', [...flags, ...sources, '-o', program(name)], { stdio: 'pipe' });
}

beforeAll(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-agent-'));
  compile('parse', [path.join(SUPPORT, 'parse.c'), path.join(AGENT, 'root.c')]);
  compile('agent', AGENT_SOURCES);
  compile('probe', [path.join(SUPPORT, 'probe.c')]);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("the kernel's command line", () => {
  const long = 'x'.repeat(3000);
  test.each([
    ['', '- - - - rw'],
    ['console=ttyS0 quiet', '- - - - rw'],
    ['vexit.root=/dev/vda rw', '/dev/vda - - - rw'],
    ['ro vexit.root=/dev/vda', '/dev/vda - - - ro'],
    ['ro rw vexit.root=/dev/vda', '/dev/vda - - - rw'],
    ['vexit.root=/dev/vda vexit.rootfstype=ext4 init=/bin/bash', '/dev/vda ext4 - /bin/bash rw'],
    ['vexit.root=a vexit.root=b', 'b - - - rw'],
    ['vexit.root=', '- - - - rw'],
    ['vexit.root', '- - - - rw'],
    ['nvexit.root=/dev/vda root=/dev/vdb rootfstype=x', '- - - - rw'],
    ['vexit.root=a vexit.rootflags="lowerdir=/a b,x" ro', 'a - lowerdir=/a b,x - ro'],
    ['"vexit.root=/dev/vda"', '/dev/vda - - - rw'],
    ['\t vexit.root=a\n', 'a - - - rw'],
    ['vexit.root="a', 'a - - - rw'],
    ['vexit.root=a -- init=/x ro', 'a - - - rw'],
    [`vexit.root=${long}`, `${long} - - - rw`],
  ])('%s', (line, expected) => {
    const { stdout, status } = spawnSync(program('parse'), [line], { encoding: 'utf8' });
    expect({ stdout, status }).toEqual({ stdout: `${expected}\n`, status: 0 });
  });
});

/** Own mounts, processes, names and network: nothing here touches the host. */
const ISOLATED = [
  ...['--user', '--map-root-user', '--mount', '--pid', '--fork', '--kill-child', '--ipc'],
  ...['--uts', '--net'],
];
const canIsolate =
  spawnSync('unshare', [
    ...ISOLATED,
    ...['sh', '-c', 'cd /tmp && d=$(mktemp -d) && mount -t proc p $d && umount $d; rmdir $d'],
  ]).status === 0;

interface Outcome {
  readonly console: string;
  readonly messages: string;
}

interface DiskOptions {
  /** Programs of the disk, path to which of ours, or to a link's target after "->". */
  readonly files?: Readonly<Record<string, string>>;
  readonly run?: string;
  readonly cmdline: string;
}

/** Boots a root with an overlay that is the disk; what the console shows is a file. */
function boot({ files = {}, run, cmdline }: DiskOptions): Outcome {
  const root = mkdtempSync(path.join(dir, 'root-'));
  const disk = path.join(root, 'disk');
  const folders = [
    '.vexit',
    'dev',
    'proc',
    'sys',
    'run',
    'tmp',
    'upper',
    'work',
    'disk/bin',
  ].concat(['disk/dev', 'disk/proc', 'disk/sys', 'disk/run']);
  for (const folder of [...folders, 'disk/tmp', 'disk/sbin', 'disk/.vexit']) {
    mkdirSync(path.join(root, folder), { recursive: true });
  }
  copyFileSync(program('agent'), path.join(root, '.vexit/init'));
  if (run !== undefined) writeFileSync(path.join(root, '.vexit/run'), run);
  writeFileSync(path.join(root, 'only-in-the-old-root'), '');
  writeFileSync(path.join(root, 'dev/console'), '');
  writeFileSync(path.join(root, 'cmdline'), cmdline);
  writeFileSync(path.join(disk, 'marker'), 'disk');
  writeFileSync(path.join(disk, 'tmp/kept'), '');
  for (const [file, source] of Object.entries(files)) {
    const at = path.join(disk, file);
    if (source.startsWith('->')) symlinkSync(source.slice(2), at);
    else copyFileSync(program(source), at);
    if (!source.startsWith('->')) chmodSync(at, 0o755);
  }
  const script = `
    mount --bind "$1" "$1" && cd "$1"
    mount --bind dev dev
    mount -t tmpfs tmpfs tmp
    exec chroot . /.vexit/init single <dev/console >dev/console 2>messages`;
  writeFileSync(path.join(root, 'messages'), '');
  const { error } = spawnSync('unshare', [...ISOLATED, 'sh', '-c', script, 'sh', root], {
    timeout: 60_000,
  });
  if (error !== undefined) throw error;
  const text = (file: string): string => readFileSync(path.join(root, file), 'utf8');
  return { console: text('dev/console'), messages: text('messages') };
}

const OVERLAY =
  'vexit.root=disk vexit.rootfstype=overlay vexit.rootflags=lowerdir=/disk,upperdir=/upper,workdir=/work';

(canIsolate ? describe : describe.skip)('the agent as PID 1 with a root disk', () => {
  test('runs a command in the root of the disk', () => {
    const { console: shown } = boot({
      cmdline: OVERLAY,
      run: 'arg\0probe\0arg\0x y\0',
      files: { 'bin/probe': 'probe' },
    });
    expect(shown).toBe('pid=0 marker=disk proc=yes old=no tmp=yes args=probe,x y\n');
  });

  test("becomes the disk's init, with the arguments the kernel gave", () => {
    const { console: shown } = boot({ cmdline: OVERLAY, files: { 'sbin/init': 'probe' } });
    expect(shown).toBe('pid=1 marker=disk proc=yes old=no tmp=yes args=/sbin/init,single\n');
  });

  test('prefers the init that the command line names, and a command to both', () => {
    const files = { 'sbin/init': 'probe', 'bin/other': 'probe', 'bin/probe': 'probe' };
    const named = `${OVERLAY} init=/bin/other`;
    expect(boot({ cmdline: named, files }).console).toMatch(/^pid=1 .*args=\/bin\/other,single\n$/);
    const command = boot({ cmdline: named, files, run: 'arg\0probe\0' });
    expect(command.console).toMatch(/^pid=0 .*args=probe\n$/);
  });

  test.each([
    ['none', {}],
    ['the agent', { 'sbin/init': '->/.vexit/init', '.vexit/init': 'agent' }],
  ])('starts a shell where the init of the disk is %s', (_, files) => {
    const { console: shown } = boot({ cmdline: OVERLAY, files: { ...files, 'bin/sh': 'probe' } });
    expect(shown).toContain('The root file system is on a disk.');
    expect(shown).toMatch(/^pid=0 marker=disk .*args=-sh$/m);
  });

  test('a read-only disk gets a /tmp in memory', () => {
    const { console: shown } = boot({
      cmdline: `ro vexit.root=disk vexit.rootfstype=overlay vexit.rootflags=lowerdir=/disk:/upper`,
      run: 'arg\0probe\0',
      files: { 'bin/probe': 'probe' },
    });
    expect(shown).toMatch(/marker=disk proc=yes old=no tmp=no/);
  });

  test('runs nothing when the disk cannot be mounted', () => {
    const { console: shown, messages } = boot({
      cmdline: 'vexit.root=nowhere vexit.rootfstype=ext4',
      run: 'arg\0/.vexit/init\0',
    });
    expect(shown).toBe('');
    expect(messages).toContain('vexit-init: cannot use the root file system on nowhere: ');
    expect(messages).not.toContain('cannot start');
  });

  test('without a root on the command line the old one stays', () => {
    const { console: shown } = boot({
      cmdline: 'quiet',
      run: 'arg\0/disk/bin/probe\0',
      files: { 'bin/probe': 'probe' },
    });
    expect(shown).toMatch(/marker= .*old=yes/);
  });
});
