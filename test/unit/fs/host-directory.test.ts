/** A directory of the host through the server: what each operation does, and each errno. */
import * as fs from 'node:fs';
import { FileType, RenameFlag } from '../../../src/fs/index.js';
import { AttrValid, Opcode } from '../../../src/fs/fuse/protocol.js';
import { ROOT, outcome, type FuseClient } from './fuse-client.js';
import { Share } from './share.js';

const { O_RDONLY, O_RDWR, O_WRONLY, O_TRUNC, O_CREAT, O_EXCL, O_APPEND } = fs.constants;
const LONG = 'x'.repeat(256);

let share: Share;
let client: FuseClient;
beforeEach(() => {
  share = new Share();
  ({ client } = share);
});
afterEach(() => share.close());

/** Makes a file with some text; its node. */
function file(name: string, text = 'text'): number {
  fs.writeFileSync(share.at(name), text);
  return client.lookup(ROOT, name).nodeId;
}

describe('names', () => {
  test('a name that has become another file is looked up as that', () => {
    const old = file('file', 'old');
    fs.writeFileSync(share.at('other'), 'other');
    fs.renameSync(share.at('other'), share.at('file'));
    const { nodeId, size } = client.lookup(ROOT, 'file');
    expect({ same: nodeId === old, size }).toEqual({ same: false, size: 5 });
    expect(client.getattr(old).nlink).toBe(0);
    fs.rmSync(share.at('file'));
    expect(outcome(() => client.lookup(ROOT, 'file'))).toBe('ENOENT');
  });

  test('a lookup gives what stat gives', () => {
    file('file', 'four');
    const entry = client.lookup(ROOT, 'file');
    const stat = fs.statSync(share.at('file'), { bigint: true });
    expect(entry).toMatchObject({
      ino: stat.ino,
      size: 4,
      mode: Number(stat.mode),
      nlink: 1,
      mtime: Number(stat.mtimeNs / 1_000_000_000n),
      mtimeNs: Number(stat.mtimeNs % 1_000_000_000n),
    });
    expect(client.lookup(ROOT, 'file').nodeId).toBe(entry.nodeId);
  });

  test('names need not be UTF-8', () => {
    const raw = Buffer.from([0x66, 0xff, 0xfe, 0x80]);
    fs.writeFileSync(Buffer.concat([Buffer.from(`${share.path}/`), raw]), 'x');
    const body = Buffer.concat([raw, Buffer.of(0)]);
    expect(client.try(Opcode.Lookup, { nodeId: ROOT }, body)?.error).toBe(0);
    const handle = client.opendir(ROOT);
    const bytes = client.call(Opcode.ReadDir, {}, BigInt(handle), 0n, 4096, 0, 0n, 0, 0);
    expect(bytes.includes(raw)).toBe(true);
  });

  test.each([
    ['missing', 'ENOENT'],
    ['', 'ENOENT'],
    [LONG, 'ENAMETOOLONG'],
  ])('looking up %j fails with %s', (name, error) => {
    expect(outcome(() => client.lookup(ROOT, name))).toBe(error);
  });

  test('a file is no directory', () => {
    const node = file('file');
    expect(outcome(() => client.lookup(node, 'x'))).toBe('ENOTDIR');
    expect(outcome(() => client.mkdir(node, 'x'))).toBe('ENOTDIR');
    expect(outcome(() => client.create(node, 'x', O_RDWR))).toBe('ENOTDIR');
    expect(outcome(() => client.opendir(node))).toBe('ENOTDIR');
  });

  test('mkdir, rmdir', () => {
    const old = process.umask(0o077);
    const entry = client.mkdir(ROOT, 'dir', 0o1775);
    process.umask(old);
    expect(entry.mode).toBe(FileType.Directory | 0o1775);
    expect(fs.statSync(share.at('dir')).mode & 0o7777).toBe(0o1775);
    expect(outcome(() => client.mkdir(ROOT, 'dir'))).toBe('EEXIST');
    client.mkdir(entry.nodeId, 'inner');
    expect(outcome(() => client.rmdir(ROOT, 'dir'))).toBe('ENOTEMPTY');
    expect(outcome(() => client.unlink(entry.nodeId, 'inner'))).toBe('EISDIR');
    client.rmdir(entry.nodeId, 'inner');
    client.rmdir(ROOT, 'dir');
    expect(outcome(() => client.rmdir(ROOT, 'dir'))).toBe('ENOENT');
    file('file');
    expect(outcome(() => client.rmdir(ROOT, 'file'))).toBe('ENOTDIR');
  });

  test('unlink: the node stays until it is forgotten', () => {
    const node = file('file');
    const handle = client.open(node, O_RDWR);
    client.unlink(ROOT, 'file');
    expect(fs.existsSync(share.at('file'))).toBe(false);
    expect(client.getattr(node)).toMatchObject({ nlink: 0, size: 4 });
    expect(client.read(handle, 0, 10).toString()).toBe('text');
    client.forget(node);
    expect(outcome(() => client.getattr(node))).toBe('ESTALE');
    expect(client.read(handle, 0, 10).toString()).toBe('text');
  });

  test('symlink, readlink: any target, never followed', () => {
    const entry = client.symlink(ROOT, 'link', '../../etc/passwd');
    expect(entry.mode & FileType.Mask).toBe(FileType.Link);
    expect(client.readlink(entry.nodeId)).toBe('../../etc/passwd');
    expect(fs.readlinkSync(share.at('link'))).toBe('../../etc/passwd');
    expect(outcome(() => client.symlink(ROOT, 'link', 'x'))).toBe('EEXIST');
    expect(outcome(() => client.symlink(ROOT, 'empty', ''))).toBe('ENOENT');
    expect(outcome(() => client.symlink(ROOT, 'long', 'x'.repeat(4096)))).toBe('ENAMETOOLONG');
    const longest = client.symlink(ROOT, 'long', 'x'.repeat(4095));
    expect(client.readlink(longest.nodeId)).toHaveLength(4095);
    expect(outcome(() => client.readlink(file('file')))).toBe('EINVAL');
  });

  test('link', () => {
    const node = file('file');
    expect(client.link(node, ROOT, 'second')).toMatchObject({ nodeId: node, nlink: 2 });
    expect(outcome(() => client.link(node, ROOT, 'second'))).toBe('EEXIST');
    const { nodeId: dir } = client.mkdir(ROOT, 'dir');
    expect(outcome(() => client.link(dir, ROOT, 'third'))).toBe('EPERM');
    const link = client.symlink(ROOT, 'symlink', 'nowhere');
    expect(client.link(link.nodeId, dir, 'symlink')).toMatchObject({ nodeId: link.nodeId });
    expect(fs.readlinkSync(share.at('dir', 'symlink'))).toBe('nowhere');
  });

  test('rename', () => {
    const node = file('a', 'a');
    file('b', 'b');
    const { nodeId: dir } = client.mkdir(ROOT, 'dir');
    client.rename(ROOT, 'a', ROOT, 'b');
    expect(client.lookup(ROOT, 'b').nodeId).toBe(node);
    client.rename(ROOT, 'b', dir, 'c');
    expect(fs.readFileSync(share.at('dir', 'c'), 'utf8')).toBe('a');
    expect(outcome(() => client.rename(ROOT, 'none', ROOT, 'x'))).toBe('ENOENT');
    expect(outcome(() => client.rename(ROOT, 'dir', dir, 'x'))).toBe('EINVAL');
    file('file');
    expect(outcome(() => client.rename(ROOT, 'dir', ROOT, 'file'))).toBe('ENOTDIR');
    expect(outcome(() => client.rename(ROOT, 'file', ROOT, 'dir'))).toBe('EISDIR');
    client.mkdir(ROOT, 'other');
    expect(outcome(() => client.rename(ROOT, 'other', ROOT, 'dir'))).toBe('ENOTEMPTY');
  });

  test('renameat2: NOREPLACE, EXCHANGE, and nothing else', () => {
    const a = file('a', 'a');
    const b = file('b', 'b');
    const { NoReplace, Exchange } = RenameFlag;
    expect(outcome(() => client.rename(ROOT, 'a', ROOT, 'b', NoReplace))).toBe('EEXIST');
    client.rename(ROOT, 'a', ROOT, 'b', Exchange);
    expect(client.lookup(ROOT, 'a').nodeId).toBe(b);
    expect(client.lookup(ROOT, 'b').nodeId).toBe(a);
    expect(outcome(() => client.rename(ROOT, 'a', ROOT, 'c', Exchange))).toBe('ENOENT');
    expect(outcome(() => client.rename(ROOT, 'a', ROOT, 'c', 4))).toBe('EINVAL');
    expect(outcome(() => client.rename(ROOT, 'a', ROOT, 'c', 3))).toBe('EINVAL');
  });

  test('mknod makes files, FIFOs and sockets', () => {
    for (const type of [FileType.Regular, FileType.Fifo, FileType.Socket]) {
      const entry = client.mknod(ROOT, `n${type}`, type | 0o640);
      expect(entry.mode).toBe(type | 0o640);
      expect(fs.lstatSync(share.at(`n${type}`)).mode).toBe(type | 0o640);
    }
  });
});

