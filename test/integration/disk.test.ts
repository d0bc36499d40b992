/** Virtio disks of whole VMs, driven by a bare-metal guest: what they do, and what they refuse. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { VirtualMachine, type VirtualMachineOptions } from 'vexit';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { ask, imageDirectory, orders, runDiskGuest, startDiskGuest } from '../support/disk-guest';
import { checkLeaks, held, until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const MIB = 2 ** 20;
type Disk = NonNullable<VirtualMachineOptions['disks']>[number];

const image = imageDirectory();

/** Everything a driver can ask for, on a disk of 1 MiB; the last read is behind its end. */
const SCENARIO = 's0;w8,4,77;f;r8,4;w10,8,1000;z10,4,0;z14,2,1;r10,1;r16,2;d8,4;i;r7ff,2;';

describeKvm('virtio disks', () => {
  checkLeaks();

  const expectScenario = (values: (name: string) => string[]): void => {
    expect(values('capacity')).toEqual(['800']);
    expect(values('accepted')).toEqual(['1']);
    expect(values('written')).toEqual(['0', '0']);
    expect(values('flushed')).toEqual(['0']);
    expect(values('zeroed')).toEqual(['0', '0']);
    expect(values('discarded')).toEqual(['0']);
    expect(values('read')).toEqual(['0', '0', '0', '1']);
    expect(values('first')).toEqual(['77', '0', '1006', 'ffffffffffffffff']);
    expect(values('different').slice(0, 3)).toEqual(['0', '0', '0']);
    expect(values('id_status')).toEqual(['0']);
    expect(values('id')).toEqual(['scenario']);
  };

  const variants: [string, Partial<Exclude<Disk, { backend: unknown }>>, VirtualMachineOptions][] =
    [
      ['io_uring', { engine: 'io_uring' }, {}],
      ['a pool of threads', { engine: 'threads' }, {}],
      ['writethrough', { cache: 'writethrough' }, {}],
      ['direct', { cache: 'direct' }, {}],
      ['four queues in two I/O threads', { queues: 4 }, { ioThreads: 2 }],
    ];
  test.each(variants)('a raw disk does what its driver asks: %s', async (_, disk, options) => {
    const file = image('scenario.img', MIB);
    const disks = [{ path: file, serial: 'scenario', ...disk }];
    const { values, report } = await runDiskGuest(SCENARIO, { ...options, disks });
    expect(report.reason).toBe('power-off');
    expectScenario(values);
    const bytes = readFileSync(file);
    expect(bytes.length).toBe(MIB);
    expect(bytes.readBigUInt64LE(0x16 * 512)).toBe(0x1006n);
    expect(bytes.subarray(0x10 * 512, 0x16 * 512).every((byte) => byte === 0)).toBe(true);
  });

  test('unsafe: no flush is offered, and none is done', async () => {
    const disks = [{ path: image('unsafe.img', MIB), cache: 'unsafe' as const }];
    const { values } = await runDiskGuest('s0;w0,1,5;f;r0,1;', { disks });
    expect(parseInt(values('features')[0]!, 16) & (1 << 9)).toBe(0);
    expect(values('flushed')).toEqual(['2']);
    expect(values('first')).toEqual(['5']);
  });

  test('an overlay leaves its base alone, and is there again the next time', async () => {
    const base = image('base.img', MIB);
    const before = Buffer.alloc(MIB, 0x5a);
    writeFileSync(base, before);
    const disks = [{ path: base, serial: 'scenario', overlay: image('scenario.ovl') }];
    expectScenario((await runDiskGuest(SCENARIO, { disks })).values);
    const again = await runDiskGuest('s0;r16,2;r100,1;', { disks });
    expect(again.values('first')).toEqual(['1006', '5a5a5a5a5a5a5a5a']);
    expect(readFileSync(base).equals(before)).toBe(true);
  });

  test('requests of four queues, in two I/O threads, are each answered once', async () => {
    const disks = [{ path: image('queues.img', 4 * MIB), queues: 4 }];
    const { values } = await runDiskGuest('s0;l0,40,8;v0,400,8;', { disks, ioThreads: 2 });
    expect(values('queues')).toEqual(['4']);
    expect(values('failed')).toEqual(['0']);
    expect(values('next')).toEqual(['400']);
    expect(values('strays')).toEqual(['0']);
    expect(values('wrong')).toEqual(['0']);
  });

  test('a read-only disk is not written, and can be shared', async () => {
    const file = image('ro.img', MIB);
    const disks = [
      { path: file, readOnly: true },
      { path: file, readOnly: true },
    ];
    const { values } = await runDiskGuest('s0;w0,1,1;r0,1;s1;r0,1;', { disks });
    expect(values('features').every((bits) => (parseInt(bits, 16) & (1 << 5)) !== 0)).toBe(true);
    expect(values('written')).toEqual(['1']);
    expect(values('read')).toEqual(['0', '0']);
    expect(readFileSync(file).every((byte) => byte === 0)).toBe(true);
  });

  test('a disk is resized while the VM runs, and the guest is told', async () => {
    const file = image('resize.img', MIB);
    await using guest = await startDiskGuest('s0;', { disks: [{ path: file }] });
    await guest.shows('capacity=800\n');
    const disk = guest.vm.disks[0]!;
    guest.send('g;');
    await disk.resize(2 * MIB);
    await guest.shows('changed=1000\n');
    expect(disk.capacity).toBe(2 * MIB);
    expect(await ask(guest, 'wf00,1,9;', 'written')).toBe('0');
    guest.send('g;');
    await disk.resize(MIB / 2);
    await guest.shows('changed=400\n');
    expect(await ask(guest, 'rf00,1;', 'read')).toBe('1');
    expect(await ask(guest, 'r3ff,1;', 'read')).toBe('0');
    expect(statSync(file).size).toBe(MIB / 2);
    await expect(disk.resize(1000)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    guest.send('x;');
    await guest.ended();
    await expect(disk.resize(MIB)).rejects.toMatchObject({ code: 'ERR_STATE' });
  });

  test('a file shrunk by somebody else: an I/O error for what is gone, and the VM goes on', async () => {
    const file = image('shrunk.img', MIB);
    await using guest = await startDiskGuest('s0;w0,8,1;w400,8,2;', { disks: [{ path: file }] });
    const notes: string[] = [];
    guest.vm.on('note', (line) => notes.push(line));
    await guest.shows('written=0\nwritten=0\n');
    truncateSync(file, 64 * 1024);
    expect(await ask(guest, 'r400,8;', 'read')).toBe('1');
    expect(await ask(guest, 'r0,8;', 'read')).toBe('0');
    expect(await ask(guest, 'w8,8,5;', 'written')).toBe('0');
    await until('a log line', () => notes.length > 0);
    expect(notes.every((line) => line.includes('shrunk.img') || line.includes('disk'))).toBe(true);
  });

  test('a file deleted while the VM runs is there for it to the end', async () => {
    const file = image('deleted.img', MIB);
    await using guest = await startDiskGuest('s0;', { disks: [{ path: file }] });
    await guest.shows('capacity=');
    unlinkSync(file);
    expect(await ask(guest, 'w8,8,5;', 'written')).toBe('0');
    expect(await ask(guest, 'f;', 'flushed')).toBe('0');
    expect(await ask(guest, 'r8,8;', 'first')).toBe('5');
  });
});

/** A loop device over a file, or the reason why there is none. */
function loopDevice(file: string): { status: number | null; stdout: string } {
  return spawnSync('losetup', ['--find', '--show', file], { encoding: 'utf8' });
}

describeKvm('block devices', () => {
  const probe = image('probe.img', MIB);
  const { status, stdout } = loopDevice(probe);
  if (status === 0) spawnSync('losetup', ['--detach', stdout.trim()]);
  const testWithLoop = status === 0 ? test : test.skip;

  let device = '';
  afterEach(() => {
    spawnSync('losetup', ['--detach', device]);
  });
  const attach = (file: string): string => (device = loopDevice(file).stdout.trim());

  testWithLoop.each(['writeback', 'direct'] as const)(
    'do what a driver asks (%s), and are refused to others meanwhile',
    async (cache) => {
      const file = image('device.img', MIB);
      const disks = [{ path: attach(file), serial: 'scenario', cache }];
      await using guest = await startDiskGuest(SCENARIO, { disks });
      await guest.shows('id=scenario\n');
      const other = { kernel: buildGuest('disk'), memory: '16M', disks };
      await expect(VirtualMachine.create(other)).rejects.toMatchObject({ code: 'ERR_DISK' });
      expect(await ask(guest, 'f;', 'flushed')).toBe('0');
      guest.send('x;');
      const { values } = await guest.ended();
      expect(values('capacity')).toEqual(['800']);
      expect(values('written')).toEqual(['0', '0']);
      expect(values('zeroed')).toEqual(['0', '0']);
      expect(values('discarded')).toEqual(['0']);
      expect(values('read').slice(0, 3)).toEqual(['0', '0', '0']);
      expect(values('first').slice(0, 3)).toEqual(['77', '0', '1006']);
      expect(readFileSync(file).some((byte) => byte !== 0)).toBe(true);
    },
  );

  testWithLoop.each([
    ['io_uring', 'writeback'],
    ['io_uring', 'direct'],
    ['threads', 'writeback'],
  ] as const)(
    'EIO of the device is an I/O error of that request, and the VM goes on (%s, %s)',
    async (engine, cache) => {
      const file = image('failing.img', MIB);
      const disks = [{ path: attach(file), engine, cache }];
      await using guest = await startDiskGuest('s0;w0,8,1;f;', { disks });
      const notes: string[] = [];
      guest.vm.on('note', (line) => notes.push(line));
      await guest.shows('flushed=0\n');
      // The device's own medium is gone from here on; its size is what it was.
      truncateSync(file, 64 * 1024);
      expect(await ask(guest, 'r400,8;', 'read')).toBe('1');
      expect(await ask(guest, 'r0,8;', 'read')).toBe('0');
      expect(await ask(guest, 'w8,8,5;', 'written')).toBe('0');
      expect(await ask(guest, 'f;', 'flushed')).toBe('0');
      await until('a log line', () => notes.length > 0);
      expect(notes.join('\n')).toMatch(/^[^\n]*In of 4096 bytes at 524288 failed: [^\n]*EIO/m);
      expect(guest.vm.disks[0]!.statistics).toMatchObject({ errors: 1, writes: 2, flushes: 2 });
      expect(
        readFileSync(file)
          .subarray(4096, 8192)
          .some((byte) => byte !== 0),
      ).toBe(true);
    },
  );
});

/** Runs `vexit run` with the disk guest. */
function vexit(
  args: readonly string[],
  prefix: readonly string[] = [],
): { status: number | null; stdout: string; stderr: string } {
  const [program = '', ...rest] = [...prefix, process.execPath, CLI, 'run', ...args];
  const kernel = ['--kernel', buildGuest('disk'), '--memory', '16M', '--timeout', '30'];
  return spawnSync(program, [...rest, ...kernel], {
    encoding: 'latin1',
    cwd: path.dirname(image('.')),
    input: '',
    timeout: 60_000,
    env: { ...process.env, VEXIT_CODE_CACHE: '0' },
  });
}

describeKvm('disks that are refused', () => {
  const good = (): string => image('good.img', MIB);
  const cases: { what: string; disks: () => Disk[]; args: () => string[]; says: RegExp }[] = [];
  const add = (what: string, says: RegExp, disks: () => Disk[], args: () => string[]): void => {
    cases.push({ what, disks, args, says });
  };
  const addPath = (what: string, says: RegExp, file: () => string): void => {
    add(
      what,
      says,
      () => [{ path: file() }],
      () => ['--disk', file()],
    );
  };
  addPath('a missing one', /none\.img does not exist/, () => image('none.img'));
  addPath('a directory', /is a directory/, () => path.dirname(image('none.img')));
  addPath('an empty one', /is empty/, () => image('empty.img', 0));
  addPath('1000 bytes', /multiple of 512/, () => image('odd.img', 1000));
  addPath('a device that is no disk', /neither a file nor a block device/, () => '/dev/null');
  addPath('a link in a circle', /symbolic links/, () => {
    const link = image(`circle-${process.hrtime.bigint()}`);
    symlinkSync(link, link);
    return link;
  });
  add(
    'the same serial twice',
    /have the same serial same/,
    () => [
      { path: good(), serial: 'same' },
      { path: image('other.img', MIB), serial: 'same' },
    ],
    () => ['--disk', `${good()},serial=same`, '--disk', `${image('other.img', MIB)},serial=same`],
  );
  add(
    'a rate of 0',
    /would never let the guest do anything/,
    () => [{ path: good(), bytesPerSecond: 0 }],
    () => ['--disk', `${good()},bps=0`],
  );
  add(
    'a rate of 0 requests',
    /would never let the guest do anything/,
    () => [{ path: good(), operationsPerSecond: 0 }],
    () => ['--disk', `${good()},iops=0`],
  );
  add(
    'the same image twice',
    /is in use by another VM of this process/,
    () => [{ path: good() }, { path: good() }],
    () => ['--disk', good(), '--disk', good()],
  );
  add(
    'more than there is room for',
    /17 virtio devices are too many/,
    () => Array.from({ length: 17 }, () => ({ path: good(), readOnly: true })),
    () => Array.from({ length: 17 }, () => ['--disk', `${good()},ro`]).flat(),
  );
  add(
    'an overlay that is none',
    /wrong\.ovl/,
    () => {
      writeFileSync(image('wrong.ovl'), 'vexitovl'.repeat(4096));
      return [{ path: good(), overlay: image('wrong.ovl') }];
    },
    () => ['--disk', `${good()},overlay=${image('wrong.ovl')}`],
  );

  test('a VM that comes to nothing leaves no overlay behind', async () => {
    const overlay = image('none-yet.ovl');
    const made = { path: good(), overlay };
    const create = (options: VirtualMachineOptions): Promise<VirtualMachine> =>
      VirtualMachine.create({ kernel: buildGuest('disk'), memory: '16M', ...options });
    const missing = create({ disks: [made, { path: image('none.img') }] });
    await expect(missing).rejects.toMatchObject({ code: 'ERR_DISK' });
    expect(existsSync(overlay)).toBe(false);
    await expect(create({ disks: [made], kernel: image('none') })).rejects.toThrow();
    expect(existsSync(overlay)).toBe(false);
    await (await create({ disks: [made] })).stop();
    await expect(create({ disks: [made], kernel: image('none') })).rejects.toThrow();
    expect(existsSync(overlay)).toBe(true);
  });

  test.each(cases)('$what', async ({ disks, args, says }) => {
    const before = held();
    const options = { kernel: buildGuest('disk'), memory: '16M', disks: disks() };
    await expect(VirtualMachine.create(options)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(DISK|CONFIG)$/) as string,
      message: expect.stringMatching(says) as string,
      hint: expect.stringMatching(/./) as string,
    });
    expect(held().files).toEqual(before.files);
    const { status, stdout, stderr } = vexit(args());
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^vexit: [^\n]+\n$/);
    expect(stderr).toMatch(says);
    expect(status).toBe(2);
    // A lock that was left behind would be in the way now.
    const after = await VirtualMachine.create({ ...options, disks: [{ path: good() }] });
    await after.stop();
  });

  (process.getuid?.() === 0 ? test : test.skip)('an unreadable one', () => {
    const file = image('secret.img', MIB);
    chmodSync(path.dirname(file), 0o755);
    chmodSync(file, 0o600);
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
    const { status, stderr } = vexit(['--disk', file], asNobody);
    expect(stderr).toMatch(
      /^vexit: disk [^\n]*secret\.img cannot be opened: permission denied[^\n]*\n$/,
    );
    expect(status).toBe(2);
  });

  test('an image that another process has; and two readers of one image', async () => {
    const file = image('shared.img', MIB);
    const run = async (option: string, then: () => void | Promise<void>): Promise<void> => {
      const args = ['run', '--kernel', buildGuest('disk'), '--memory', '16M', '--disk', option];
      const child = spawn(process.execPath, [CLI, ...args, '--cmdline', orders('s0;')]);
      const ended = once(child, 'exit');
      try {
        let shown = '';
        child.stdout.on('data', (bytes: Buffer) => (shown += bytes.toString('latin1')));
        await until(
          'the first VM runs',
          () => shown.includes('capacity=') || child.exitCode !== null,
        );
        await then();
      } finally {
        child.kill('SIGKILL');
        await ended;
      }
    };
    const other = (option: string) => vexit(['--disk', option, '--cmdline', orders('s0;r0,1;x;')]);
    await run(file, () => {
      for (const option of [file, `${file},ro`]) {
        const { status, stderr } = other(option);
        expect(stderr).toMatch(
          /^vexit: [^\n]*shared\.img is (in use|written) by \S+ \(process \d+\)[^\n]*\n$/,
        );
        expect(status).toBe(2);
      }
    });
    await run(`${file},ro`, () => {
      expect(other(file).status).toBe(2);
      const { status, stdout } = other(`${file},ro`);
      expect(stdout).toContain('read=0\n');
      expect(status).toBe(0);
    });
    // The lock went with the process.
    expect(other(file).status).toBe(0);
  });
});

