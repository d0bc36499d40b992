/** What people get wrong about networks, sockets and shared directories: one line, and exit status 2. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describeKvm } from '../support/kvm';
import { canUseTap } from '../support/tap-guest';
import { openTap } from '../../src/net/tap/open-tap';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-bad-'));
const at = (name: string): string => path.join(directory, name);
const tap = `vxbad${process.pid % 100_000}`;
let server: Server;
let port = 0;

beforeAll(async () => {
  writeFileSync(at('file'), '');
  symlinkSync(at('nowhere'), at('dangling'));
  server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** What `vexit run` says about options, as one line. */
function refusal(...options: readonly string[]): string {
  const args = [CLI, 'run', ...options, '--', 'true'];
  const env = { ...process.env, XDG_STATE_HOME: at('state'), XDG_RUNTIME_DIR: directory };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
  expect(stderr).toMatch(/^vexit: [^\n]+\n$/);
  return stderr;
}

describeKvm('vexit run refuses', () => {
  const MAC = '52:54:00:00:00:01';
  test.each<[string, () => string[], string | RegExp]>([
    ['a tap with a long name', () => ['--net', 'tap=sixteen-letters-'], 'is too long'],
    ['a tap without a name', () => ['--net', 'tap='], 'is not the name of an interface'],
    ['a tap twice', () => ['--net', 'tap=a', '--net', 'tap=a'], 'given to two interfaces'],
    ['a group as an address', () => ['--net', 'tap=a,mac=01:00:5e:00:00:01'], 'unicast MAC'],
    [
      'an address twice',
      () => ['--net', `tap=a,mac=${MAC}`, '--net', `tap=b,mac=${MAC}`],
      `two interfaces have the MAC address ${MAC}`,
    ],
    ['a LAN name with a slash', () => ['--net', 'lan=a/b', '--name', 'me'], 'a/b'],
    ['a LAN name that is a directory', () => ['--net', 'lan=..', '--name', 'me'], '".."'],
    ['a LAN without a name', () => ['--net', 'lan=', '--name', 'me'], ''],
    ['a kind of network that is none', () => ['--net', 'bridge=br0'], 'unknown network'],
    [
      'a port that is taken',
      () => ['-p', `${port}:80`],
      /port 127.0.0.1:\d+.tcp of the host is taken/,
    ],
    ['a port twice', () => ['-p', '18080:80', '-p', '18080:81'], '18080'],
    ['a port that is none', () => ['-p', '70000:80'], '"70000" is not a port'],
    ['a rule that is none', () => ['--allow-net', 'http://example.org/'], 'example.org'],
    ['a share that is not there', () => ['--share', `${at('none')}:/mnt`], 'there is no directory'],
    ['a share that is a file', () => ['--share', `${at('file')}:/mnt`], 'is not a directory'],
    [
      'a share that is a link to nowhere',
      () => ['--share', `${at('dangling')}:/mnt`],
      'there is no directory',
    ],
    [
      'a share that leaves its place',
      () => ['--share', `${directory}:/mnt/../etc`],
      'has .. in it',
    ],
    ['a share in the place of everything', () => ['--share', `${directory}:/`], 'root directory'],
    [
      'a path of a socket that is too long',
      () => ['--vsock', `path=${at('v'.repeat(108))}`],
      'give one of at most 96',
    ],
    [
      'a path of a socket that is a file',
      () => ['--vsock', `path=${at('file')}`],
      'exists and is no socket',
    ],
    [
      'a path of a socket in no directory',
      () => ['--vsock', `path=${at('no/v')}`],
      'is not a directory',
    ],
    ['an address of vsock that is the host’s', () => ['--vsock', `cid=2,path=${at('v')}`], '2'],
  ])('%s', (_, options, says) => {
    const line = refusal(...options());
    if (typeof says === 'string') expect(line).toContain(says);
    else expect(line).toMatch(says);
  });

  (canUseTap() ? test : test.skip)('a tap that another program has', () => {
    const [fd] = openTap({ kind: 'tap', name: tap }).fds;
    expect(refusal('--net', `tap=${tap}`)).toContain(`tap ${tap} is in use`);
    closeSync(fd!);
    expect(refusal('--net', 'tap=lo')).toContain('lo is an interface, but not a tap');
  });
});
