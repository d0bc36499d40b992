/** Files for persistent memory: what is refused, and who may share one. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VirtualMachine, type VirtualMachineOptions } from 'vexit';
import { imageDirectory, orders } from '../support/disk-guest';
import { buildGuest } from '../support/guest-build';
import { describeKvm } from '../support/kvm';
import { held, until } from '../support/run-guest';

const CLI = path.resolve(__dirname, '../../dist/cli.js');
const MIB = 2 ** 20;

const image = imageDirectory();

const options = (...pmem: NonNullable<VirtualMachineOptions['pmem']>): VirtualMachineOptions => ({
  kernel: buildGuest('disk'),
  memory: '16M',
  pmem,
});

function vexit(...pmem: string[]): { status: number | null; stdout: string; stderr: string } {
  const run = [CLI, 'run', '--kernel', buildGuest('disk'), '--memory', '16M', '--timeout', '30'];
  const regions = pmem.flatMap((region) => ['--pmem', region]);
  return spawnSync(process.execPath, [...run, '--cmdline', orders('x;'), ...regions], {
    encoding: 'latin1',
    timeout: 60_000,
    env: { ...process.env, VEXIT_CODE_CACHE: '0' },
  });
}

describeKvm('a file that changes while it is mapped', () => {
  /** A VM in a process of its own, which a signal would end. */
  class Guest {
    shown = '';
    said = '';
    readonly ended: Promise<unknown[]>;
    readonly child: ChildProcess;
    constructor(file: string) {
      const run = ['run', '--kernel', buildGuest('pmem'), '--memory', '16M', '--timeout', '60'];
      this.child = spawn(process.execPath, [CLI, ...run, '--pmem', file]);
      this.ended = once(this.child, 'close');
      this.child.stdout!.on('data', (bytes: Buffer) => (this.shown += bytes.toString('latin1')));
      this.child.stderr!.on('data', (bytes: Buffer) => (this.said += bytes.toString('latin1')));
    }
    async ask(letter: string, answer: RegExp): Promise<void> {
      this.child.stdin!.write(letter);
      await until(String(answer), () => answer.test(this.shown) || this.child.exitCode !== null);
      expect(this.shown).toMatch(answer);
    }
  }

  test('a deleted one is there to the end', async () => {
    const file = image('deleted', 2 * MIB);
    writeFileSync(file, Buffer.alloc(2 * MIB, 0x11));
    const guest = new Guest(file);
    await guest.ask('a', /^a=1111111111111111$/m);
    unlinkSync(file);
    await guest.ask('B', /^written=1$/m);
    await guest.ask('b', /^b=1234$/m);
    guest.child.stdin!.write('x');
    expect(await guest.ended).toEqual([0, null]);
  });

  test('one that somebody cuts off ends this VM at most, and not by a signal', async () => {
    const file = image('cut', 2 * MIB);
    writeFileSync(file, Buffer.alloc(2 * MIB, 0x11));
    const guest = new Guest(file);
    await guest.ask('b', /^b=1111111111111111$/m);
    truncateSync(file, 4096);
    await guest.ask('a', /^a=1111111111111111$/m);
    guest.child.stdin!.write('b');
    await sleep(500);
    guest.child.stdin!.write('x');
    const [status, signal] = await guest.ended;
    expect(signal).toBeNull();
    // kvm-pvm interprets the access, which finds nothing; with VT-x and AMD-V KVM_RUN fails.
    if (status === 0) expect(guest.shown).toMatch(/^b=ffffffffffffffff$/m);
    else
      expect({ status, said: guest.said.includes('KVM_RUN') }).toEqual({ status: 125, said: true });
  });
});

describeKvm('persistent memory that is refused', () => {
  const cases: { what: string; file: () => string; says: RegExp }[] = [
    { what: 'a missing file', file: () => image('none'), says: /none does not exist/ },
    {
      what: 'a directory',
      file: () => {
        mkdirSync(image('directory'), { recursive: true });
        return image('directory');
      },
      says: /directory is a directory/,
    },
    { what: 'an empty file', file: () => image('empty', 0), says: /empty is empty/ },
    {
      what: 'a FIFO, which does not hold it up',
      file: () => {
        spawnSync('mkfifo', [image('fifo')]);
        return image('fifo');
      },
      says: /fifo is not a file/,
    },
    { what: 'a device', file: () => '/dev/null', says: /null is not a file/ },
    {
      what: 'a link in a circle',
      file: () => {
        const link = image(`circle-${process.hrtime.bigint()}`);
        symlinkSync(link, link);
        return link;
      },
      says: /symbolic links/,
    },
  ];

  test.each(cases)('$what', async ({ file, says }) => {
    const before = held();
    for (const readOnly of [false, true]) {
      const made = VirtualMachine.create(options({ path: file(), readOnly }));
      await expect(made).rejects.toMatchObject({
        code: 'ERR_DISK',
        message: expect.stringMatching(says) as string,
        hint: expect.stringMatching(/./) as string,
      });
    }
    expect(held().files).toEqual(before.files);
    const { status, stdout, stderr } = vexit(`${file()},ro`);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^vexit: [^\n]+\n$/);
    expect(stderr).toMatch(says);
    expect(status).toBe(2);
  });

  test('a file that another VM writes, or has as its disk; readers share one', async () => {
    const file = image('shared', MIB);
    const writer = await VirtualMachine.create(options({ path: file }));
    try {
      for (const other of [file, `${file},ro`]) {
        const { status, stderr } = vexit(other);
        expect(stderr).toMatch(/^vexit: [^\n]*shared is (in use|written) by \S+ \(process \d+\)/);
        expect(status).toBe(2);
      }
      const disk = { ...options(), disks: [{ path: file }] };
      await expect(VirtualMachine.create(disk)).rejects.toMatchObject({ code: 'ERR_DISK' });
    } finally {
      await writer.stop();
    }
    await using reader = await VirtualMachine.create(options({ path: file, readOnly: true }));
    expect(reader.state).toBe('created');
    expect(vexit(file).status).toBe(2);
    expect(vexit(`${file},ro`, `${file},ro`).status).toBe(0);
  });
});
