/** What Linux sees of virtio disks, console, entropy and balloon, in two boots. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { VirtualMachine, ensureRootDisk } from 'vexit';
import { ensureDefaultGuest } from '../../src/guest/default-guest.js';
import { GuestShell } from '../support/guest-shell.js';
import { describeKvm } from '../support/kvm.js';
import { until } from '../support/run-guest.js';

const MIB = 2 ** 20;
/** A boot takes 20 s of a processor here; a busy machine may need many times that. */
const BUSY_MS = 900_000;
jest.setTimeout(BUSY_MS);

const silent = (): undefined => undefined;

/** An ext4 image with one file. */
function makeImage(file: string, text: string): void {
  const tree = `${file}.tree`;
  mkdirSync(tree);
  writeFileSync(path.join(tree, 'text'), text);
  const flags = ['-q', '-F', '-b', '4096', '-E', 'root_owner=0:0', '-d', tree];
  execFileSync('mkfs.ext4', [...flags, file, '8M'], { stdio: 'pipe' });
}

const bytesOnHost = (file: string): number => statSync(file).blocks * 512;

/** The descriptors of guest memory in this process. */
function memoryFiles(): number[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('/memfd:') ? [Number(fd)] : [];
    } catch {
      return []; // the directory's own
    }
  });
}

