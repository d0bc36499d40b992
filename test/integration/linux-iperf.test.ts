/**
 * iperf3 in a Linux guest, both ways, on four connections or flows at once: through the user
 * network to servers on the host's loopback, and over a TAP device to one in a network namespace. What
 * iperf3 counted is what went through. Needs Debian's package iperf3.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { VirtualMachine, type NetEvent } from 'vexit';
import { freePort } from '../support/free-port';
import { GuestShell } from '../support/guest-shell';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';
import { canUseTap } from '../support/tap-guest';
import { TapPair } from '../support/tap-pair';

const TIMEOUT_MS = 300_000;
const IPERF3 = spawnSync('sh', ['-c', 'command -v iperf3'], { encoding: 'utf8' }).stdout.trim();
const describeIperf = IPERF3 === '' ? describe.skip : describeKvm;
if (IPERF3 === '') console.warn('skipped: no iperf3 here (Debian package iperf3)');
const withTap = canUseTap();
if (!withTap) console.warn('skipped: no TAP devices or network namespaces here');

const STREAMS = 4;
/** Interpreted guest kernels move little in a second, and take three of them to start iperf3. */
const TCP_BYTES = 128 * 1024;
const UDP_BYTES = 32_000;
const BLOCK = 8192;
const DATAGRAM = 1000;
/** What a connection of iperf3 begins with. */
const COOKIE = 37;

const LOOPBACKS = {
  IPv4: { host: '127.0.0.1', gateway: '10.0.2.2' },
  IPv6: { host: '::1', gateway: 'fd76:6578:6974::2' },
} as const;
const OPTION = { 'from the guest': '', 'to the guest': '-R' } as const;
type Case = [family: keyof typeof LOOPBACKS, way: keyof typeof OPTION];

/** A few cases, or with `VEXIT_TEST_WORK=full` all of them. */
function cases(...some: Case[]): Case[] {
  if (process.env.VEXIT_TEST_WORK !== 'full') return some;
  const families = ['IPv4', 'IPv6'] as const;
  return families.flatMap((family): Case[] => [
    [family, 'from the guest'],
    [family, 'to the guest'],
  ]);
}
const TCP = cases(['IPv4', 'from the guest'], ['IPv6', 'to the guest']);
const UDP = cases(['IPv4', 'to the guest']);

interface Sum {
  readonly bytes: number;
  readonly packets?: number;
  readonly lost_packets?: number;
}

/** What is looked at of iperf3's report; `sum` is UDP's. */
interface Report {
  readonly error?: string;
  readonly end: {
    readonly streams: readonly unknown[];
    readonly sum_sent: Sum;
    readonly sum_received: Sum;
    readonly sum?: Sum;
  };
}

/**
 * A library in the place of OpenSSL's, which iperf3 has for logins only: an interpreted guest kernel takes
 * seconds for the pages that the real one relocates.
 */
function makeStub(library: string, directory: string): void {
  const symbols = execFileSync('readelf', ['-W', '--dyn-syms', library], { encoding: 'utf8' });
  const names = [...symbols.matchAll(/ UND (\w+)@(OPENSSL_[\d.]+)/g)];
  const [version] = names.map(([, , text]) => text!);
  const source = names.map(([, name]) => `void ${name}(void) { __builtin_trap(); }`).join('\n');
  const script = path.join(directory, 'stub.map');
  writeFileSync(script, `${version} { *; };`);
  const options = ['-shared', '-fPIC', '-w', '-x', 'c', '-', '-Wl,-soname,libcrypto.so.3'];
  const output = path.join(directory, 'libcrypto.so.3');
  execFileSync('gcc', [...options, `-Wl,--version-script=${script}`, '-o', output], {
    input: source,
  });
}

