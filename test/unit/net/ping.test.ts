/** Echo requests to hosts beyond the gateway, by real ping sockets in a network namespace. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { NetworkBench, ping } from './network-bench.js';

const ROOT = path.resolve(__dirname, '../../..');

function canUnshare(): boolean {
  try {
    const allow = 'echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range';
    execFileSync('unshare', ['-n', 'sh', '-c', allow], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const describeUnshare = canUnshare() ? describe : describe.skip;

describeUnshare('ping through the gateway', () => {
  let directory = '';
  let program = '';

  beforeAll(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-ping-'));
    program = path.join(directory, 'ping-host.cjs');
    buildSync({
      entryPoints: [path.join(ROOT, 'test/support/ping-host.ts')],
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      // The addon is looked for from the package's root.
      define: { __dirname: JSON.stringify(path.join(ROOT, 'dist')) },
    });
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  function run(range: string, ...addresses: string[]): string[] {
    const script = [
      `echo ${range} > /proc/sys/net/ipv4/ping_group_range`,
      'ip link set lo up',
      'ip addr add 198.51.100.7/32 dev lo',
      'ip addr add 2001:db8::7/128 dev lo nodad',
      `exec ${process.execPath} ${program} ${addresses.join(' ')}`,
    ].join(' && ');
    const output = execFileSync('unshare', ['-n', 'sh', '-c', script], { encoding: 'utf8' });
    return output.trim().split('\n');
  }

  test('brings answers of IPv4 and IPv6 with the identifier and data of the guest', () => {
    expect(run('0 2147483647', '198.51.100.7', '2001:db8::7', '198.51.100.7')).toEqual([
      '198.51.100.7 0 123400015a5a 64',
      '2001:db8::7 129 123400015a5a 64',
      '198.51.100.7 0 123400015a5a 64',
    ]);
  });

  test('is prohibited where the host does not allow ping sockets, and says so again', () => {
    const answers = run('1 0', '198.51.100.7', '198.51.100.7');
    expect(answers).toHaveLength(2);
    for (const answer of answers) expect(answer).toMatch(/^198\.51\.100\.7 3 /);
  });
});

test('a denied ping is answered, and no socket is asked for', () => {
  const openPing = jest.fn((): number => {
    throw new Error('asked for');
  });
  const bench = new NetworkBench({ deny: [{ cidr: '192.0.2.0/24' }] }, { openPing });
  bench.announce();
  bench.frames = [];
  bench.send(ping('192.0.2.1'));
  expect(bench.frames).toHaveLength(1);
  expect(openPing).not.toHaveBeenCalled();
  expect(bench.events).toContainEqual(
    expect.objectContaining({ type: 'flow', protocol: 'icmp', verdict: 'deny' }),
  );
});
