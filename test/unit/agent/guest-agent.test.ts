/** The library's calls and the C agent, together: the agent runs on the host behind a unix socket. */
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { VexitError } from '../../../src/util/errors';
import { NativeAgent } from '../../support/native-agent';

const native = new NativeAgent();
const { agent } = native;
const isRoot = process.getuid?.() === 0;

beforeAll(() => native.start(), 60_000);
afterAll(() => native.stop());

async function failure(promise: Promise<unknown>): Promise<{ error: string; cause: unknown }> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof VexitError) {
      const cause = error.cause as { code?: unknown } | undefined;
      return { error: `${error.code}: ${error.message}`, cause: cause?.code };
    }
    throw error;
  }
  throw new Error('did not fail');
}

/** Waits for a piece of text on a stream that stays open. */
async function says(stream: Readable, what: string): Promise<string> {
  let all = '';
  let wake: () => void = () => undefined;
  const take = (bytes: Buffer): void => {
    all += bytes.toString('latin1');
    wake();
  };
  stream.on('data', take);
  while (!all.includes(what)) await new Promise<void>((resolve) => (wake = resolve));
  stream.off('data', take);
  stream.pause();
  return all;
}

test('says what the system is', async () => {
  const info = await agent.info();
  expect(info).toMatchObject({ version: 1, kernel: expect.stringMatching(/^Linux /) as string });
  expect(info.cpus).toBeGreaterThan(0);
  expect(info.memoryAvailable).toBeLessThan(info.memory);
  expect(Math.abs(info.time.getTime() - Date.now())).toBeLessThan(60_000);
});

describe('programs', () => {
  test('have arguments, environment, directory, streams apart and a status', async () => {
    const script = 'echo "$0|$1|$X|$(pwd)"; echo oops >&2; exit 7';
    const options = { env: { X: 'a b=ü' }, cwd: '/tmp' };
    const result = await agent.run(['sh', '-c', script, 'zero', 'one\ntwo'], options);
    expect(result.stdout.toString()).toBe('zero|one\ntwo|a b=ü|/tmp\n');
    expect(result.stderr.toString()).toBe('oops\n');
    expect(result).toMatchObject({ status: 7, signal: null });
  });

  test('have an environment of their own', async () => {
    const { stdout } = await agent.run(['env']);
    const names = stdout.toString().match(/^\w+/gm)!.sort();
    expect(names).toEqual(expect.arrayContaining(['HOME', 'PATH', 'SHELL']));
    expect(names).not.toContain('ASAN_OPTIONS');
  });

  test('read what is written until its end', async () => {
    const input = Buffer.from(Uint8Array.from({ length: 1_000_000 }, (_, i) => (i * 7) & 0xff));
    const result = await agent.run(['cat'], { input });
    expect(result.stdout.equals(input)).toBe(true);
  });

  test('may leave their input unread', async () => {
    const result = await agent.run(['sh', '-c', 'exec <&-; sleep 0.1; echo done'], {
      input: Buffer.alloc(3_000_000),
    });
    expect(result.stdout.toString()).toBe('done\n');
  });

  test('end by signals', async () => {
    const process = await agent.exec(['sleep', '100']);
    expect(process.pid).toBeGreaterThan(1);
    process.kill();
    expect(await process.wait()).toEqual({ status: null, signal: 'SIGTERM' });
    expect(() => process.kill('SIGNOTHING' as NodeJS.Signals)).toThrow('is not a signal');
  });

  test('hear signals while their input and output are full', async () => {
    const process = await agent.exec([
      'sh',
      '-c',
      'trap "exit 5" USR1; while :; do echo xxxxxxxx; done',
    ]);
    process.stdin.write(Buffer.alloc(2_000_000));
    await once(process.stdout, 'readable');
    process.kill('SIGUSR1');
    expect(await process.wait()).toEqual({ status: 5, signal: null });
    // What pipes held is still there, and then the end.
    process.stdout.resume();
    process.stderr.resume();
    await once(process.stdout, 'close');
  });

  test('are held up by who does not read, and only on that stream', async () => {
    const script = 'head -c 3000000 /dev/zero & head -c 1000000 /dev/zero >&2; echo end >&2; wait';
    const process = await agent.exec(['sh', '-c', script]);
    const errors = await says(process.stderr, 'end\n');
    expect(errors).toHaveLength(1_000_004);
    expect(process.stdout.readableLength).toBeLessThanOrEqual(256 * 1024);
    expect((await text(process.stdout)).length).toBe(3_000_000);
    process.stderr.resume();
    expect(await process.wait()).toMatchObject({ status: 0 });
  });

  test('may leave processes behind that keep the pipes open', async () => {
    const result = await agent.run(['sh', '-c', 'sleep 3 & echo started']);
    expect(result.stdout.toString()).toBe('started\n');
  });

  test('get a hangup when the host leaves', async () => {
    const process = await agent.exec([
      'sh',
      '-c',
      'trap "" PIPE; trap "echo hup > $0; exit" HUP; echo on; while :; do sleep 0.05; done',
      `${native.directory}/hup`,
    ]);
    await says(process.stdout, 'on');
    process.close();
    expect(await failure(process.wait())).toMatchObject({
      error: expect.stringContaining('ERR_AGENT') as string,
    });
    const seen = await agent.run([
      'sh',
      '-c',
      'while ! grep -s hup "$0"; do sleep 0.05; done',
      `${native.directory}/hup`,
    ]);
    expect(seen.stdout.toString()).toBe('hup\n');
  });

  test('are killed by an abort', async () => {
    const stop = new AbortController();
    const process = await agent.exec(
      ['sh', '-c', 'trap "" HUP TERM; echo $$; while :; do sleep 0.05; done'],
      { signal: stop.signal },
    );
    const pid = Number(await says(process.stdout, '\n'));
    stop.abort();
    expect(await failure(process.wait())).toMatchObject({
      error: expect.stringContaining('ERR_ABORTED') as string,
    });
    const gone = await agent.run([
      'sh',
      '-c',
      `while kill -0 ${pid} 2>/dev/null; do sleep 0.05; done; echo gone`,
    ]);
    expect(gone.stdout.toString()).toBe('gone\n');
    expect(await failure(agent.exec(['true'], { signal: stop.signal }))).toMatchObject({
      error: expect.stringContaining('ERR_ABORTED') as string,
    });
  });

  test('are told apart when there are many', async () => {
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, i) => agent.run(['sh', '-c', `echo ${i}; exit ${i}`])),
    );
    expect(results.map(({ status, stdout }) => [status, Number(stdout)])).toEqual(
      Array.from({ length: 30 }, (_, i) => [i, i]),
    );
  });

  test('cannot say more than there is room for', async () => {
    const run = agent.run(['cat', '/dev/zero'], { maxOutput: 100_000 });
    expect(await failure(run)).toEqual({
      error: 'ERR_AGENT: cat in the guest wrote more than 100000 bytes',
      cause: undefined,
    });
  });

  test.each([
    [['/no/such/program'], {}, 'guest: cannot run /no/such/program: there is none', 'ENOENT'],
    [['/etc/passwd'], {}, 'guest: cannot run /etc/passwd: no permission', 'EACCES'],
    [['true'], { cwd: '/no/where' }, 'guest: cannot enter /no/where: there is none', 'ENOENT'],
    [['true'], { user: 'nobody-here' }, 'guest: no such user: nobody-here: not valid', 'EINVAL'],
    [
      ['true'],
      { user: '0:nogroup-here' },
      'guest: no such user: 0:nogroup-here: not valid',
      'EINVAL',
    ],
  ])('%j with %j: %s', async (argv, options, message, code) => {
    expect(await failure(agent.exec(argv, options))).toEqual({
      error: `ERR_AGENT: ${message}`,
      cause: code,
    });
  });

  test('arguments that cannot be', async () => {
    for (const argv of [[], [''], ['a\0b'], ['x'.repeat(2 ** 20)]]) {
      expect((await failure(agent.exec(argv))).error).toContain('ERR_CONFIG');
    }
  });

  (isRoot ? test : test.skip)('run as somebody else', async () => {
    const id = async (user: string): Promise<string> =>
      (await agent.run(['sh', '-c', 'id -u; id -g; echo $HOME'], { user })).stdout.toString();
    expect(await id('nobody')).toMatch(/^65534\n65534\n\/nonexistent\n|^65534\n65534\n\/\n/);
    expect(await id('12345')).toBe('12345\n12345\n/\n');
    expect(await id('12345:7')).toBe('12345\n7\n/\n');
    expect(await id('root:nogroup')).toMatch(/^0\n65534\n/);
  });
});

