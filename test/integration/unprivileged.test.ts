/**
 * What `vexit run` gives without any set-up, as root and as a user who may use /dev/kvm and nothing else: a
 * way to the host and beyond, published ports, names, ping, IPv6, a crowd of connections, a shared directory.
 */
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  chownSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { buildGuest } from '../support/guest-build.js';
import { describeKvm } from '../support/kvm.js';
import { buildLinuxProgram } from '../support/linux-program.js';
import { until } from '../support/run-guest.js';
import {
  HOST_ADDRESS,
  HOST_ADDRESS6,
  USER_ID,
  UnprivilegedHost,
  unprivilegedProblem,
  type Outcome,
} from '../support/unprivileged.js';

const SERVICES = path.resolve(__dirname, '../support/host-services.cjs');
const [HTTP, ECHO, DNS, PUBLISHED] = [8000, 7007, 53, 8080];
const GATEWAY6 = 'fd76:6578:6974::2';
/** Each takes an interpreted guest kernel 40 ms. */
const CONNECTIONS = Number(process.env.VEXIT_TEST_CONNECTIONS ?? 40);
const TIMEOUT_MS = 600_000 + CONNECTIONS * 500;

/** What the guest does; each answer is a line "name=value". */
const SCRIPT = [
  'cd /mnt/share',
  `echo hello=$(wget -qO- http://10.0.2.2:${HTTP}/four)`,
  `echo hello6=$(wget -qO- "http://[${GATEWAY6}]:${HTTP}/six")`,
  `echo beyond=$(wget -qO- http://www.example.test:${HTTP}/name)`,
  'echo nobody=$(nslookup nobody.example.test 2>&1 | grep NXDOMAIN | head -n 1)',
  'ping6() { ping -6 "$@"; }',
  `for to in 10.0.2.2 ${HOST_ADDRESS} www.example.test; do ping -c 1 -W 5 $to >/dev/null && echo ping=$to; done`,
  `for to in ${GATEWAY6} ${HOST_ADDRESS6}; do ping6 -c 1 -W 5 $to >/dev/null && echo ping=$to; done`,
  'mkdir /tmp/www && echo hello from the guest > /tmp/www/index.html',
  'httpd -p 80 -h /tmp/www && touch ready',
  `./crowd 10.0.2.2 ${ECHO} ${CONNECTIONS} 1000`,
  'touch crowded; while [ ! -e done ]; do sleep 0.2; done',
  // The shared directory, whose owner is root here.
  'echo mine=$(stat -c %u:%g:%a greeting) seen=$(cat greeting)',
  'echo made > made && chmod 640 made && mkdir sub && ln made sub/hard && ln -s made sub/soft',
  'echo theirs=$(stat -c %u other)',
  '(echo x > other) 2>/dev/null; echo overwrite=$?',
  'echo chown=$(chown 1000:1000 made 2>/dev/null; echo $?) stays=$(stat -c %u made)',
].join('\n');

jest.setTimeout(TIMEOUT_MS + 20_000);

const problem = unprivilegedProblem();
if (problem !== '') console.warn(`skipped: ${problem}`);

