/** Images made, described and resized through the library. File systems are checked by e2fsck. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createDisk } from '../../../src/images/create';
import { ext4Size } from '../../../src/images/ext4';
import { diskInfo } from '../../../src/images/info';
import { resizeDisk } from '../../../src/images/resize';
import { busyboxRootEntries } from '../../../src/images/busybox-root';
import { debianRecipe, furtherPackages } from '../../../src/images/debian-root';
import { createRootDisk } from '../../../src/images/root-disk';
import { writeTree } from '../../../src/images/tree';
import { S_IFCHR, S_IFLNK } from '../../../src/guest/cpio';

const MIB = 2 ** 20;
let dir: string;
let image: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-images-'));
  image = path.join(dir, 'disk');
});
afterEach(() => rmSync(dir, { recursive: true }));

function isClean(file: string): boolean {
  return spawnSync('/sbin/e2fsck', ['-f', '-n', file]).status === 0;
}

/** What debugfs says about a path in an image. */
function look(file: string, request: string): string {
  return spawnSync('/sbin/debugfs', ['-R', request, file], { encoding: 'utf8' }).stdout;
}

describe('createDisk', () => {
  it('makes a sparse file', async () => {
    await createDisk(image, { size: 2 ** 40 });
    const info = await diskInfo(image);
    expect(info).toMatchObject({ format: 'raw', kind: 'file', virtualSize: 2 ** 40 });
    expect(info.allocatedSize).toBeLessThan(MIB);
    expect(info.holes).toBe(info.virtualSize - info.allocatedSize);
  });

  it.each([0, -512, 511, 513, 1.5, NaN, 2 ** 60])('refuses a size of %d', async (size) => {
    await expect(createDisk(image, { size })).rejects.toMatchObject({ code: 'ERR_DISK' });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('makes an ext4 file system that fills the disk', async () => {
    await createDisk(image, { size: 16 * MIB, fileSystem: 'ext4' });
    expect(isClean(image)).toBe(true);
    expect(await ext4Size(image)).toBe(16 * MIB);
    expect(look(image, 'stat /')).toMatch(/User: +0 +Group: +0 /);
    expect((await diskInfo(image)).holes).toBeGreaterThan(8 * MIB);
  });

  it('fills it from a directory, with modes and links', async () => {
    const from = path.join(dir, 'from');
    mkdirSync(path.join(from, 'bin'), { recursive: true });
    writeFileSync(path.join(from, 'bin', 'tool'), 'x'.repeat(5000));
    chmodSync(path.join(from, 'bin', 'tool'), 0o4755);
    symlinkSync('tool', path.join(from, 'bin', 'link'));
    await createDisk(image, { size: 16 * MIB, fileSystem: 'ext4', from });
    expect(isClean(image)).toBe(true);
    expect(look(image, 'cat /bin/tool')).toBe('x'.repeat(5000));
    expect(look(image, 'stat /bin/tool')).toMatch(/Mode: +04755/);
    expect(look(image, 'stat /bin/link')).toMatch(/Fast link dest: "tool"/);
    expect(look(image, 'stat /bin/tool')).toMatch(/User: +0 /);
  });

  it('fills it from a tar archive, with the owners it tells', async () => {
    mkdirSync(path.join(dir, 'in/etc'), { recursive: true });
    writeFileSync(path.join(dir, 'in/etc/secret'), 'y');
    chmodSync(path.join(dir, 'in/etc/secret'), 0o640);
    const archive = path.join(dir, 'root.tar.gz');
    const owner = ['--owner=1234', '--group=567', '--numeric-owner'];
    spawnSync('tar', ['-czf', archive, ...owner, '-C', path.join(dir, 'in'), '.']);
    await createDisk(image, { size: 16 * MIB, fileSystem: 'ext4', from: archive });
    const found = look(image, 'stat /etc/secret');
    expect(found).toMatch(/Mode: +0640/);
    expect(found).toMatch(/User: +1234 +Group: +567 /);
    expect(readdirSync(dir).sort()).toEqual(['disk', 'in', 'root.tar.gz']);
  });

  it('says that the content does not fit, and leaves nothing', async () => {
    const from = path.join(dir, 'from');
    mkdirSync(from);
    writeFileSync(path.join(from, 'large'), Buffer.alloc(6 * MIB, 1));
    const work = createDisk(image, { size: 4 * MIB, fileSystem: 'ext4', from });
    await expect(work).rejects.toMatchObject({
      code: 'ERR_DISK',
      message: `${from} does not fit into 4 MiB`,
    });
    expect(readdirSync(dir)).toEqual(['from']);
  });

  it('refuses what is no archive, and leaves nothing', async () => {
    const from = path.join(dir, 'from');
    writeFileSync(from, 'not a tar archive '.repeat(100));
    const work = createDisk(image, { size: 16 * MIB, fileSystem: 'ext4', from });
    await expect(work).rejects.toMatchObject({
      code: 'ERR_DISK',
      message: `${from} is not a tar archive`,
    });
    expect(readdirSync(dir)).toEqual(['from']);
  });

  it('refuses a disk too small for the file system', async () => {
    const work = createDisk(image, { size: 4096, fileSystem: 'ext4' });
    await expect(work).rejects.toMatchObject({
      code: 'ERR_DISK',
      message: '4 KiB are too little for the file system',
    });
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('resizeDisk', () => {
  it('grows a disk, keeping what is on it', async () => {
    writeFileSync(image, Buffer.alloc(1024, 7));
    await resizeDisk(image, { size: 2 * MIB });
    expect(statSync(image).size).toBe(2 * MIB);
    expect(readFileSync(image).subarray(0, 1025)).toEqual(
      Buffer.concat([Buffer.alloc(1024, 7), Buffer.alloc(1)]),
    );
  });

  it('grows and shrinks a file system with the disk', async () => {
    await createDisk(image, { size: 16 * MIB, fileSystem: 'ext4' });
    await resizeDisk(image, { size: 64 * MIB, fileSystem: true });
    expect(await ext4Size(image)).toBe(64 * MIB);
    expect(isClean(image)).toBe(true);
    await resizeDisk(image, { size: 8 * MIB, fileSystem: true, shrink: true });
    expect(await ext4Size(image)).toBe(8 * MIB);
    expect(statSync(image).size).toBe(8 * MIB);
    expect(isClean(image)).toBe(true);
  });

  it('does not shrink unless told, nor through a file system', async () => {
    await createDisk(image, { size: 16 * MIB, fileSystem: 'ext4' });
    await expect(resizeDisk(image, { size: 8 * MIB })).rejects.toMatchObject({ code: 'ERR_DISK' });
    const cut = resizeDisk(image, { size: 8 * MIB, shrink: true });
    await expect(cut).rejects.toMatchObject({ code: 'ERR_DISK' });
    expect(statSync(image).size).toBe(16 * MIB);
    expect(isClean(image)).toBe(true);
  });

  it('cuts a disk without a file system', async () => {
    writeFileSync(image, Buffer.alloc(4096, 1));
    await resizeDisk(image, { size: 1024, shrink: true });
    expect(statSync(image).size).toBe(1024);
  });

  it('leaves a disk as it was whose file system is too full to shrink', async () => {
    const from = path.join(dir, 'from');
    mkdirSync(from);
    writeFileSync(path.join(from, 'large'), Buffer.alloc(6 * MIB, 1));
    await createDisk(image, { size: 16 * MIB, fileSystem: 'ext4', from });
    const work = resizeDisk(image, { size: 4 * MIB, fileSystem: true, shrink: true });
    await expect(work).rejects.toMatchObject({
      code: 'ERR_DISK',
      message: '4 MiB are too little for the file system',
    });
    expect(statSync(image).size).toBe(16 * MIB);
    expect(isClean(image)).toBe(true);
  });

  it('does not touch a damaged file system', async () => {
    await createDisk(image, { size: 16 * MIB, fileSystem: 'ext4' });
    const bytes = readFileSync(image);
    bytes.fill(0xff, 2048, 16 * 1024);
    writeFileSync(image, bytes);
    const work = resizeDisk(image, { size: 32 * MIB, fileSystem: true });
    await expect(work).rejects.toMatchObject({
      code: 'ERR_DISK',
      message: `the file system in ${image} is damaged`,
    });
    expect(statSync(image).size).toBe(16 * MIB);
  });

  it('refuses --fs where there is no file system', async () => {
    writeFileSync(image, '');
    truncateSync(image, MIB);
    const work = resizeDisk(image, { size: 2 * MIB, fileSystem: true });
    await expect(work).rejects.toMatchObject({ message: `${image} holds no ext4 file system` });
    expect(statSync(image).size).toBe(MIB);
  });
});

describe('ext4Size', () => {
  it('finds none in short, empty and odd images', async () => {
    for (const bytes of [0, 1024, 2047, 4096]) {
      writeFileSync(image, Buffer.alloc(bytes, 0));
      expect(await ext4Size(image)).toBeUndefined();
    }
    const hostile = Buffer.alloc(4096, 0xff);
    hostile.writeUInt16LE(0xef53, 1024 + 0x38);
    writeFileSync(image, hostile);
    expect(await ext4Size(image)).toBeUndefined();
  });
});

describe('busyboxRootEntries', () => {
  const entries = busyboxRootEntries(Buffer.from('agent'), Buffer.from('busybox'), [
    'bin/ls',
    'sbin/init',
    'usr/bin/env',
    '',
  ]);

  it('has the agent as init, and links instead of a list of applets', () => {
    const links = entries.filter(({ mode }) => (mode & 0o170000) === S_IFLNK);
    expect(Object.fromEntries(links.map(({ path: file, data }) => [file, data]))).toEqual({
      'bin/sh': 'busybox',
      'sbin/init': '/.vexit/init',
      'bin/ls': '/bin/busybox',
      'usr/bin/env': '/bin/busybox',
    });
    expect(entries.some(({ path: file }) => file === '.vexit/applets')).toBe(false);
  });

  it('can be written by a user without privileges, with its modes', async () => {
    expect(entries.some(({ mode }) => (mode & 0o170000) === S_IFCHR)).toBe(false);
    const tree = path.join(dir, 'tree');
    mkdirSync(tree);
    await writeTree(tree, entries);
    expect(statSync(path.join(tree, 'tmp')).mode & 0o7777).toBe(0o1777);
    expect(statSync(path.join(tree, 'root')).mode & 0o7777).toBe(0o700);
    expect(readFileSync(path.join(tree, '.vexit/init'), 'utf8')).toBe('agent');
  });
});

describe('packages of a root disk', () => {
  it('are a set: the order, and what is there anyway, make no other disk', () => {
    expect(furtherPackages(['strace', 'fio', 'less', 'fio'])).toEqual(['fio', 'strace']);
    expect(debianRecipe(['fio'])).not.toEqual(debianRecipe([]));
  });

  it.each(['', 'x', 'Fio', '-y', 'a b', 'a,b', 'fio/sid', 'fio=1', 'é'])('%j is none', (name) => {
    expect(() => furtherPackages([name])).toThrow(/not the name of a Debian package/);
  });

  it('are refused for busybox before anything is made', async () => {
    const work = createRootDisk(image, { kind: 'busybox', packages: ['fio'] });
    await expect(work).rejects.toMatchObject({ code: 'ERR_DISK' });
    expect(readdirSync(dir)).toEqual([]);
  });
});