describe('terminals', () => {
  test('have a size, which may change, and end lines as terminals do', async () => {
    const script =
      'trap "stty size; exit 4" WINCH; stty size; tty; echo err >&2; while :; do sleep 0.05; done';
    const process = await agent.exec(['sh', '-c', script], { tty: { rows: 31, cols: 97 } });
    const first = await says(process.stdout, 'err\r\n');
    expect(first).toMatch(/^31 97\r\n\/dev\/pts\/\d+\r\nerr\r\n$/);
    process.resize(132, 43);
    expect(await text(process.stdout)).toBe('43 132\r\n');
    expect(await text(process.stderr)).toBe('');
    expect(await process.wait()).toEqual({ status: 4, signal: null });
  });

  test('may be closed by a program that goes on', async () => {
    const script = 'echo before; exec <&- >&- 2>&-; sleep 0.3; exit 6';
    const process = await agent.exec(['sh', '-c', script], { tty: { rows: 24, cols: 80 } });
    expect(await text(process.stdout)).toBe('before\r\n');
    expect(await process.wait()).toEqual({ status: 6, signal: null });
  });

  test('take an interrupt character and an end of file', async () => {
    const tty = { rows: 24, cols: 80 };
    const process = await agent.exec(['cat'], { tty });
    process.stdin.write('hello\n');
    await says(process.stdout, 'hello\r\nhello\r\n');
    process.stdin.end();
    process.stdout.resume();
    expect(await process.wait()).toEqual({ status: 0, signal: null });
    const other = await agent.exec(['sleep', '100'], { tty });
    other.stdin.write('\x03');
    expect(await other.wait()).toEqual({ status: null, signal: 'SIGINT' });
  });
});

test('what cannot be done is told', async () => {
  const mount = { source: 'nothing', target: `${native.directory}/m`, type: 'no-such-fs' };
  expect((await failure(agent.mount(mount))).error).toMatch(/^ERR_AGENT: guest: cannot mount/);
  expect((await failure(agent.mount({ ...mount, target: 'x' }))).cause).toBe('EINVAL');
  expect((await failure(agent.setTime(new Date(NaN)))).error).toContain('ERR_CONFIG');
});