(problem === '' ? describeKvm : describe.skip)('vexit run without set-up', () => {
  let host: UnprivilegedHost;
  let services: ChildProcessWithoutNullStreams;
  let said = '';

  async function ask(line: string): Promise<string> {
    said = '';
    services.stdin.write(`${line}\n`);
    await until(`an answer to ${line}`, () => said.endsWith('\n'), 60_000);
    return said.trim();
  }

  beforeAll(async () => {
    host = await UnprivilegedHost.create();
    const args = [SERVICES, HTTP, ECHO, DNS, 'hello'].map(String);
    services = host.spawn([process.execPath, ...args], { root: true });
    services.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    services.stderr.pipe(process.stderr);
    await until('the services are there', () => said === 'ready\n');
  });
  afterAll(async () => {
    services.kill('SIGKILL');
    await host[Symbol.asyncDispose]();
  });

  test('a tap: one of theirs is used, and what is not allowed is said in a line', async () => {
    const net = async (name: string): Promise<Outcome> => {
      const guest = ['--kernel', 'hello16', '--boot-protocol', 'flat', '--memory', '16M'];
      return host.run(host.vexit('run', ...guest, '--net', `tap=${name}`));
    };
    copyFileSync(buildGuest('hello16'), path.join(host.home, 'hello16'));
    const tun = host.run(['chmod', '600', '/dev/net/tun'], { root: true });
    expect(await tun).toMatchObject({ status: 0 });
    expect(await net('mine')).toMatchObject({
      status: 2,
      stdout: '',
      stderr: 'vexit: /dev/net/tun may not be opened: give this user access to it\n',
    });
    const own = `ip tuntap add dev mine mode tap user ${USER_ID} && ip tuntap add dev root mode tap user 0`;
    await host.run(['sh', '-c', `chmod 666 /dev/net/tun && ${own}`], { root: true });
    const making = `ip tuntap add dev theirs mode tap user $(id -un)`;
    expect(await net('theirs')).toMatchObject({
      status: 2,
      stdout: '',
      stderr: `vexit: there is no tap theirs, and making one is not allowed: as root: ${making}\n`,
    });
    const root = await net('root');
    expect(root).toMatchObject({ status: 2, stdout: '' });
    expect(root.stderr).toMatch(/^vexit: tap root may not be opened: [^\n]+\n$/);
    expect(await net('mine')).toMatchObject({ status: 0, stderr: '' });
  });

  describe.each([
    ['root', 0],
    ['a user', USER_ID],
  ])('as %s', (who, id) => {
    let share = '';
    let child: ChildProcessWithoutNullStreams;
    let output = '';
    let errors = '';
    let status: number | null | undefined;
    let published = '';
    let counts = { open: -1, most: -1, all: -1 };
    const before = { files: 0, kib: 0 };
    const after = { files: 0, kib: 0 };
    const values = (name: string): string[] =>
      [...output.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map((match) => match[1]!);

    /** What the VM's process holds: descriptors, and memory of its own. */
    function look(): { files: number; kib: number } {
      const pid = String(child.pid);
      const lines = readFileSync(`/proc/${pid}/status`, 'utf8');
      const files = readdirSync(`/proc/${pid}/fd`).length;
      return { files, kib: Number(/^RssAnon:\s+(\d+)/m.exec(lines)![1]) };
    }

    beforeAll(async () => {
      share = path.join(host.home, `share of ${who}`);
      mkdirSync(share);
      writeFileSync(path.join(share, 'greeting'), 'hello from a file\n');
      writeFileSync(path.join(share, 'other'), 'not theirs\n', { mode: 0o644 });
      buildLinuxProgram('crowd', path.join(share, 'crowd'));
      chmodSync(path.join(share, 'greeting'), 0o604);
      for (const name of ['', 'greeting']) chownSync(path.join(share, name), id, id);
      const args = ['-p', `${PUBLISHED}:80`, '--share', `${share}:/mnt/share`];
      const argv = host.vexit('run', ...args, '--', 'sh', '-c', SCRIPT);
      child = host.spawn(argv, { root: id === 0 });
      child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
      child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
      child.on('close', (code) => (status = code));
      const gone = (): boolean => status !== undefined;
      const there = (name: string) => (): boolean =>
        gone() || statSync(path.join(share, name), { throwIfNoEntry: false }) !== undefined;
      await until('a server in the guest', there('ready'), TIMEOUT_MS);
      if (gone()) throw new Error(`ended: ${output}${errors}`);
      published = await ask(`http://127.0.0.1:${PUBLISHED}/`);
      Object.assign(before, look());
      await until('a crowd', there('crowded'), TIMEOUT_MS);
      if (gone()) throw new Error(`ended: ${output}${errors}`);
      counts = JSON.parse((await ask('counts')).replace('counts ', '')) as typeof counts;
      await until('the sockets are closed', () => look().files <= before.files).catch(
        () => undefined,
      );
      Object.assign(after, look());
      writeFileSync(path.join(share, 'done'), '');
      await until('its end', gone, TIMEOUT_MS);
    });
    afterAll(() => {
      if (status === undefined) child.kill('SIGKILL');
    });

    test('reaches a server on the loopback of the host, and others by their names', () => {
      expect({ status, errors }).toEqual({ status: 0, errors: '' });
      expect(values('hello')).toEqual(['hello /four']);
      expect(values('hello6')).toEqual(['hello /six']);
      expect(values('beyond')).toEqual(['hello /name']);
      expect(values('nobody')).toEqual([expect.stringContaining('NXDOMAIN')]);
    });

    test('pings the gateway and beyond, in IPv4 and IPv6', () => {
      const all = ['10.0.2.2', HOST_ADDRESS, 'www.example.test', GATEWAY6, HOST_ADDRESS6];
      expect(values('ping')).toEqual(all);
    });

    test('serves through a published port', () => {
      expect(published).toBe('fetched "hello from the guest\\n"');
    });

    test('has a crowd of connections at once, of which nothing is left', () => {
      expect(output).toContain(`connected ${CONNECTIONS}\nright ${CONNECTIONS} wrong 0 failed 0\n`);
      expect(counts).toMatchObject({ open: 0, most: CONNECTIONS });
      expect(after.files).toBeLessThanOrEqual(before.files);
      expect(after.kib - before.kib).toBeLessThan(100 << 10);
    });

    test('writes into a shared directory as its owner', () => {
      expect(values('mine')).toEqual(['0:0:604 seen=hello from a file']);
      const made = path.join(share, 'made');
      const { uid, gid, mode, nlink } = statSync(made);
      expect({ mode: mode & 0o7777, nlink }).toEqual({ mode: 0o640, nlink: 2 });
      const isRoot = id === 0;
      expect([uid, gid]).toEqual(isRoot ? [1000, 1000] : [id, id]);
      expect(values('theirs')).toEqual([isRoot ? '0' : '65534']);
      expect(values('overwrite')).toEqual([isRoot ? '0' : '1']);
      expect(values('chown')).toEqual([isRoot ? '0 stays=1000' : '1 stays=0']);
    });
  });
});