describe('attributes', () => {
  test('mode, size and times', () => {
    const node = file('file', 'long text');
    const { Mode, Size, Atime, Mtime, MtimeNow } = AttrValid;
    expect(client.setattr(node, Mode, { mode: 0o4755 }).mode & 0o7777).toBe(0o4755);
    expect(client.setattr(node, Size, { size: 4n }).size).toBe(4);
    expect(client.setattr(node, Size, { size: 1n << 40n }).size).toBe(2 ** 40);
    const times = { atime: 1n, mtime: -7n, atimeNs: 2, mtimeNs: 999_999_999 };
    const set = client.setattr(node, Atime | Mtime, times);
    expect(set).toMatchObject({ atime: 1, mtime: -7, mtimeNs: 999_999_999 });
    const now = client.setattr(node, MtimeNow | Mtime);
    expect(now.atime).toBe(1);
    expect(Math.abs(now.mtime - Date.now() / 1000)).toBeLessThan(60);
    expect(outcome(() => client.setattr(node, Mtime, { mtimeNs: 1e9 }))).toBe('EINVAL');
    // UTIME_OMIT and UTIME_NOW are no nanoseconds.
    expect(outcome(() => client.setattr(node, Mtime, { mtimeNs: 0x3fff_ffff }))).toBe('EINVAL');
    const { nodeId: dir } = client.mkdir(ROOT, 'dir');
    expect(outcome(() => client.setattr(dir, Size, { size: 0n }))).toBe('EISDIR');
  });

  test('by an open file', () => {
    const node = file('file');
    const handle = client.open(node, O_RDWR);
    const { Size, Handle } = AttrValid;
    client.setattr(node, Size | Handle, { size: 2n, handle: BigInt(handle) });
    expect(client.getattr(node, handle).size).toBe(2);
    expect(outcome(() => client.getattr(node, 77))).toBe('EBADF');
  });

  test('statfs', () => {
    const body = client.call(Opcode.StatFs, { nodeId: ROOT });
    const host = fs.statfsSync(share.path, { bigint: true });
    expect(body).toHaveLength(80);
    expect(body.readBigUInt64LE(0)).toBe(host.blocks);
    expect(body.readUInt32LE(40)).toBe(Number(host.bsize));
    expect(body.readUInt32LE(44)).toBe(255);
  });

  test('extended attributes of users', () => {
    const node = file('file');
    client.setxattr(node, 'user.one', Buffer.from('value'));
    client.setxattr(node, 'user.two', Buffer.alloc(0));
    expect(client.getxattr(node, 'user.one').toString()).toBe('value');
    expect(client.getxattr(node, 'user.one', 0).readUInt32LE(0)).toBe(5);
    expect(outcome(() => client.getxattr(node, 'user.one', 4))).toBe('ERANGE');
    expect(client.listxattr(node).toString().split('\0').sort()).toEqual([
      '',
      'user.one',
      'user.two',
    ]);
    expect(client.listxattr(node, 0).readUInt32LE(0)).toBe(18);
    expect(outcome(() => client.setxattr(node, 'user.one', Buffer.of(1), 1))).toBe('EEXIST');
    expect(outcome(() => client.setxattr(node, 'user.new', Buffer.of(1), 2))).toBe('ENODATA');
    client.removexattr(node, 'user.one');
    expect(outcome(() => client.getxattr(node, 'user.one'))).toBe('ENODATA');
    expect(outcome(() => client.removexattr(node, 'user.one'))).toBe('ENODATA');
  });

  test.each(['security.capability', 'trusted.x', 'system.posix_acl_access', 'nonsense'])(
    'the extended attribute %s is not for guests',
    (name) => {
      const node = file('file');
      expect(outcome(() => client.getxattr(node, name))).toBe('ENOTSUP');
      expect(outcome(() => client.setxattr(node, name, Buffer.of(1)))).toBe('ENOTSUP');
      expect(outcome(() => client.removexattr(node, name))).toBe('ENOTSUP');
    },
  );
});

