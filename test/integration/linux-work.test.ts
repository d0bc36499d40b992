/**
 * Linux at work in a shared directory and over vsock, in one boot: cases of POSIX, random operations that are
 * repeated on the host, a tar of many files unpacked and packed again, a repository of git's, and many
 * streams at once.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VirtualMachine } from 'vexit';
import { copyGit, hasGit } from '../support/guest-git.js';
import { describeKvm } from '../support/kvm.js';
import { buildLinuxProgram } from '../support/linux-program.js';
import { until } from '../support/run-guest.js';
import { describeTree, makeTree } from '../support/tree.js';
import { runStreams } from '../support/vsock-streams.js';

/** How much, with `VEXIT_TEST_WORK=full`, or for a guest kernel that is interpreted: 30 ms a system call. */
const FULL = process.env.VEXIT_TEST_WORK === 'full';
const FILES = Number(process.env.VEXIT_TEST_FILES ?? (FULL ? 10_000 : 60));
const STEPS = FULL ? 5000 : 50;
const VERSIONED = FULL ? 200 : 4;
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const STREAMS = 50;
const STREAM_BYTES = Number(process.env.VEXIT_TEST_STREAM_BYTES ?? (FULL ? 10 << 20 : 20_000));
const TIMEOUT_MS = FULL ? 3_000_000 : 600_000;

jest.setTimeout(TIMEOUT_MS + 20_000);
/** Mounting a small disk is for root. */
const testMount = process.getuid?.() === 0 ? test : test.skip;
const testGit = hasGit ? test : test.skip;

