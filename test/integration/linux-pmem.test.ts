/** Files as persistent memory in Linux: DAX, a root file system on it, pages that VMs share. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
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

const BEFORE = 'as it was made\n';
const AFTER = 'as it is later\n';
const silent = (): undefined => undefined;
const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex');

/** An ext4 image of 8 MiB with a text and random bytes; DAX needs blocks of a page. */
function makeImage(file: string): Buffer {
  const tree = `${file}.tree`;
  const bytes = randomBytes(MIB);
  mkdirSync(tree);
  writeFileSync(path.join(tree, 'text'), BEFORE);
  writeFileSync(path.join(tree, 'bytes'), bytes);
  const flags = ['-q', '-F', '-b', '4096', '-E', 'root_owner=0:0', '-d', tree];
  execFileSync('mkfs.ext4', [...flags, file, '8M'], { stdio: 'pipe' });
  return bytes;
}

/** Changes the text in an image while VMs have it in their memory. */
function changeText(file: string): void {
  const at = readFileSync(file).indexOf(BEFORE);
  expect(at).toBeGreaterThan(0);
  const fd = openSync(file, 'r+');
  writeSync(fd, AFTER, at);
  closeSync(fd);
}

describeKvm('persistent memory in Linux', () => {
  let dir: string;
  let vm: VirtualMachine;
  let shell: GuestShell;
  let bytes: Buffer;
  const file = (name: string): string => path.join(dir, name);

  beforeAll(async () => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-linux-pmem-'));
    bytes = makeImage(file('shared.ext4'));
    makeImage(file('own.ext4'));
    vm = await VirtualMachine.create({
      command: { argv: ['sh'] },
      append: 'vexit.root=/dev/pmem0 vexit.rootflags=dax ro',
      memory: '96M',
      pmem: [
        { path: await ensureRootDisk('busybox', silent), readOnly: true },
        { path: file('shared.ext4'), readOnly: true },
        { path: file('own.ext4') },
      ],
    });
    shell = new GuestShell(vm.command!);
    await vm.start();
    await shell.run('mkdir /tmp/shared /tmp/own');
  });

  afterAll(async () => {
    await vm.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('a region can hold the root file system, without a copy in the guest', async () => {
    expect(await shell.run('grep " / " /proc/mounts')).toMatch(/^\/dev\/pmem0 \/ ext4 ro,.*dax/);
    expect(await shell.run('cat /sys/block/pmem0/size')).toBe(String((32 * MIB) / 512));
    expect(await shell.run('busybox echo run from the host')).toBe('run from the host');
  });

  test('the file system of a file is mounted with DAX, and has its content', async () => {
    await shell.run('mount -t ext4 -o ro,dax /dev/pmem1 /tmp/shared');
    expect(await shell.run('cat /tmp/shared/text')).toBe(BEFORE.trim());
    expect(await shell.run('md5sum </tmp/shared/bytes')).toBe(`${md5(bytes)}  -`);
  });

  test('what is written to a region is in its file', async () => {
    await shell.run('mount -t ext4 -o dax /dev/pmem2 /tmp/own');
    await shell.run('cp /tmp/shared/bytes /tmp/own/copy; rm /tmp/own/bytes; umount /tmp/own');
    execFileSync('e2fsck', ['-fn', file('own.ext4')], { stdio: 'pipe' });
    const copy = execFileSync('debugfs', ['-R', 'cat /copy', file('own.ext4')], {
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 * MIB,
    });
    expect(md5(copy)).toBe(md5(bytes));
  });

  test('what is written to a read-only region changes nothing', async () => {
    const before = md5(readFileSync(file('shared.ext4')));
    await shell.run('umount /tmp/shared; dd if=/dev/zero of=/dev/pmem1 bs=4k count=2 conv=fsync');
    expect(md5(readFileSync(file('shared.ext4')))).toBe(before);
    await shell.run('mount -t ext4 -o ro,dax /dev/pmem1 /tmp/shared');
    expect(await shell.run('md5sum </tmp/shared/bytes')).toBe(`${md5(bytes)}  -`);
  });

  test("VMs see the host's pages of one file, which a kernel of its own has as its root", async () => {
    const { kernel } = await ensureDefaultGuest('built', silent);
    await using other = await VirtualMachine.create({
      kernel,
      append: 'root=/dev/pmem0 rootfstype=ext4 rootflags=dax ro loglevel=3',
      pmem: [
        { path: await ensureRootDisk('busybox', silent), readOnly: true },
        { path: file('shared.ext4'), readOnly: true },
      ],
      memory: '96M',
    });
    let shown = '';
    other.serial.output.on('data', (chunk: Buffer) => (shown += chunk.toString()));
    await other.start();
    await until('a prompt', () => shown.includes('# '), BUSY_MS);
    other.serial.input.write('grep " / " /proc/mounts; mount -o ro,dax /dev/pmem1 /mnt\n');
    other.serial.input.write('cat /mnt/text; echo "mou"nted\n');
    await until('a mount', () => shown.includes('mounted'), BUSY_MS);
    expect(shown).toMatch(/^\/dev\/root \/ ext4 ro,.*dax/m);
    expect(shown).toContain(`\n${BEFORE.trim()}\r`);
    expect(await shell.run('cat /tmp/shared/text')).toBe(BEFORE.trim());
    // No page of it is the guests' own.
    changeText(file('shared.ext4'));
    expect(await shell.run('cat /tmp/shared/text')).toBe(AFTER.trim());
    other.serial.input.write('cat /mnt/text; exit\n');
    const { reason } = await other.wait();
    expect(shown).toContain(`\n${AFTER.trim()}\r`);
    expect(reason).toBe('power-off');
  });
});