describe('files', () => {
  test('create, write, read', () => {
    const old = process.umask(0o077);
    const made = client.create(ROOT, 'file', O_RDWR | O_CREAT | O_EXCL, 0o666);
    process.umask(old);
    expect(made.mode).toBe(FileType.Regular | 0o666);
    expect(client.write(made.handle, 0, Buffer.from('hello'))).toBe(5);
    expect(client.write(made.handle, 10, Buffer.from('world'))).toBe(5);
    expect(client.read(made.handle, 0, 100).toString('latin1')).toBe('hello\0\0\0\0\0world');
    expect(client.read(made.handle, 12, 2).toString()).toBe('rl');
    expect(client.read(made.handle, 15, 100)).toHaveLength(0);
    expect(outcome(() => client.create(ROOT, 'file', O_RDWR | O_EXCL))).toBe('EEXIST');
    const again = client.create(ROOT, 'file', O_RDWR | O_TRUNC);
    expect(again).toMatchObject({ nodeId: made.nodeId, size: 0 });
    client.release(made.handle);
    expect(outcome(() => client.read(made.handle, 0, 1))).toBe('EBADF');
  });

  test('the guest is told once that nothing has to be done when a process closes a file', () => {
    const { handle } = client.create(ROOT, 'file', O_RDWR | O_CREAT);
    expect(outcome(() => client.flush(handle))).toBe('ENOSYS');
    expect(outcome(() => client.flush(handle + 1))).toBe('EBADF');
  });

  test('a mebibyte at a time, and past the size of one', () => {
    const { handle } = client.create(ROOT, 'file', O_RDWR);
    const data = Buffer.alloc(2 ** 20, 'abcdefg');
    expect(client.write(handle, 3, data)).toBe(2 ** 20);
    expect(client.read(handle, 3, 2 ** 20).equals(data)).toBe(true);
    expect(client.read(handle, 3, 0xffff_ffff)).toHaveLength(2 ** 20);
    expect(fs.readFileSync(share.at('file')).subarray(3).equals(data)).toBe(true);
  });

  test('what the file was not opened for fails', () => {
    const node = file('file');
    const reader = client.open(node, O_RDONLY);
    const writer = client.open(node, O_WRONLY);
    expect(outcome(() => client.write(reader, 0, Buffer.of(1)))).toBe('EBADF');
    expect(outcome(() => client.read(writer, 0, 1))).toBe('EBADF');
    const appender = client.open(node, O_WRONLY | O_APPEND);
    client.write(appender, 0, Buffer.from('!'));
    expect(client.read(reader, 0, 10).toString()).toBe('text!');
    client.open(node, O_WRONLY | O_TRUNC);
    expect(client.read(reader, 0, 10)).toHaveLength(0);
  });

  test('fallocate, SEEK_DATA, SEEK_HOLE, copy_file_range', () => {
    const { handle } = client.create(ROOT, 'file', O_RDWR);
    const seek = (offset: bigint, whence: number): number =>
      Number(client.call(Opcode.LSeek, {}, BigInt(handle), offset, whence, 0).readBigUInt64LE(0));
    client.call(Opcode.FAllocate, {}, BigInt(handle), 0n, 0x10000n, 0, 0);
    expect(fs.statSync(share.at('file')).size).toBe(0x10000);
    client.write(handle, 0x100000, Buffer.from('data'));
    client.call(Opcode.FAllocate, {}, BigInt(handle), 0n, 0x10000n, 3, 0);
    expect(seek(0n, 3)).toBe(0x100000);
    expect(seek(0n, 4)).toBe(0);
    expect(outcome(() => seek(0x200000n, 3))).toBe('ENXIO');
    expect(outcome(() => seek(0n, 0))).toBe('EINVAL');
    const { handle: other, nodeId } = client.create(ROOT, 'other', O_RDWR);
    const fields = [BigInt(handle), 0x100000n, BigInt(nodeId), BigInt(other), 1n, 1n << 40n, 0n];
    expect(client.call(Opcode.CopyFileRange, {}, ...fields).readUInt32LE(0)).toBe(4);
    expect(client.read(other, 0, 9).toString('latin1')).toBe('\0data');
  });

  test('fsync, fdatasync, fsyncdir and syncfs are answered by another thread', async () => {
    const { handle } = client.create(ROOT, 'file', O_RDWR);
    const directory = client.opendir(ROOT);
    const body = (fh: number, data: number): Buffer => {
      const bytes = Buffer.alloc(16);
      bytes.writeUInt32LE(fh);
      bytes.writeUInt32LE(data, 8);
      return bytes;
    };
    const all = Array.from({ length: 20 }, (_, i) =>
      client.later(Opcode.FSync, {}, body(handle, i % 2), i),
    );
    all.push(client.later(Opcode.FSyncDir, {}, body(directory, 0), 20));
    all.push(client.later(Opcode.SyncFs, { nodeId: ROOT }, Buffer.alloc(8), 21));
    expect(share.server.waiting).toBe(22);
    client.release(handle);
    for (const answer of await Promise.all(all)) expect(answer).toHaveLength(0);
    expect(share.server.waiting).toBe(0);
  });

  test('requests of no use here', () => {
    const { nodeId } = client.create(ROOT, 'file', O_RDWR);
    expect(outcome(() => client.call(Opcode.IoCtl, {}, new Uint8Array(32)))).toBe('ENOTTY');
    for (const opcode of [
      Opcode.BMap,
      Opcode.Poll,
      Opcode.SetupMapping,
      Opcode.TmpFile,
      99,
      4096,
    ]) {
      expect(outcome(() => client.call(opcode, {}, new Uint8Array(64)))).toBe('ENOSYS');
    }
    client.call(Opcode.Access, { nodeId }, 4, 0);
  });
});