describeKvm('Linux at work', () => {
  let directory = '';
  let share = '';
  let vm: VirtualMachine;
  let watchdog: NodeJS.Timeout;
  const at = (...names: string[]): string => path.join(share, ...names);

  /** Runs a command in the guest. */
  async function run(...argv: string[]): Promise<{ status: number | null; output: string }> {
    const started = Date.now();
    const { status, stdout, stderr } = await vm.agent!.run(argv, { cwd: '/mnt' });
    if (FULL) console.log(`${argv.join(' ')}: ${Date.now() - started} ms`);
    return { status, output: `${stdout.toString()}${stderr.toString()}` };
  }

  beforeAll(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-work-'));
    share = path.join(directory, 'share');
    for (const name of ['', 'posix', 'stress', 'tree', 'small']) mkdirSync(at(name));
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', at('small')]);
    for (const name of ['posix', 'stress', 'streams']) buildLinuxProgram(name, at(`${name}.bin`));
    vm = await VirtualMachine.create({
      agent: true,
      vsock: true,
      shares: [{ hostPath: share, guestPath: '/mnt' }],
    });
    watchdog = setTimeout(() => void vm.stop(), TIMEOUT_MS - 10_000);
    vm.console.output.resume();
    await vm.start();
    await vm.agent!.ready();
  });
  afterAll(async () => {
    clearTimeout(watchdog);
    await vm.stop();
    spawnSync('umount', [at('small')]);
    rmSync(directory, { recursive: true, force: true });
  });

  test('has of POSIX in a shared directory what the host has', async () => {
    const host = path.join(directory, 'posix');
    mkdirSync(host);
    const expected = spawnSync(at('posix.bin'), [host], { encoding: 'utf8' });
    expect(expected.stdout).toMatch(/^\d+ cases, 0 do not hold\n$/);
    expect(await run('/mnt/posix.bin', 'posix')).toEqual({ status: 0, output: expected.stdout });
  });

  test(`does what the host does in ${STEPS} random steps`, async () => {
    const host = path.join(directory, 'stress');
    mkdirSync(host);
    const args = [String(SEED), String(STEPS)];
    const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
    const expected = execFileSync(at('stress.bin'), [host, ...args], options).split('\n');
    const { output } = await run('/mnt/stress.bin', 'stress', ...args);
    const lines = output.split('\n');
    const first = lines.findIndex((line, i) => line !== expected[i]);
    const around = (all: string[]): string[] => all.slice(Math.max(0, first - 10), first + 3);
    expect({ seed: SEED, lines: around(lines) }).toEqual({ seed: SEED, lines: around(expected) });
    expect(lines).toHaveLength(expected.length);
    expect(withoutTimes(at('stress'))).toEqual(withoutTimes(host));
  });

  test(`unpacks and packs ${FILES} files, which are the same on both sides`, async () => {
    const source = path.join(directory, 'source');
    makeTree(source, FILES);
    execFileSync('tar', ['-C', source, '-cf', at('in.tar'), '.']);
    const unpack = await run('sh', '-c', 'tar -C tree -xpf in.tar && sync -f tree');
    expect(unpack).toEqual({ status: 0, output: '' });
    const expected = describeTree(source);
    expect(expected.length).toBeGreaterThan(FILES);
    expect(describeTree(at('tree'))).toEqual(expected);
    const pack = await run('sh', '-c', 'tar -C tree -cf out.tar . && md5sum < out.tar');
    const packed = createHash('md5')
      .update(readFileSync(at('out.tar')))
      .digest('hex');
    expect(pack).toEqual({ status: 0, output: `${packed}  -\n` });
    const back = path.join(directory, 'back');
    mkdirSync(back);
    execFileSync('tar', ['-C', back, '-xpf', at('out.tar')]);
    expect(describeTree(back)).toEqual(expected);
    expect(await run('rm', '-r', 'tree')).toEqual({ status: 0, output: '' });
  });

  testGit(
    `keeps a repository of git's with ${VERSIONED} files, which the host's finds whole`,
    async () => {
      const script = path.join(__dirname, '..', 'guests', 'repository.sh');
      const host = path.join(directory, 'repository');
      execFileSync('sh', [script, host, String(VERSIONED)], {
        env: { ...process.env, GIT: '/usr/bin/git' },
      });
      copyFileSync(script, at('repository.sh'));
      copyGit(at('git'), '/mnt/git');
      const command = `GIT=/mnt/git/git sh repository.sh /mnt/repository ${VERSIONED}`;
      expect(await run('sh', '-c', command)).toEqual({ status: 0, output: '' });
      const repositories = readdirSync(share).filter((name) => name.startsWith('repository'));
      expect(repositories).toContain('repository');
      for (const name of repositories.filter((each) => !each.endsWith('.sh'))) {
        const git = (...args: string[]): string => {
          const options = ['-c', 'safe.directory=*', '-C', at(name)];
          return execFileSync('git', [...options, ...args], { encoding: 'utf8' });
        };
        expect(git('fsck', '--full', '--strict')).toBe('');
        // What the guest has noted of its files in the index, to the nanosecond, is what the host sees.
        expect(git('diff-files')).toBe('');
        expect(git('status', '--porcelain')).toBe('');
        expect(git('rev-parse', 'HEAD')).toBe(
          execFileSync('git', ['-C', host, 'rev-parse', 'HEAD'], { encoding: 'utf8' }),
        );
      }
    },
  );

  testMount('gets an error where the disk of the host is full, and goes on', async () => {
    const { status, output } = await run(
      'dd',
      'if=/dev/zero',
      'of=small/big',
      'bs=64k',
      'count=32',
    );
    expect(output).toContain('No space left on device');
    expect(status).toBe(1);
    expect(await run('sh', '-c', 'rm small/big && echo fits > small/file')).toMatchObject({
      status: 0,
    });
    expect(readFileSync(at('small/file'), 'utf8')).toBe('fits\n');
  });

  test('sees what the host changes', async () => {
    writeFileSync(at('news'), 'old');
    expect((await run('cat', 'news')).output).toBe('old');
    writeFileSync(at('news'), 'newer');
    // cache=auto: the guest believes a file's size for a second.
    await sleep(1100);
    expect((await run('cat', 'news')).output).toBe('newer');
  });

  test(`has ${2 * STREAMS} streams at once, each of ${STREAM_BYTES} bytes both ways`, async () => {
    const args = [String(STREAMS), String(STREAM_BYTES)];
    let said = '';
    let ended: Promise<unknown> | undefined;
    const right = await runStreams(vm.vsock!, STREAMS, STREAM_BYTES, async () => {
      const program = await vm.agent!.exec(['/mnt/streams.bin', ...args]);
      program.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
      ended = program.wait();
      await until('the program listens', () => said.startsWith('listening'), 60_000);
    });
    expect(right).toBe(2 * STREAMS);
    expect(await ended).toEqual({ status: 0, signal: null });
    expect(said).toBe(`listening\nright ${2 * STREAMS} wrong 0\n`);
  });
});

/** Times are those of the run. */
function withoutTimes(root: string): string[] {
  return describeTree(root).map((line) => line.replace(/ \d{9,} /, ' '));
}
