/** A LAN whose members are processes: nothing is lost or reordered, and nobody needs another one. */
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import type { Command, Report } from '../../../support/lan-member.js';

const ROOT = path.resolve(__dirname, '../../../..');
const NAMES = ['a', 'b', 'c', 'd', 'e'];
const BROADCAST = 'ffffffffffff';
const TIMEOUT_MS = 300_000;
jest.setTimeout(TIMEOUT_MS);

let directory: string;
let runtime: string;
let program: string;
let churn: string;

class Process {
  private readonly child: ChildProcess;
  private readonly reports: Report[] = [];
  private waiting: (() => void) | undefined;

  constructor(lan: string, name: string, patienceMs = 0) {
    const env = { ...process.env, XDG_RUNTIME_DIR: runtime };
    this.child = fork(program, [lan, name, String(patienceMs)], { env });
    this.child.on('message', (report: Report) => {
      this.reports.push(report);
      this.waiting?.();
    });
  }

  /** The next thing it says. */
  async hears(): Promise<Report> {
    while (this.reports.length === 0) {
      await new Promise<void>((resolve) => (this.waiting = resolve));
    }
    return this.reports.shift()!;
  }

  ask(command: Command): Promise<Report> {
    this.child.send(command);
    return this.hears();
  }

  /** Waits until what it reports is so. */
  async until(holds: (report: Report) => boolean): Promise<Report> {
    for (;;) {
      const report = await this.ask({ type: 'report' });
      if (holds(report)) return report;
      await sleep(20);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }
}

let members: Process[] = [];

async function start(lan: string, names: readonly string[], patienceMs = 0): Promise<Report[]> {
  members = names.map((name) => new Process(lan, name, patienceMs));
  await Promise.all(members.map((member) => member.hears()));
  const all = names.length - 1;
  return Promise.all(members.map((member) => member.until((report) => report.members === all)));
}

beforeAll(() => {
  // The program within the repository, where the addon is found; sockets where paths are short.
  directory = mkdtempSync(path.join(ROOT, 'build', 'test-lan-'));
  runtime = mkdtempSync(path.join(os.tmpdir(), 'vxlan-'));
  program = path.join(directory, 'lan-member.cjs');
  churn = path.join(directory, 'lan-churn.cjs');
  buildSync({
    entryPoints: ['lan-member', 'lan-churn'].map((name) =>
      path.join(ROOT, `test/support/${name}.ts`),
    ),
    outdir: directory,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
  });
});

afterEach(() => Promise.all(members.map((member) => member.kill())));
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
  rmSync(runtime, { recursive: true, force: true });
});

test('five members: a hundred thousand frames and more, none lost, none out of order', async () => {
  const [a, b] = await start('many', NAMES);
  const unicast = members[0]!.ask({ type: 'send', to: b!.mac, count: 100_000, size: 200 });
  const broadcast = members[1]!.ask({ type: 'send', to: BROADCAST, count: 10_000, size: 1514 });
  const [fromA, fromB] = await Promise.all([unicast, broadcast]);
  expect([fromA.dropped, fromB.dropped]).toEqual([0, 0]);
  const atB = await members[1]!.until(({ tallies }) => tallies[a!.host]?.count === 100_000);
  expect(atB.tallies[a!.host]).toEqual({ count: 100_000, outOfOrder: 0, next: 100_000 });
  for (const other of [0, 2, 3, 4]) {
    const report = await members[other]!.until(({ tallies }) => tallies[b!.host]?.count === 10_000);
    expect(report.tallies[b!.host]!.outOfOrder).toBe(0);
    // What was for one member was sent to that one alone.
    expect(Object.keys(report.tallies)).toEqual([String(b!.host)]);
  }
});

test('a member that is killed is missed by nobody, and can come back as what it was', async () => {
  const [a, b, c] = await start('killed', ['a', 'b', 'c']);
  const sending = members[0]!.ask({ type: 'send', to: BROADCAST, count: 20_000, size: 1000 });
  await members[2]!.until(({ tallies }) => (tallies[a!.host]?.count ?? 0) > 100);
  await members[2]!.kill();
  await sending;
  const atB = await members[1]!.until(({ tallies }) => tallies[a!.host]?.count === 20_000);
  expect(atB.tallies[a!.host]!.outOfOrder).toBe(0);
  await members[0]!.until((report) => report.members === 1);

  members[2] = new Process('killed', 'c');
  await members[2].hears();
  const again = await members[2].until((report) => report.members === 2);
  expect([again.host, again.mac]).toEqual([c!.host, c!.mac]);
  await members[1]!.ask({ type: 'send', to: c!.mac, count: 10, size: 60 });
  const atC = await members[2].until(({ tallies }) => tallies[b!.host]?.count === 10);
  expect(atC.tallies[b!.host]!.outOfOrder).toBe(0);
  const files = readdirSync(path.join(runtime, 'vexit/lan/killed'));
  expect(files.filter((file) => file.endsWith('.lease'))).toHaveLength(3);
});

test('a member that is stopped holds the others up for a moment only', async () => {
  const [a] = await start('stopped', ['a', 'b', 'c'], 3000);
  members[2]!.signal('SIGSTOP');
  const sent = await members[0]!.ask({ type: 'send', to: BROADCAST, count: 20_000, size: 1000 });
  expect(sent.dropped).toBeGreaterThan(0);
  await members[1]!.until(({ tallies }) => tallies[a!.host]?.count === 20_000);
  members[2]!.signal('SIGCONT');
  // It is a member still, and gets what is sent from now on once it has read what had waited.
  const before = await members[2]!.until(({ tallies }) => tallies[a!.host] !== undefined);
  let { count } = before.tallies[a!.host]!;
  for (let more = 0; more === 0;) {
    await members[0]!.ask({ type: 'send', to: BROADCAST, count: 1, size: 60 });
    const { tallies } = await members[2]!.ask({ type: 'report' });
    more = tallies[a!.host]!.next > 20_000 ? 1 : 0;
    ({ count } = tallies[a!.host]!);
  }
  expect(count).toBeLessThan(20_000);
});

test('four that join and leave all the time: each is a member when it says so, and nothing is left', async () => {
  const env = { ...process.env, XDG_RUNTIME_DIR: runtime };
  const run = promisify(execFile);
  await Promise.all(
    ['a', 'b', 'c', 'd'].map((name) =>
      run(process.execPath, [churn, 'churn', name, '200'], { env }),
    ),
  );
  expect(readdirSync(path.join(runtime, 'vexit/lan'))).not.toContain('churn');
});