describe('directories', () => {
  test('all names, in small pieces and in large ones, with and without nodes', () => {
    const names = Array.from({ length: 300 }, (_, i) => `name-${i}-${'y'.repeat(i % 200)}`);
    for (const name of names) fs.writeFileSync(share.at(name), name);
    names.sort();
    for (const size of [512, 4096, 65536, 2 ** 20]) {
      for (const plus of [false, true]) {
        const entries = client.list(ROOT, size, plus);
        expect(entries.map(({ name }) => name).sort()).toEqual(names);
        for (const { name, type, ino, entry } of entries) {
          expect(type).toBe(FileType.Regular / 4096);
          if (!plus) continue;
          expect(entry).toMatchObject({ ino, size: name.length });
          expect(client.lookup(ROOT, name).nodeId).toBe(entry!.nodeId);
        }
      }
    }
    expect(share.server.held.nodes).toBe(301);
  });

  test('readers at other places of one directory, and of many, do not disturb each other', () => {
    const names = Array.from({ length: 150 }, (_, i) => `name-${i}`);
    for (const name of names) fs.writeFileSync(share.at(name), '');
    const readers = Array.from({ length: 7 }, () => client.opendir(ROOT));
    const seen = readers.map((): string[] => []);
    const places = readers.map(() => 0n);
    for (let left = true; left;) {
      left = false;
      readers.forEach((handle, i) => {
        const some = client.readdir(handle, places[i]!, 600 + 100 * i, i % 2 === 0);
        if (some.length === 0) return;
        left = true;
        seen[i]!.push(...some.map(({ name }) => name));
        places[i] = some.at(-1)!.offset;
      });
    }
    for (const all of seen) expect(all.sort()).toEqual([...names, '.', '..'].sort());
    // Once more from a place in the middle: the same names follow.
    const [first] = readers;
    const [, , third, ...rest] = client.readdir(first!, 0n);
    expect(client.readdir(first!, third!.offset).slice(0, 5)).toEqual(rest.slice(0, 5));
  });

  test('a reader that begins again, or goes on at the end, sees names that have come since', () => {
    fs.writeFileSync(share.at('old'), '');
    const handle = client.opendir(ROOT);
    const found = (offset: bigint): string[] =>
      client.readdir(handle, offset, 4096, true).map(({ name }) => name);
    expect(found(0n).sort()).toEqual(['.', '..', 'old']);
    fs.writeFileSync(share.at('new'), '');
    fs.rmSync(share.at('old'));
    expect(found(0n).sort()).toEqual(['.', '..', 'new']);
    client.releasedir(handle);
    // The number of the descriptor is used again, and what was read from it is not.
    const { nodeId } = client.mkdir(ROOT, 'dir');
    const again = client.opendir(nodeId);
    expect(
      client
        .readdir(again, 0n)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['.', '..']);
  });

  test('a name that goes while the directory is read has no node any more', () => {
    for (let i = 0; i < 60; i++) fs.writeFileSync(share.at(`name-${i}`), '');
    const handle = client.opendir(ROOT);
    const some = client.readdir(handle, 0n, 1024, true);
    for (let i = 0; i < 60; i++) fs.rmSync(share.at(`name-${i}`));
    const rest = client.readdir(handle, some.at(-1)!.offset, 4096, true);
    const gone = rest.filter(({ name }) => name.startsWith('name-'));
    for (const { entry } of gone) expect(entry?.nodeId ?? 0).toBe(0);
  });

  test('the dots are there, and the one of the root leads nowhere', () => {
    const { nodeId } = client.mkdir(ROOT, 'dir');
    const root = client.readdir(client.opendir(ROOT), 0n);
    const inner = client.readdir(client.opendir(nodeId), 0n, 4096, true);
    const ino = client.getattr(ROOT).ino;
    const dots = (entries: typeof root): bigint[] =>
      ['.', '..'].map((dot) => entries.find(({ name }) => name === dot)!.ino);
    expect(dots(root)).toEqual([ino, ino]);
    expect(dots(inner)).toEqual([client.getattr(nodeId).ino, ino]);
    expect(inner.map(({ entry }) => entry!.nodeId)).toEqual([0, 0]);
  });

  test('room for no name gives none', () => {
    expect(client.readdir(client.opendir(ROOT), 0n, 24)).toEqual([]);
    expect(client.readdir(client.opendir(ROOT), 0n, 0)).toEqual([]);
  });

  test('a file is no directory handle, and the other way round', () => {
    const { handle } = client.create(ROOT, 'file', O_RDWR);
    const directory = client.opendir(ROOT);
    expect(outcome(() => client.readdir(handle, 0n))).toBe('EBADF');
    expect(outcome(() => client.read(directory, 0, 10))).toBe('EBADF');
    expect(outcome(() => client.releasedir(handle))).toBe('EBADF');
  });
});

