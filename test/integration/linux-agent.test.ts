/** The agent in a Linux guest, by the library's calls: one boot. */
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { VirtualMachine, connectAgent } from 'vexit';
import { describeKvm } from '../support/kvm';

/** Guest kernels that are interpreted start twenty programs in a minute. */
const TIMEOUT_MS = 600_000;

describeKvm('a Linux guest with the agent', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'vexit-linux-agent-'));
  const at = (name: string): string => path.join(directory, name);
  let watchdog: NodeJS.Timeout;
  afterAll(() => {
    clearTimeout(watchdog);
    rmSync(directory, { recursive: true, force: true });
  });

  test(
    'runs programs, copies, mounts, sets its clock and shuts down',
    async () => {
      mkdirSync(at('share'));
      writeFileSync(at('share/hello'), 'shared\n');
      await using vm = await VirtualMachine.create({
        agent: true,
        shares: [{ hostPath: at('share'), tag: 'stuff' }],
      });
      watchdog = setTimeout(() => void vm.stop(), TIMEOUT_MS - 10_000);
      vm.console.output.resume();
      await vm.start();
      const agent = vm.agent!;
      await agent.ready();
      expect(await agent.info()).toMatchObject({ version: 1, hostname: 'vexit', cpus: 1 });

      // Any process reaches it by the socket.
      const said = await connectAgent(vm.vsock!.path).run(
        ['sh', '-c', 'cat; echo "$X $(pwd)"; id -u >&2; exit 7'],
        { input: 'in\n', env: { X: 'x' }, cwd: '/tmp', user: 'nobody' },
      );
      expect(said.stdout.toString()).toBe('in\nx /tmp\n');
      expect(said.stderr.toString()).toBe('65534\n');
      expect(said).toMatchObject({ status: 7, signal: null });

      const script = 'trap "stty size; exit 4" WINCH; stty size; tty; while :; do sleep 1; done';
      const shell = await agent.exec(['sh', '-c', script], { tty: { rows: 31, cols: 97 } });
      let shown = '';
      shell.stdout.on('data', (bytes: Buffer) => {
        shown += bytes.toString();
        if (shown.endsWith('/dev/pts/0\r\n')) shell.resize(132, 43);
      });
      expect(await shell.wait()).toEqual({ status: 4, signal: null });
      await text(shell.stderr);
      expect(shown).toBe('31 97\r\n/dev/pts/0\r\n43 132\r\n');

      const sleeper = await agent.exec(['sleep', '1000']);
      sleeper.kill('SIGUSR1');
      expect(await sleeper.wait()).toEqual({ status: null, signal: 'SIGUSR1' });

      const numbers = Array.from({ length: 20 }, (_, i) => i);
      const results = await Promise.all(
        numbers.map((i) => agent.run(['sh', '-c', `echo ${i}; exit ${i}`])),
      );
      expect(
        results.map(({ status, signal, stdout }) => [status, signal, stdout.toString()]),
      ).toEqual(numbers.map((i) => [i, null, `${i}\n`]));

      const bytes = randomBytes(10 * 2 ** 20);
      await agent.putFile('/tmp/big', bytes, { mode: 0o640 });
      const { stat, content } = await agent.getFile('/tmp/big');
      expect(stat).toMatchObject({ mode: 0o640, size: bytes.length });
      expect((await buffer(content)).equals(bytes)).toBe(true);

      mkdirSync(at('tree/sub'), { recursive: true });
      writeFileSync(at('tree/script'), '#!/bin/sh\n', { mode: 0o755 });
      writeFileSync(at('tree/sub/secret'), randomBytes(5000), { mode: 0o600 });
      symlinkSync('../script', at('tree/sub/link'));
      chmodSync(at('tree/sub'), 0o751);
      await agent.copyIn(at('tree'), '/tmp/tree');
      await agent.copyOut('/tmp/tree', at('back'));
      expect(list(at('back'))).toEqual(list(at('tree')));

      await agent.mount({ source: 'stuff', target: '/mnt/a/b', readOnly: true });
      const { content: shared } = await agent.getFile('/mnt/a/b/hello');
      expect(await text(shared)).toBe('shared\n');

      await agent.setTime(new Date('2030-01-02T03:04:05Z'));
      expect((await agent.info()).time.getUTCFullYear()).toBe(2030);

      await agent.powerOff();
      expect(await vm.wait()).toMatchObject({ reason: 'power-off', status: 0 });
    },
    TIMEOUT_MS,
  );
});

function list(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[]).sort().map((name) => {
    const info = lstatSync(path.join(root, name));
    if (!info.isFile()) return `${name} ${info.mode}`;
    const content = readFileSync(path.join(root, name));
    return `${name} ${info.mode} ${createHash('sha256').update(content).digest('hex')}`;
  });
}