describeKvm('disks of a host that is full', () => {
  const own = ['unshare', '--user', '--map-root-user', '--mount', '--'];
  const mayMount = spawnSync(own[0]!, [...own.slice(1), 'mount', '-t', 'tmpfs', 'x', '/mnt']);

  (mayMount.status === 0 ? test : test.skip)(
    'no space: I/O errors for the writes that need it, and the VM goes on',
    () => {
      const small = image('small');
      mkdirSync(small);
      const script = `mount -t tmpfs -o size=1M x ${small} && truncate -s 8M ${small}/disk && exec "$@"`;
      const prefix = [...own, 'sh', '-c', script, 'sh'];
      const orderList = 's0;w0,80,1;f;' + [1, 2, 3].map((n) => `w${n}000,80,1;`).join('');
      const fill = Array.from({ length: 40 }, (_, i) => `w${(0x80 * i).toString(16)},80,7;`);
      const { status, stdout, stderr } = vexit(
        [
          '--verbose',
          '--disk',
          `${small}/disk`,
          '--cmdline',
          orders(`${orderList}${fill.join('')}f;r0,80;x;`),
        ],
        prefix,
      );
      expect(stdout).toContain('written=1\n');
      expect(stdout).toMatch(/^capacity=4000\nwritten=0\nflushed=0\n/m);
      expect(stdout).toMatch(/flushed=0\nread=0\nfirst=7\ndifferent=0\n$/);
      expect(stderr.match(/ENOSPC/g)!.length).toBeLessThanOrEqual(10);
      expect(status).toBe(0);
    },
  );

  test('a limit of the file size (RLIMIT_FSIZE) is an I/O error too', () => {
    const file = image('limited.img', 64 * MIB);
    // 20 MiB, in blocks of 512 bytes: guest memory is a file too.
    const prefix = ['sh', '-c', 'ulimit -f 40960; exec "$@"', 'sh'];
    const { status, stdout } = vexit(
      ['--disk', file, '--cmdline', orders('s0;w0,80,1;wc000,80,1;f;r0,80;x;')],
      prefix,
    );
    expect(stdout).toContain('written=0\nwritten=1\nflushed=0\nread=0\nfirst=1\n');
    expect(status).toBe(0);
  });
});
