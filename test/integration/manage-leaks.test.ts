/**
 * Many VMs, one after the other and ten at once: what is left of them is nothing.
 *
 * VEXIT_MANAGE_ROUNDS=10 makes 100 of each.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { until } from '../support/run-guest';
import { canUseTap } from '../support/tap-guest';

const ROOT = path.resolve(__dirname, '../..');
const CLI = path.join(ROOT, 'dist/cli.js');
const ROUNDS = Number(process.env.VEXIT_MANAGE_ROUNDS ?? '1');
const VMS = 10;
jest.setTimeout(60_000 + ROUNDS * 60_000);

/** What is kept on purpose. */
const KEPT = ['state/vexit/events.jsonl', 'state/vexit/vms/.lock'];

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A network namespace, where that is allowed, and a home of its own. */
class World {
  readonly home = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-leaks-'));
  readonly tap = canUseTap();
  private readonly holder: ChildProcess | undefined;
  private readonly enter: readonly string[];
  private readonly env: NodeJS.ProcessEnv;

  constructor() {
    for (const name of ['state', 'run', 'tmp']) fs.mkdirSync(path.join(this.home, name), 0o700);
    this.env = {
      ...process.env,
      XDG_STATE_HOME: path.join(this.home, 'state'),
      XDG_RUNTIME_DIR: path.join(this.home, 'run'),
      TMPDIR: path.join(this.home, 'tmp'),
      VEXIT_CODE_CACHE: '0',
    };
    if (this.tap) this.holder = spawn('unshare', ['-n', 'sleep', '1000'], { stdio: 'ignore' });
    this.enter = this.tap ? ['nsenter', `--net=/proc/${this.holder!.pid}/ns/net`] : ['env'];
  }

  /** The namespace is there a moment after its process. */
  async ready(): Promise<void> {
    if (this.holder === undefined) return;
    const of = (pid: number | string): string => fs.readlinkSync(`/proc/${pid}/ns/net`);
    await until('the namespace', () => of(this.holder!.pid!) !== of('self'));
  }

  async vexit(...args: string[]): Promise<Outcome> {
    const [program, ...before] = [...this.enter, process.execPath, CLI, ...args];
    try {
      const done = await promisify(execFile)(program!, before, {
        env: this.env,
        encoding: 'latin1',
      });
      return { status: 0, ...done };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { status: code, stdout, stderr };
    }
  }

  /** Processes that have this world's state directory. */
  processes(): number[] {
    return fs
      .readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid))
      .filter((pid) => {
        try {
          const text = fs.readFileSync(`/proc/${pid}/environ`, 'latin1');
          return text.includes(`XDG_STATE_HOME=${this.home}`);
        } catch {
          return false; // ended, or another user's
        }
      })
      .map(Number);
  }

  /** Everything of VMs that there still is: files, sockets, interfaces, locks. */
  left(): string[] {
    const files = fs
      .readdirSync(this.home, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(this.home, path.join(entry.parentPath, entry.name)));
    const [program, ...args] = [...this.enter, 'cat', '/proc/net/unix', '/proc/net/dev'];
    const kernel = execFileSync(program, args, { encoding: 'latin1' }).split('\n');
    const sockets = kernel.filter((line) => line.includes(this.home));
    const taps = kernel.filter((line) => /^\s*leak\d/.test(line));
    const inodes = files.map((name) => fs.statSync(path.join(this.home, name)).ino);
    const locks = fs
      .readFileSync('/proc/locks', 'latin1')
      .split('\n')
      .filter((line) => inodes.some((inode) => line.includes(`:${inode} `)));
    return [...files, ...sockets, ...taps, ...locks];
  }

  leave(): void {
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL');
    this.holder?.kill('SIGKILL');
    fs.rmSync(this.home, { recursive: true, force: true });
  }
}

describeKvm('VMs in the background', () => {
  let world: World;
  beforeAll(async () => {
    world = new World();
    await world.ready();
  });
  afterAll(() => world.leave());

  function options(i: number): string[] {
    const guest = ['--kernel', buildGuest('control'), '--memory', '16M', '--cmdline', 'do=S'];
    const tap = world.tap && i % 2 === 0 ? ['--net', `tap=leak${i}`] : [];
    const nets = ['--net', 'lan=leaks', '--net', 'user'];
    return [...guest, ...tap, ...nets, '--cpu-quota', '0.2', '--rng'];
  }

  /** The ways a VM ends; each leaves it for `prune`, or removes it. */
  async function end(name: string, i: number): Promise<void> {
    const ways = [['kill'], ['rm', '-f'], ['stop', '-t', '0'], undefined, undefined];
    const way = ways[i % ways.length];
    if (way !== undefined) {
      expect(await world.vexit(...way, name)).toMatchObject({ status: 0, stderr: '' });
      return;
    }
    const { stdout } = await world.vexit('inspect', '--format', '{{.state.pid}}', name);
    process.kill(Number(stdout), 'SIGKILL');
  }

  test(`ten at once, with networks, ${ROUNDS} times: nothing is left`, async () => {
    const names = Array.from({ length: VMS }, (_, i) => `vm-${i}`);
    for (let round = 0; round < ROUNDS; round++) {
      const started = await Promise.all(
        names.map((name, i) => world.vexit('run', '-d', '--name', name, ...options(i))),
      );
      expect(started).toEqual(
        names.map((name) => ({ status: 0, stdout: `${name}\n`, stderr: '' })),
      );
      await Promise.all(names.map(end));
      expect(await world.vexit('ps', '-q')).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect(await world.vexit('prune')).toMatchObject({ status: 0, stderr: '' });
      // A process that was killed is gone when the kernel has torn it down.
      await until('no process', () => world.processes().length === 0);
      expect(world.left().sort()).toEqual(KEPT);
    }
  });
});

describeKvm('VMs of one process', () => {
  test(`${VMS * ROUNDS}, one after the other: files, threads and mappings stay as many`, async () => {
    const program = path.join(ROOT, 'test/support/many-vms.cjs');
    const args = [path.join(ROOT, 'dist/index.js'), buildGuest('control'), String(VMS * ROUNDS)];
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--expose-gc',
      program,
      ...args,
    ]);
    const samples = JSON.parse(stdout) as Record<string, number>[];
    expect(samples).toHaveLength(10);
    const [early, last] = [samples[3]!, samples.at(-1)!];
    if (ROUNDS > 1) console.log({ early, last });
    expect(last.files).toBeLessThanOrEqual(early.files!);
    expect(last.threads).toBeLessThanOrEqual(early.threads!);
    expect(last.guestMappings).toBe(0);
    // V8 maps and unmaps its heap as it likes.
    expect(last.mappings! - early.mappings!).toBeLessThan(60);
  });
});
