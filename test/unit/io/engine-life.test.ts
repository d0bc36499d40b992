/** Engines in processes and workers of their own: what they leave behind, and that none hangs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { buildSync } from 'esbuild';

const ROOT = path.resolve(__dirname, '../../..');
const EPERM = 1;
const ENOSYS = 38;
/** Far more than anything here takes; what hangs is killed then. */
const TIMEOUT = 60_000;

let directory: string;
let bundle: string;
let noUring: string;

beforeAll(() => {
  // Within the repository, where the addon is found.
  directory = mkdtempSync(path.join(ROOT, 'build', 'test-io-'));
  bundle = path.join(directory, 'io.cjs');
  buildSync({
    entryPoints: [path.join(ROOT, 'bench/lib/io-bundle.mjs')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
  });
  noUring = path.join(directory, 'no-uring');
  execFileSync('gcc', ['-o', noUring, path.join(__dirname, 'no-uring.c')]);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function run(what: string, kind: string, launcher: string[] = []): unknown {
  const program = path.join(__dirname, 'engine-program.cjs');
  const command = [...launcher, process.execPath, '--expose-gc', program, bundle, what, kind];
  const { stdout, stderr, status, signal } = spawnSync(command[0]!, command.slice(1), {
    encoding: 'utf8',
    timeout: TIMEOUT,
    killSignal: 'SIGKILL',
  });
  expect({ stderr, status, signal }).toEqual({ stderr: '', status: 0, signal: null });
  return JSON.parse(stdout);
}

function canReadKernelLog(): boolean {
  try {
    accessSync('/dev/kmsg', constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

describe.each(['io_uring', 'threads'])('%s', (kind) => {
  test('two engines at once, in two workers', () => {
    expect(run('workers', kind)).toEqual([0, 0]);
  });

  const testBlocking = canReadKernelLog() ? test : test.skip;
  testBlocking('a request that does not end does not keep the process', () => {
    expect(run('exit', kind)).toBe('blocked');
  });
  testBlocking('a request that does not end does not keep a worker', () => {
    expect(run('terminate', kind)).toBeLessThan(10_000);
  });

  test('closed and abandoned engines leave no descriptor, thread, mapping or memory', () => {
    const { before, after } = run('leaks', kind) as Record<string, Record<string, number>>;
    // Workers of node and of the kernel come and go.
    expect(after!.fds! - before!.fds!).toBeLessThan(5);
    expect(after!.threads! - before!.threads!).toBeLessThan(5);
    expect(after!.maps! - before!.maps!).toBeLessThan(5);
    expect(after!.rss! - before!.rss!).toBeLessThan(30);
  });

  test('100000 requests allocate nothing to speak of', () => {
    expect(run('allocation', kind)).toBeLessThan(2 ** 20);
  });
});

test.each([
  ['EPERM', EPERM],
  ['ENOSYS', ENOSYS],
])('where io_uring_setup fails with %s the threads do the work', (name, errno) => {
  const launcher = [noUring, String(errno)];
  expect(run('kind', '', launcher)).toBe('threads');
  expect(run('forced', '', launcher)).toEqual({
    code: 'ERR_IO',
    text: expect.stringMatching(`^io_uring cannot be used: .*${name}`) as string,
    hint: expect.stringContaining('use threads') as string,
  });
  expect(run('work', 'threads', launcher)).toBe(0);
});

test('without being asked for a kind it is io_uring where that is allowed', () => {
  expect(run('kind', '')).toBe('io_uring');
});
