/** Limits of VMs: how they are written, the quota without a cgroup, and groups in a made-up cgroup v2. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Cgroup, cgroupSupport, removeCgroup } from '../../../src/manage/resources/cgroup';
import { CpuQuota } from '../../../src/manage/resources/cpu-quota';
import {
  changeLimits,
  checkLimits,
  type ResourceLimits,
} from '../../../src/manage/resources/limits';
import { niceOf } from '../../../src/manage/resources/own-threads';

describe('limits as people write them', () => {
  test('are checked once', () => {
    const limits = { cpuWeight: 50, cpuQuota: 1.5, cpuset: '3,0-1,1', memoryLimit: '1G' };
    expect(checkLimits(limits)).toEqual({
      ...{ cpuWeight: 50, cpuQuota: 1.5, cpuset: [0, 1, 3], memoryLimit: 2 ** 30 },
    });
    expect(checkLimits({})).toEqual({});
  });

  test.each<[object, string]>([
    [{ cpuWeight: 0 }, 'CPU weight 0 is not a weight'],
    [{ cpuWeight: NaN }, 'CPU weight NaN is not a weight'],
    [{ ioWeight: 10_001 }, 'I/O weight 10001 is not a weight'],
    [{ cpuQuota: 0 }, 'a CPU quota of 0 is not possible'],
    [{ cpuQuota: NaN }, 'a CPU quota of NaN is not possible'],
    [{ cpuset: '' }, 'cpuset "" is not a list of processors'],
    [{ cpuset: '2-1' }, 'cpuset "2-1" is not a list of processors'],
    [{ cpuset: '0,' }, 'cpuset "0," is not a list of processors'],
    [{ cpuset: '1024' }, 'cpuset "1024" is not a list of processors'],
    [{ memoryLimit: 'much' }, 'memory limit much is not a size'],
    [{ memoryLimit: '1M' }, "a memory limit of 1M leaves no room for the VM's process"],
    [{ cpuShares: 3 }, 'no limit is called cpuShares'],
  ])('%j makes no sense', (limits, message) => {
    expect(() => checkLimits(limits as ResourceLimits)).toThrow(message);
  });

  test('null takes one away', () => {
    const changed = changeLimits({ cpuQuota: 1, cpuset: '0' }, { cpuQuota: null, ioWeight: 10 });
    expect(changed).toEqual({ cpuset: '0', ioWeight: 10 });
    expect(() => changeLimits({}, { cpuQuota: -1 })).toThrow('not possible');
  });

  test('weights as nice levels: a step is a quarter more', () => {
    expect([1, 50, 80, 100, 125, 1000, 10_000].map(niceOf)).toEqual([19, 3, 1, 0, -1, -10, -20]);
  });
});

describe('a quota without a cgroup', () => {
  /** Threads that want so many processors whenever they are not held. */
  function run(quota: number, wanted: number, ms: number): { used: number; heldMs: number } {
    let [now, used, held] = [0, 0, false];
    const vm = { hold: () => (held = true), letGo: () => (held = false) };
    const clocks = { now: () => now, used: () => used };
    const limit = new CpuQuota(quota, () => vm, 4, clocks);
    while (now < ms) {
      const pause = limit.look();
      now += pause;
      if (!held) used += pause * wanted;
    }
    return { used, heldMs: limit.heldMs };
  }

  test.each([
    [0.3, 1],
    [0.05, 4],
    [1.5, 2],
    [1.5, 4],
  ])('%d processors for a VM that wants %d', (quota, wanted) => {
    const { used, heldMs } = run(quota, wanted, 20_000);
    // A burst of a tenth of a second at the begin.
    expect(used / 20_000).toBeGreaterThan(quota * 0.97);
    expect(used / 20_000).toBeLessThan(quota * 1.03);
    expect(heldMs / 20_000).toBeCloseTo(1 - quota / wanted, 1);
  });

  test('a VM that wants less is never held', () => {
    expect(run(1, 0.9, 5000)).toMatchObject({ heldMs: 0 });
  });

  test('a debt of the past is forgiven, and the end lets go', () => {
    let [now, used] = [0, 0];
    const calls: string[] = [];
    const vm = { hold: () => calls.push('hold'), letGo: () => calls.push('let go') };
    const limit = new CpuQuota(0.5, () => vm, 2, { now: () => now, used: () => used });
    used = 60_000;
    limit.look();
    now = 1100;
    limit.look();
    expect(calls).toEqual(['hold', 'let go']);
    used += 1000;
    limit.look();
    limit.stop();
    expect(calls).toEqual(['hold', 'let go', 'hold', 'let go']);
  });
});