/** Copies iperf3, its libraries and their loader; the command that runs it where they are a share. */
function collectIperf(directory: string): string {
  const needed = execFileSync('ldd', [IPERF3], { encoding: 'utf8' });
  const files = [IPERF3, ...[...needed.matchAll(/(\/\S+) \(0x/g)].map(([, file]) => file!)];
  for (const file of files) copyFileSync(file, path.join(directory, path.basename(file)));
  const named = (start: string): string =>
    files.find((file) => path.basename(file).startsWith(start)) ?? '';
  if (named('libcrypto.so.3') !== '') makeStub(named('libiperf'), directory);
  const loader = path.basename(named('ld-'));
  return `/mnt/share/${loader} --library-path /mnt/share /mnt/share/iperf3`;
}

jest.setTimeout(TIMEOUT_MS + 20_000);

describeIperf('iperf3 in Linux', () => {
  const servers: ChildProcess[] = [];
  const events: NetEvent[] = [];
  const tapName = TapPair.newName();
  let directory = '';
  let iperf = '';
  let vm: VirtualMachine | undefined;
  let wire: TapPair | undefined;
  let shell: GuestShell;
  let watchdog: NodeJS.Timeout;

  beforeAll(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-iperf-'));
    iperf = collectIperf(directory);
    const tap = withTap ? [{ kind: 'tap', name: tapName } as const] : [];
    vm = await VirtualMachine.create({
      command: { argv: ['sh'] },
      net: [{ kind: 'user' }, ...tap],
      shares: [{ hostPath: directory, guestPath: '/mnt/share' }],
    });
    watchdog = setTimeout(() => void vm!.stop(), TIMEOUT_MS);
    vm.on('network', (event) => events.push(event));
    shell = new GuestShell(vm.command!);
    await vm.start();
    if (withTap) wire = TapPair.around({ kind: 'tap', name: tapName, fds: [] });
    await shell.run('true');
  });

  afterAll(async () => {
    clearTimeout(watchdog);
    await vm?.stop();
    for (const server of servers) server.kill('SIGKILL');
    wire?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Starts a server, behind a prefix of its command line, and waits until it listens. */
  async function serve(host: string, port: number, prefix: readonly string[] = []): Promise<void> {
    const command = [...prefix, IPERF3, '-s', '-B', host, '-p', String(port), '--forceflush'];
    const server = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
    servers.push(server);
    let said = '';
    server.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await until('iperf3 listens', () => said.includes('Server listening'));
  }

  /** Runs a client in the guest. */
  async function measure(host: string, port: number, options: string): Promise<Report['end']> {
    const { output } = await shell.try(
      `${iperf} -c ${host} -p ${port} -P ${STREAMS} --repeating-payload -i 0 -J ${options}`,
    );
    const report = JSON.parse(output.slice(output.indexOf('{'))) as Report;
    expect(report.error).toBeUndefined();
    expect(report.end.streams).toHaveLength(STREAMS);
    return report.end;
  }

  async function expectWhole(host: string, port: number, way: string): Promise<Report['end']> {
    const end = await measure(host, port, `-n ${TCP_BYTES} -l ${BLOCK} ${way}`);
    expect(end.sum_sent.bytes).toBeGreaterThanOrEqual(TCP_BYTES);
    expect(end.sum_received.bytes).toBe(end.sum_sent.bytes);
    return end;
  }

  test.each(TCP)('TCP over %s, %s: all bytes arrive', async (family, way) => {
    const { host, gateway } = LOOPBACKS[family];
    const port = await freePort(host);
    await serve(host, port);
    events.length = 0;
    const { sum_sent } = await expectWhole(gateway, port, OPTION[way]);
    // The flows and the connection that controls them, as the network has counted.
    await until('flows are reported', () => events.length > STREAMS);
    const flows = events.flatMap((event) => (event.type === 'closed' ? [event] : []));
    expect(flows.every(({ address }) => address === gateway)).toBe(true);
    const bytes = flows.map(({ bytesToHost, bytesToGuest }) =>
      way === 'from the guest' ? bytesToHost - COOKIE : bytesToGuest,
    );
    // Among the bytes of the control connection are the results, a few hundred.
    const total = bytes.reduce((sum, count) => sum + count, 0);
    expect(total).toBeGreaterThanOrEqual(sum_sent.bytes);
    expect(total).toBeLessThan(sum_sent.bytes + BLOCK);
  });

  test.each(UDP)('UDP over %s, %s: losses are told', async (family, way) => {
    const { host, gateway } = LOOPBACKS[family];
    const port = await freePort(host);
    await serve(host, port);
    const options = `-u -b 1M -n ${UDP_BYTES} -l ${DATAGRAM} ${OPTION[way]}`;
    const { sum } = await measure(gateway, port, options);
    expect(sum!.packets).toBeGreaterThanOrEqual(Math.floor(UDP_BYTES / DATAGRAM));
    expect(sum!.lost_packets).toBe(0);
  });

  (withTap ? test : test.skip)('TCP over a tap, to a network namespace', async () => {
    await shell.run('ip addr add 10.99.0.2/24 dev eth1 && ip link set eth1 up');
    wire!.sh('ip addr add 10.99.0.1/24 dev br0');
    await serve('10.99.0.1', 5201, wire!.command);
    await expectWhole('10.99.0.1', 5201, '');
  });
});
