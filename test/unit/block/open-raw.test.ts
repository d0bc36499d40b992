/** Opening disks: what can be wrong with a path, and who else has it. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { closeDisk, openDisk } from '../../../src/block/open-disk.js';
import { closeRaw, openRaw } from '../../../src/block/raw/open-raw.js';
import { packageRoot } from '../../../src/kvm/native.js';
import { VexitError } from '../../../src/util/errors.js';
import { thrownBy } from '../../support/thrown.js';
import { pattern, scratch } from './backend-bench.js';

const files = scratch();

function problem(path: string, options = {}): { message: string; hint: string } {
  const error = thrownBy(() => closeRaw(openRaw(path, options)));
  if (!(error instanceof VexitError)) throw new Error(`${path}: ${String(error)}`);
  expect(error.code).toBe('ERR_DISK');
  expect(error.message).not.toContain('\n');
  return { message: error.message, hint: error.hint ?? '' };
}

describe('E28: what is not a disk is refused', () => {
  test('a path with nothing there', () => {
    const made = problem(files.file('missing.img'));
    expect(made.message).toMatch(/^disk .*missing\.img does not exist$/);
    expect(made.hint).toContain('vexit disk create');
    expect(problem(`${files.file('short.img', 512)}/x`).message).toContain('does not exist');
  });

  test('a directory, to read and to write', () => {
    mkdirSync(files.file('directory'));
    expect(problem(files.file('directory')).message).toContain('is a directory');
    expect(problem(files.file('directory'), { readOnly: true }).message).toContain(
      'is a directory',
    );
  });

  test('a FIFO, which does not block; a character device; a file of /proc', () => {
    execFileSync('mkfifo', [files.file('fifo')]);
    expect(problem(files.file('fifo')).message).toContain('neither a file nor a block device');
    expect(problem(files.file('fifo'), { readOnly: true }).message).toContain('neither');
    expect(problem('/dev/null').message).toContain('neither a file nor a block device');
    expect(problem('/proc/version', { readOnly: true }).message).toContain('is empty');
  });

  test('a loop of symbolic links', () => {
    symlinkSync('loop', files.file('loop'));
    expect(problem(files.file('loop')).message).toContain('symbolic links');
  });

  test('0 bytes, 1 byte and other sizes that are no sectors', () => {
    expect(problem(files.file('empty', 0)).message).toContain('is empty');
    expect(problem(files.file('one', 1)).message).toContain('1 bytes, which is not a multiple');
    expect(problem(files.file('odd', 1000)).hint).toContain('truncate');
  });

  test('one that this user may not read or write', () => {
    const file = files.file('locked-away', 512);
    chmodSync(file, 0o000);
    const root = process.getuid?.() === 0;
    if (root) process.seteuid?.(65534);
    try {
      expect(problem(file).message).toContain('permission denied');
    } finally {
      if (root) process.seteuid?.(0);
    }
  });
});

test('E12: an image that begins as another format is raw all the same', () => {
  const image = Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), pattern(504, 1)]);
  const raw = openRaw(files.file('looks-like-qcow2', image));
  expect(raw.size).toBe(512);
  closeRaw(raw);
});

describe('E29: locks', () => {
  test('two writers, and a reader beside a writer, are refused', () => {
    const file = files.file('lock1', 512);
    const writer = openRaw(file);
    expect(problem(file).message).toMatch(/lock1 is in use by another VM of this process$/);
    expect(problem(file, { readOnly: true }).message).toMatch(/lock1 is written by/);
    closeRaw(writer);
    closeRaw(openRaw(file));
  });

  test('any number of readers share, and keep a writer out', () => {
    const file = files.file('lock2', 512);
    const readers = [openRaw(file, { readOnly: true }), openRaw(file, { readOnly: true })];
    expect(problem(file).message).toContain('is in use by');
    for (const reader of readers) closeRaw(reader);
    closeRaw(openRaw(file));
  });

  test('a link to a disk is the disk', () => {
    const file = files.file('lock3', 512);
    symlinkSync(file, files.file('lock3-link'));
    const writer = openRaw(file);
    expect(problem(files.file('lock3-link')).message).toContain('is in use by');
    closeRaw(writer);
  });

  test('another process is named, and its end frees the disk', async () => {
    const file = files.file('lock4', 512);
    const script = `const fs = require('node:fs');
      const addon = require(process.argv[1] + '/build/Release/vexit.node');
      console.log(addon.fileLock(fs.openSync(process.argv[2], 'r+'), true));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['-e', script, packageRoot(), file]);
    try {
      const line = await new Promise((resolve) => child.stdout.once('data', resolve));
      expect(String(line).trim()).toBe('true');
      expect(problem(file).message).toMatch(new RegExp(`in use by .+ \\(process ${child.pid}\\)`));
    } finally {
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
    }
    closeRaw(openRaw(file));
  });
});

describe('a disk with an overlay', () => {
  test('is made, opened again, and leaves its base to others', () => {
    const path = files.file('base1', pattern(8192, 1));
    const overlay = files.file('overlay1');
    const first = openDisk({ path, overlay });
    const second = openDisk({ path, overlay: files.file('overlay1b') });
    expect(first.capacity).toBe(8192);
    expect(first.concurrent).toBe(false);
    expect(thrownBy(() => openDisk({ path, overlay }))).toMatchObject({
      message: expect.stringContaining('overlay1 is in use') as string,
    });
    expect(problem(path).message).toContain('base1 is in use');
    closeDisk(first);
    closeDisk(second);
    closeDisk(openDisk({ path, overlay, readOnly: true }));
  });

  test('a failure leaves nothing open', () => {
    const path = files.file('base2', 8192);
    const overlay = files.file('not-an-overlay', 8192);
    expect(thrownBy(() => openDisk({ path, overlay }))).toMatchObject({ code: 'ERR_DISK' });
    closeRaw(openRaw(path));
    closeRaw(openRaw(overlay));
  });

  test('a read-only overlay is not made', () => {
    const path = files.file('base3', 8192);
    const missing = { path, overlay: files.file('missing-overlay'), readOnly: true };
    expect(thrownBy(() => openDisk(missing))).toMatchObject({
      message: expect.stringContaining('missing-overlay does not exist') as string,
    });
  });

  test('a block size that is smaller than the disk has is refused, a larger one is not', () => {
    const path = files.file('base4', 8192);
    const disk = openDisk({ path, blockSize: 4096 });
    expect(disk.blockSize).toBe(4096);
    closeDisk(disk);
  });
});
