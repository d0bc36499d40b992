/** Three VMs of three processes on a LAN: they find each other by name, and one may go. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeKvm } from '../support/kvm.js';
import { until } from '../support/run-guest.js';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const TIMEOUT_MS = 600_000;
jest.setTimeout(TIMEOUT_MS + 20_000);

/** Waits for the others, says what it sees, and does what it is told until the end of its input. */
const SCRIPT = [
  'for name in "$@"; do until ping -c 1 -W 2 $name > /dev/null 2>&1; do sleep 1; done; done',
  'echo found=$#',
  'ip -4 -o addr show | while read _ device _ address _; do echo $device=$address; done',
  'echo routes=$(ip route | grep -c default)',
  'while read line; do eval "$line"; done',
].join('\n');

class Vm {
  readonly child: ChildProcessWithoutNullStreams;
  output = '';
  errors = '';
  status: number | null | undefined;

  /** What is kept of it is in a directory of its own, as if each were another user's. */
  constructor(runtime: string, name: string, nets: readonly string[], others: readonly string[]) {
    const options = nets.flatMap((net) => ['--net', net]);
    const command = ['sh', '-c', SCRIPT, 'sh', ...others];
    const args = ['run', '--name', name, ...options, '--', ...command];
    const state = mkdtempSync(path.join(runtime, 'state-'));
    const env = { ...process.env, XDG_RUNTIME_DIR: runtime, XDG_STATE_HOME: state };
    this.child = spawn(process.execPath, [CLI, ...args], { env });
    this.child.stdout.on('data', (bytes: Buffer) => (this.output += bytes.toString()));
    this.child.stderr.on('data', (bytes: Buffer) => (this.errors += bytes.toString()));
    this.child.on('exit', (status) => (this.status = status));
  }

  async says(text: string): Promise<void> {
    const ends = (): boolean => this.output.includes(text) || this.status !== undefined;
    await until(text, ends, TIMEOUT_MS);
    if (!this.output.includes(text)) {
      throw new Error(`ended without "${text}": ${this.output}${this.errors}`);
    }
  }
}

describeKvm('three VMs on a LAN', () => {
  let runtime = '';
  let vms: Vm[] = [];

  beforeAll(async () => {
    runtime = mkdtempSync(path.join(os.tmpdir(), 'vxlan-'));
    vms = [
      new Vm(runtime, 'web', ['lan=demo'], ['db', 'Cache.lan']),
      new Vm(runtime, 'db', ['lan=demo'], ['web', 'cache']),
      // This one asks the name server of its user network.
      new Vm(runtime, 'cache', ['user', 'lan=demo'], ['web', 'db']),
    ];
    await Promise.all(vms.map((vm) => vm.says('found=2')));
    await Promise.all(vms.map((vm) => vm.says('routes=')));
  });

  afterAll(() => {
    for (const { child } of vms) child.kill('SIGKILL');
    rmSync(runtime, { recursive: true, force: true });
  });

  test('find each other by name, and ping', () => {
    for (const vm of vms) expect(vm.output).toContain('found=2');
  });

  test('have addresses of their own, and a way out only where there is a user network', () => {
    const [web, db, cache] = vms.map(({ output }) => output);
    const address = /^eth0=(10\.\d+\.\d+)\.(\d+)\/24$/m;
    const [, range, first] = address.exec(web!)!;
    const [, same, second] = address.exec(db!)!;
    expect(same).toBe(range);
    expect(second).not.toBe(first);
    expect(web).toContain('routes=0');
    expect(cache).toContain('eth0=10.0.2.15/24');
    expect(cache).toMatch(new RegExp(`^eth1=${range!.replaceAll('.', '\\.')}\\.\\d+/24$`, 'm'));
    expect(cache).toContain('routes=1');
  });

  test('a VM with a name that is taken does not start', async () => {
    const twin = new Vm(runtime, 'db', ['lan=demo'], []);
    await until('it ends', () => twin.status !== undefined, 60_000);
    expect(twin.status).toBe(2);
    expect(twin.errors).toMatch(/^vexit: LAN demo has a VM with the name db already: .*\n$/);
  });

  test('when one is killed, the others talk on, and its name is gone', async () => {
    const [web, db, cache] = vms;
    cache!.child.kill('SIGKILL');
    await until('it ends', () => cache!.status !== undefined);
    web!.child.stdin.write('ping -c 2 db > /dev/null && echo still=yes\n');
    await web!.says('still=yes');
    db!.child.stdin.write('ping -c 1 -W 1 cache 2>&1 | grep -c bad.address; echo looked=yes\n');
    await db!.says('looked=yes');
    expect(db!.output).toContain('1\nlooked=yes');
    for (const vm of [web!, db!]) vm.child.stdin.end();
    await until('they end', () => web!.status !== undefined && db!.status !== undefined, 60_000);
    expect([web!.status, db!.status]).toEqual([0, 0]);
    // What the killed one left is removed by the last that leaves.
    expect(readdirSync(path.join(runtime, 'vexit/lan'))).toEqual([]);
  });
});