describeKvm('virtio devices in Linux', () => {
  let dir: string;
  let vm: VirtualMachine;
  let shell: GuestShell;
  let memory: number;
  const file = (name: string): string => path.join(dir, name);

  beforeAll(async () => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-linux-devices-'));
    copyFileSync(await ensureRootDisk('busybox', silent), file('root.ext4'));
    makeImage(file('data.ext4'), 'on a read-only disk\n');
    writeFileSync(file('full.img'), Buffer.alloc(16 * MIB, 0xa5));
    const before = memoryFiles();
    vm = await VirtualMachine.create({
      command: { argv: ['sh'] },
      memory: '96M',
      disks: [
        { path: file('root.ext4'), serial: 'THE-ROOT' },
        { path: file('data.ext4'), readOnly: true },
        { path: file('full.img'), queues: 2 },
      ],
      virtioConsole: { ports: ['org.example.port'] },
      rng: true,
      balloon: { freePageReporting: false },
      ioThreads: 2,
    });
    [memory] = memoryFiles().filter((fd) => !before.includes(fd)) as [number];
    shell = new GuestShell(vm.command!);
    await vm.start();
    await shell.run('mkdir -p /mnt');
  });

  afterAll(async () => {
    await vm.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('the first disk is the root, and is written', async () => {
    expect(await shell.run('grep " / " /proc/mounts')).toMatch(/^\/dev\/vda \/ ext4 rw/);
    expect(await shell.run('cat /sys/block/vda/serial')).toBe('THE-ROOT');
    await shell.run('echo written in the guest >/root/file && sync');
    const { writes, flushes, errors } = vm.disks[0]!.statistics;
    expect(writes).toBeGreaterThan(0);
    expect(flushes).toBeGreaterThan(0);
    expect(errors).toBe(0);
    const content = readFileSync(file('root.ext4'));
    expect(content.includes('written in the guest\n')).toBe(true);
  });

  test('a read-only disk is read and not written', async () => {
    const before = readFileSync(file('data.ext4'));
    expect(await shell.run('cat /sys/block/vdb/ro')).toBe('1');
    await shell.run('mount -t ext4 -o ro /dev/vdb /mnt');
    expect(await shell.run('cat /mnt/text; umount /mnt')).toBe('on a read-only disk');
    const write = 'dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync';
    expect(await shell.try(write)).toMatchObject({
      status: 1,
      output: expect.stringContaining('not permitted') as string,
    });
    expect(readFileSync(file('data.ext4')).equals(before)).toBe(true);
  });

  test('discard makes images sparse', async () => {
    expect(bytesOnHost(file('full.img'))).toBeGreaterThanOrEqual(16 * MIB);
    expect(await shell.run('ls /sys/block/vdc/mq | wc -l')).toBe('1');
    await shell.run('blkdiscard -o 1048576 -l 14680064 /dev/vdc');
    expect(bytesOnHost(file('full.img'))).toBeLessThanOrEqual(2 * MIB);
    expect(
      readFileSync(file('full.img'))
        .subarray(0, MIB)
        .every((b) => b === 0xa5),
    ).toBe(true);

    await shell.run('dd if=/dev/zero of=/root/big bs=64k count=32 2>/dev/null; sync');
    const full = bytesOnHost(file('root.ext4'));
    await shell.run('rm /root/big; sync; fstrim /');
    expect(bytesOnHost(file('root.ext4'))).toBeLessThan(full - MIB);
    expect(vm.disks[2]!.statistics.discards).toBeGreaterThan(0);
  });

  test('a disk grows while the guest runs', async () => {
    expect(await shell.run('cat /sys/block/vdc/size')).toBe(String((16 * MIB) / 512));
    await vm.disks[2]!.resize(24 * MIB);
    const want = (24 * MIB) / 512;
    const wait = `while [ $(cat /sys/block/vdc/size) != ${want} ]; do sleep 0.1; done`;
    await shell.run(wait);
    await shell.run(
      `echo end | dd of=/dev/vdc bs=512 seek=${want - 1} conv=sync,fsync 2>/dev/null`,
    );
    expect(readFileSync(file('full.img')).subarray(-512).toString()).toMatch(/^end\n\0/);
  });

  test('the console is hvc0, with its size, and bytes go both ways', async () => {
    expect(await shell.run('cat /sys/class/tty/console/active')).toBe('hvc0');
    let shown = '';
    vm.console.output.on('data', (bytes: Buffer) => (shown += bytes.toString()));
    await shell.run('echo to the host >/dev/hvc0');
    await until('output of hvc0', () => shown.includes('to the host\r\n'));
    vm.console.input.write('to the guest\n');
    expect(await shell.run('head -n 1 /dev/hvc0')).toBe('to the guest');
    vm.virtioConsole!.resize(132, 43);
    await shell.run('while [ "$(stty size </dev/hvc0)" != "43 132" ]; do sleep 0.1; done');
  });

  test('a named port carries bytes both ways, however many', async () => {
    const names = 'grep -l "^org.example.port$" /sys/class/virtio-ports/*/name';
    const device = `/dev/${path.basename(path.dirname(await shell.run(names)))}`;
    const port = vm.virtioConsole!.port('org.example.port')!;
    const received: Buffer[] = [];
    port.output.on('data', (bytes: Buffer) => received.push(bytes));
    await shell.run(`seq 1 40000 >${device}`);
    const expected = Array.from({ length: 40_000 }, (_, i) => `${i + 1}\n`).join('');
    const bytes = (): number => received.reduce((sum, { length }) => sum + length, 0);
    await until('output of the port', () => bytes() >= expected.length, BUSY_MS);
    expect(Buffer.concat(received).toString()).toBe(expected);
    // More than all buffers hold.
    port.input.write(expected);
    const read = await shell.run(`head -c ${expected.length} ${device} | md5sum`);
    expect(read).toBe(`${createHash('md5').update(expected).digest('hex')}  -`);
  });

  test('the agent has a port of its own, with more output than its buffers hold', async () => {
    const output = await shell.run('cat /sys/class/virtio-ports/*/name; seq 1 30000');
    const lines = output.split('\n');
    expect(lines.slice(0, 2).sort()).toEqual(['org.example.port', 'org.vexit.agent']);
    expect(lines).toHaveLength(2 + 30_000);
    expect(lines.at(-1)).toBe('30000');
  });

  test('random bytes come from the host', async () => {
    const current = 'cat /sys/class/misc/hw_random/rng_current';
    expect(await shell.run(current)).toMatch(/^virtio_rng/);
    await shell.run('dd if=/dev/hwrng of=/run/random bs=32 count=2 iflag=fullblock 2>/dev/null');
    const text = await shell.run('od -An -v -tx1 /run/random');
    const bytes = text.replace(/\s/g, '');
    expect(bytes).toMatch(/^[0-9a-f]{128}$/);
    expect(bytes.slice(0, 64)).not.toBe(bytes.slice(64));
  });

  test('the balloon gives memory back to the host, and the guest agrees', async () => {
    const balloon = vm.balloon!;
    const onHost = (): number => fstatSync(memory).blocks * 512;
    const free = async (): Promise<number> =>
      Number(await shell.run("awk '/MemFree/ { print $2 }' /proc/meminfo")) * 1024;
    // Memory that was never touched is not the host's to begin with.
    await shell.run('dd if=/dev/zero of=/run/touched bs=1M count=8 2>/dev/null; rm /run/touched');
    const before = { host: onHost(), free: await free() };
    const size = 32 * MIB;
    balloon.setTarget(size);
    await until('inflation', () => balloon.actual === size, BUSY_MS);
    expect(onHost()).toBeLessThan(before.host - 6 * MIB);
    expect(await free()).toBeLessThan(before.free - size + 4 * MIB);
    const { freeMemory, totalMemory } = await balloon.statistics();
    expect(freeMemory).toBeLessThan(before.free - size + 4 * MIB);
    expect(totalMemory).toBeGreaterThan(0);
    balloon.setTarget(0);
    await until('deflation', () => balloon.actual === 0, BUSY_MS);
    expect(await free()).toBeGreaterThan(before.free - 4 * MIB);
  });

  test('a kernel of its own boots a disk that is shared, read-only', async () => {
    const { kernel } = await ensureDefaultGuest('built', silent);
    await using other = await VirtualMachine.create({
      kernel,
      append: 'loglevel=3',
      disks: [{ path: await ensureRootDisk('busybox', silent), readOnly: true }],
      virtioConsole: true,
      memory: '96M',
    });
    let shown = '';
    other.console.output.on('data', (bytes: Buffer) => (shown += bytes.toString()));
    await other.start();
    await until('a prompt', () => shown.includes('# '), BUSY_MS);
    other.console.input.write('grep " / " /proc/mounts; exit\n');
    const { reason } = await other.wait();
    expect(shown).toMatch(/^\/dev\/root \/ ext4 ro/m);
    expect(reason).toBe('power-off');
  });
});