describe('a group of cgroup v2', () => {
  let root: string;
  const places = () => ({ mounts: path.join(root, 'mounts'), own: path.join(root, 'own') });
  const file = (...names: string[]): string => path.join(root, 'fs', ...names);
  const text = (...names: string[]): string => fs.readFileSync(file(...names), 'latin1');

  function group(at: string, controllers: string, given: string): void {
    fs.mkdirSync(file(at), { recursive: true });
    fs.writeFileSync(file(at, 'cgroup.controllers'), controllers);
    fs.writeFileSync(file(at, 'cgroup.subtree_control'), given);
    fs.writeFileSync(file(at, 'cgroup.procs'), '');
    if (at !== '') fs.writeFileSync(file(at, 'cgroup.type'), 'domain');
  }

  beforeEach(() => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-cgroup-'));
    fs.writeFileSync(
      path.join(root, 'mounts'),
      `proc /proc proc rw 0 0\ncgroup2 ${file()} cgroup2 rw 0 0\n`,
    );
    fs.writeFileSync(path.join(root, 'own'), '4:memory:/x\n0::/user/app/shell\n');
    group('', 'cpu memory io', 'cpu memory io');
    group('user', 'cpu memory io', 'cpu memory');
    group('user/app', 'cpu memory', 'cpu memory');
    group('user/app/shell', 'cpu memory', '');
    // It has processes: nothing can be switched on (EBUSY).
    fs.rmSync(file('user/app/shell/cgroup.subtree_control'));
    fs.mkdirSync(file('user/app/shell/cgroup.subtree_control'));
    fs.writeFileSync(file('user/app/shell/cgroup.procs'), '1\n');
  });
  afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

  test('is made below the nearest group whose children have controllers', () => {
    expect(cgroupSupport(places())).toEqual({
      path: file('user/app'),
      controllers: ['cpu', 'memory'],
    });
    const made = Cgroup.enter('vexit-1', places())!;
    expect(made.path).toBe(file('user/app/vexit-1'));
    expect(text('user/app/vexit-1/cgroup.procs')).toBe(String(process.pid));
    expect(made.set('cpu.max', '150000 100000')).toBe(true);
    expect(text('user/app/vexit-1/cpu.max')).toBe('150000 100000');
    expect(made.set('cpu.max', undefined)).toBe(true);
    expect(text('user/app/vexit-1/cpu.max')).toBe('max');
    // No controller, no limit.
    expect(made.set('io.weight', 'default 50')).toBe(false);
    // The kernel's own files go with the directory; these do not.
    for (const name of fs.readdirSync(made.path)) fs.rmSync(path.join(made.path, name));
    made.leave();
    expect(text('user/app/shell/cgroup.procs')).toBe(String(process.pid));
    expect(fs.existsSync(made.path)).toBe(false);
  });

  test('a group that a killed process has left is used again, or removed', () => {
    fs.mkdirSync(file('user/app/vexit-1'));
    expect(Cgroup.enter('vexit-1', places())?.path).toBe(file('user/app/vexit-1'));
    removeCgroup(file('user/app/vexit-1')); // not empty here: stays
    expect(fs.existsSync(file('user/app/vexit-1'))).toBe(true);
    removeCgroup(file('gone'));
  });

  test('what is switched off in the parent is switched on when it can be', () => {
    fs.writeFileSync(file('user/app/cgroup.subtree_control'), '');
    const made = Cgroup.enter('vexit-1', places())!;
    expect(text('user/app/cgroup.subtree_control')).toBe('+memory');
    expect(made.set('memory.max', '1')).toBe(true);
  });

  test.each([
    ['no cgroup v2', 'own', '1:cpu:/\n'],
    ['a group of another namespace', 'own', '0::/../x\n'],
    ['no mount', 'mounts', 'proc /proc proc rw 0 0\n'],
  ])('%s: none', (_, name, content) => {
    fs.writeFileSync(path.join(root, name), content);
    expect(cgroupSupport(places())).toBeUndefined();
    expect(Cgroup.enter('vexit-1', places())).toBeUndefined();
  });

  test('no controllers: none', () => {
    for (const at of ['', 'user', 'user/app', 'user/app/shell']) {
      fs.writeFileSync(file(at, 'cgroup.controllers'), 'hugetlb pids');
    }
    for (const at of ['', 'user', 'user/app']) {
      fs.writeFileSync(file(at, 'cgroup.subtree_control'), 'pids');
    }
    expect(Cgroup.enter('vexit-1', places())).toBeUndefined();
  });
});