describe('nodes', () => {
  test('a node is forgotten when all its lookups are', () => {
    const node = file('file');
    client.lookup(ROOT, 'file');
    client.forget(node);
    expect(client.getattr(node).size).toBe(4);
    client.forget(node);
    expect(outcome(() => client.getattr(node))).toBe('ESTALE');
    expect(client.lookup(ROOT, 'file').nodeId).not.toBe(node);
  });

  test('BATCH_FORGET', () => {
    const nodes = Array.from({ length: 20 }, (_, i) => file(`file${i}`));
    client.call(Opcode.BatchForget, {}, 20, 0, ...nodes.flatMap((node) => [BigInt(node), 1n]));
    expect(share.server.held.nodes).toBe(1);
    expect(share.directory.descriptors.nodes).toBe(0);
  });

  test('the root cannot be forgotten', () => {
    client.forget(ROOT, 1000n);
    expect(client.getattr(ROOT).mode & FileType.Mask).toBe(FileType.Directory);
  });

  test('INIT again and DESTROY forget everything', () => {
    const { nodeId, handle } = client.create(ROOT, 'file', O_RDWR);
    client.init();
    expect(outcome(() => client.getattr(nodeId))).toBe('ESTALE');
    expect(outcome(() => client.read(handle, 0, 1))).toBe('EBADF');
    client.lookup(ROOT, 'file');
    client.call(Opcode.Destroy, {});
    expect(share.server.held).toEqual({ nodes: 1, files: 0 });
    expect(outcome(() => client.lookup(ROOT, 'file'))).toBe('EIO');
  });
});
