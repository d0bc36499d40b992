/** Host programs that die with VMs in them, and many of them side by side. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';

const ROOT = path.resolve(__dirname, '../..');

/** A host program: starts the guest with the given orders, says "up" when the guest spins. */
const HOST = `
const { VirtualMachine } = require(${JSON.stringify(path.join(ROOT, 'dist/index.js'))});
const [, kernel, orders, cpus, then] = process.argv;
(async () => {
  const vm = await VirtualMachine.create({ kernel, memory: '16M', cpus: Number(cpus), cmdline: 'do=' + orders });
  let text = '';
  const shown = new Promise((resolve) => vm.serial.output.on('data', (bytes) => {
    text += bytes;
    if (/spin|pio|mmio|hlt|ready/.test(text)) resolve();
  }));
  await vm.start();
  await shown;
  process.stdout.write('up\\n');
  eval(then);
  const { status } = await vm.wait();
  process.exitCode = status;
})();
`;

/** A host program: ends workers while they load the addon, each a little later than the one before. */
const LOADERS = `
const { Worker } = require('node:worker_threads');
const [, addon, rounds] = process.argv;
const LOADER = \`
const { parentPort, workerData } = require('node:worker_threads');
parentPort.postMessage('ready');
Atomics.wait(new Int32Array(workerData.go), 0, 0);
require(workerData.addon);
\`;
(async () => {
  for (let i = 0; i < Number(rounds); i++) {
    const go = new SharedArrayBuffer(4);
    const worker = new Worker(LOADER, { eval: true, workerData: { addon, go } });
    await new Promise((resolve) => worker.once('message', resolve));
    Atomics.store(new Int32Array(go), 0, 1);
    Atomics.notify(new Int32Array(go), 0);
    for (const end = performance.now() + (i % 40) / 40; performance.now() < end;);
    await worker.terminate();
  }
})();
`;

/** A child whose output and end are collected. */
class Child {
  output = '';
  code: number | null = null;
  signal: NodeJS.Signals | null = null;
  private over = false;
  readonly process: ChildProcess;

  constructor(args: readonly string[]) {
    this.process = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.process.stdout!.on('data', (bytes: Buffer) => (this.output += bytes.toString()));
    this.process.stderr!.on('data', (bytes: Buffer) => (this.output += bytes.toString()));
    this.process.on('close', (code, signal) => {
      this.code = code;
      this.signal = signal;
      this.over = true;
    });
  }
  async shows(text: string): Promise<void> {
    await until(`child shows ${text}`, () => this.output.includes(text) || this.over, 60_000);
    if (!this.output.includes(text)) throw new Error(`child ended: ${this.code} ${this.output}`);
  }
  async ends(ms: number): Promise<void> {
    await until('the end of the child', () => this.over, ms);
  }
}

const children: Child[] = [];
function host(orders: string, cpus: number, then: string): Child {
  const child = new Child(['-e', HOST, buildGuest('control'), orders, String(cpus), then]);
  children.push(child);
  return child;
}
function cli(...args: string[]): Child {
  const kernel = ['--kernel', buildGuest('control'), '--memory', '16M'];
  const child = new Child([path.join(ROOT, 'dist/cli.js'), 'run', ...kernel, ...args]);
  children.push(child);
  return child;
}

describeKvm('processes', () => {
  afterEach(async () => {
    for (const child of children.splice(0)) {
      child.process.kill('SIGKILL');
      await child.ends(5000);
    }
  });

  // Node.js waits for threads in native calls: the vCPUs have to be kicked out of KVM_RUN first.
  test.each([
    { what: 'process.exit', orders: 'S', cpus: 1, then: 'process.exit(7)', code: 7 },
    { what: 'process.exit, halted guest', orders: 'h', cpus: 1, then: 'process.exit(7)', code: 7 },
    {
      what: 'process.exit, second vCPU before SIPI',
      orders: 'S',
      cpus: 2,
      then: 'process.exit(7)',
      code: 7,
    },
    {
      what: 'an uncaught exception',
      orders: 'S',
      cpus: 1,
      then: 'setTimeout(() => { throw new Error("host bug"); }, 10)',
      code: 1,
    },
    {
      what: 'an unhandled rejection',
      orders: 'I',
      cpus: 1,
      then: 'void Promise.reject(new Error("host bug"))',
      code: 1,
    },
    {
      what: 'an exception in a listener of the VM',
      orders: 'M',
      cpus: 1,
      then: 'vm.on("state", () => { throw new Error("host bug"); }); void vm.pause()',
      code: 1,
    },
  ])('$what ends a process whose guest runs', async ({ orders, cpus, then, code }) => {
    const child = host(orders, cpus, then);
    await child.shows('up\n');
    const start = Date.now();
    await child.ends(10_000);
    expect(Date.now() - start).toBeLessThan(1500);
    expect(child.code).toBe(code);
    if (code === 1) expect(child.output).toContain('host bug');
  });

  test('workers can be ended at any moment while they load the addon', async () => {
    const child = new Child(['-e', LOADERS, path.join(ROOT, 'build/Release/vexit.node'), '80']);
    children.push(child);
    await child.ends(60_000);
    expect({ code: child.code, output: child.output }).toEqual({ code: 0, output: '' });
  });

  test('ten processes side by side: one killed, one triple-faults, one panics, seven finish', async () => {
    const guests = Array.from({ length: 10 }, () => cli());
    await Promise.all(guests.map((child) => child.shows('ready')));
    const [killed, faulting, panicking, ...others] = guests;
    killed!.process.kill('SIGKILL');
    faulting!.process.stdin!.write('t');
    panicking!.process.stdin!.write('a');
    await Promise.all([killed!, faulting!, panicking!].map((child) => child.ends(20_000)));
    expect(killed!.signal).toBe('SIGKILL');
    expect(faulting!.code).toBe(122);
    expect(panicking!.code).toBe(121);
    for (const child of others) child.process.stdin!.write('e');
    await Promise.all(others.map((child) => child.shows('echo')));
    for (const child of others) child.process.stdin!.write('p');
    await Promise.all(others.map((child) => child.ends(20_000)));
    expect(others.map(({ code }) => code)).toEqual(others.map(() => 0));
  });

  test('SIGKILL leaves no process and no thread behind', async () => {
    const child = cli('--cmdline', 'do=S');
    await child.shows('spin');
    const { pid } = child.process;
    expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).toContain('vexit-');
    child.process.kill('SIGKILL');
    await child.ends(3000);
    expect(() => readFileSync(`/proc/${pid}/maps`, 'utf8')).toThrow(/ENOENT|ESRCH/);
  });
});
