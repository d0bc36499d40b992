/** F14: what a hostile guest tries on a share. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { Worker } from 'node:worker_threads';
import { AttrValid, Opcode } from '../../../src/fs/fuse/protocol.js';
import { errno } from '../../../src/fs/errors.js';
import { FileType } from '../../../src/fs/index.js';
import { native } from '../../../src/kvm/native.js';
import { StatField } from '../../../src/kvm/native-fs.js';
import { ROOT, decodeEntry, encode, header, outcome, type FuseClient } from './fuse-client.js';
import { Share } from './share.js';

const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_TRUNC } = fs.constants;
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 2);
const SECRET = 'a secret of the host';

let share: Share;
let client: FuseClient;
beforeEach(() => {
  share = new Share();
  ({ client } = share);
  fs.writeFileSync(`${share.outside}/secret`, SECRET);
});
afterEach(() => {
  expect(fs.readFileSync(`${share.outside}/secret`, 'utf8')).toBe(SECRET);
  share.close();
});

describe('F14: names', () => {
  const bad = ['..', '.', '../secret', 'a/b', '/etc/passwd', 'dir/../../secret', '/'];
  const calls: [string, (name: string) => unknown][] = [
    ['lookup', (name) => client.lookup(ROOT, name)],
    ['mkdir', (name) => client.mkdir(ROOT, name)],
    ['mknod', (name) => client.mknod(ROOT, name, FileType.Regular | 0o644)],
    ['symlink', (name) => client.symlink(ROOT, name, 'x')],
    ['link', (name) => client.link(client.lookup(ROOT, 'file').nodeId, ROOT, name)],
    ['create', (name) => client.create(ROOT, name, O_RDWR)],
    ['unlink', (name) => client.unlink(ROOT, name)],
    ['rmdir', (name) => client.rmdir(ROOT, name)],
    ['rename from', (name) => client.rename(ROOT, name, ROOT, 'x')],
    ['rename to', (name) => client.rename(ROOT, 'file', ROOT, name)],
  ];
  test.each(calls)('%s takes a name that is one', (_, call) => {
    fs.mkdirSync(share.at('dir'));
    fs.writeFileSync(share.at('file'), '');
    const before = fs.readdirSync(share.path);
    for (const name of bad) expect([name, outcome(() => call(name))]).toEqual([name, 'EINVAL']);
    expect(outcome(() => call(''))).toBe('ENOENT');
    expect(outcome(() => call('x'.repeat(300)))).toBe('ENAMETOOLONG');
    expect(outcome(() => call('x'.repeat(65536)))).toBe('ENAMETOOLONG');
    expect(outcome(() => call('x'.repeat(300_000)))).toBe('ENAMETOOLONG');
    expect(fs.readdirSync(share.path)).toEqual(before);
  });

  test('a path is no name for what looks at names without opening them', () => {
    fs.mkdirSync(share.at('dir'));
    fs.symlinkSync(`${share.outside}/secret`, share.at('dir', 'link'));
    const root = fs.openSync(share.path, O_RDONLY);
    const fields = new Float64Array(StatField.Count);
    const stat = (name: string): number =>
      native().fsStatName(root, name, new DataView(fields.buffer));
    try {
      for (const path of ['..', '.', '/', '../secret', 'dir/link', '/etc/passwd', 'dir/']) {
        expect([path, stat(path)]).toEqual([path, -errno.EXDEV]);
      }
      fs.renameSync(share.at('dir', 'link'), share.at('link'));
      expect(stat('link')).toBe(0);
      expect(fields[StatField.Mode]! & FileType.Mask).toBe(FileType.Link);
    } finally {
      fs.closeSync(root);
    }
  });

  test('a name without its NUL is none, and ends at the first', () => {
    const send = (body: Uint8Array): number | undefined =>
      client.try(Opcode.Lookup, { nodeId: ROOT }, body)?.error;
    fs.writeFileSync(share.at('file'), '');
    expect(send(Buffer.from('file'))).toBe(22);
    expect(send(Buffer.from('file\0../secret\0'))).toBe(0);
    expect(send(Buffer.alloc(0))).toBe(22);
    expect(client.try(Opcode.Rename2, { nodeId: ROOT }, encode(1n, 0, 0, 'file'))?.error).toBe(22);
  });
});

describe('F14: links', () => {
  test('a symbolic link is a link, whatever it leads to', () => {
    fs.symlinkSync('/etc', share.at('etc'));
    fs.symlinkSync('../secret', share.at('up'));
    fs.symlinkSync(`/proc/self/fd/0`, share.at('magic'));
    for (const name of ['etc', 'up', 'magic']) {
      const { nodeId, mode } = client.lookup(ROOT, name);
      expect(mode & FileType.Mask).toBe(FileType.Link);
      expect(outcome(() => client.lookup(nodeId, 'passwd'))).toBe('ENOTDIR');
      expect(outcome(() => client.open(nodeId, O_RDONLY))).toBe('ELOOP');
      expect(outcome(() => client.opendir(nodeId))).toBe('ENOTDIR');
      expect(outcome(() => client.create(ROOT, name, O_RDWR | O_CREAT | O_TRUNC))).toBe('ELOOP');
      expect(outcome(() => client.create(nodeId, 'new', O_RDWR | O_CREAT))).toBe('ENOTDIR');
      expect(outcome(() => client.mkdir(nodeId, 'new'))).toBe('ENOTDIR');
      const { Size, Mode } = AttrValid;
      expect(outcome(() => client.setattr(nodeId, Size, { size: 0n }))).toBe('ELOOP');
      expect(outcome(() => client.setattr(nodeId, Mode, { mode: 0 }))).toBe('ENOTSUP');
      expect(outcome(() => client.setxattr(nodeId, 'user.x', Buffer.of(1)))).toBe('EPERM');
      client.setattr(nodeId, AttrValid.Mtime, { mtime: 5n });
    }
    expect(fs.statSync(`${share.outside}/secret`).mtimeMs).toBeGreaterThan(5000);
    client.rename(ROOT, 'up', ROOT, 'moved');
    client.link(client.lookup(ROOT, 'moved').nodeId, ROOT, 'linked');
    client.unlink(ROOT, 'linked');
  });

  test('a hard link is made of what the guest knows only', () => {
    expect(outcome(() => client.link(777, ROOT, 'x'))).toBe('ESTALE');
    expect(outcome(() => client.link(0, ROOT, 'x'))).toBe('ESTALE');
  });
});

describe('F14: races', () => {
  const RACER = `
    const { workerData: { swap, one, two, stop } } = require('node:worker_threads');
    const { renameSync } = require('node:fs');
    while (Atomics.load(stop, 0) === 0) {
      try { renameSync(one, swap); renameSync(two, one); renameSync(swap, two); } catch {}
    }`;

  /** Calls `attempt` while another thread exchanges `name` for a link to a directory outside. */
  async function race(attempt: () => void): Promise<number> {
    fs.mkdirSync(`${share.outside}/victim`);
    fs.writeFileSync(`${share.outside}/victim/file`, SECRET);
    fs.mkdirSync(share.at('dir'));
    fs.writeFileSync(share.at('dir/file'), 'harmless');
    fs.symlinkSync(`${share.outside}/victim`, share.at('link'));
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const racer = new Worker(RACER, {
      eval: true,
      workerData: { swap: share.at('swap'), one: share.at('dir'), two: share.at('link'), stop },
    });
    await new Promise((resolve) => racer.once('online', resolve));
    let rounds = 0;
    for (const end = Date.now() + 250 * SECONDS; Date.now() < end; rounds++) attempt();
    Atomics.store(stop, 0, 1);
    await racer.terminate();
    expect(fs.readdirSync(`${share.outside}/victim`)).toEqual(['file']);
    expect(fs.readFileSync(`${share.outside}/victim/file`, 'utf8')).toBe(SECRET);
    return rounds;
  }

  test('a directory that turns into a link is not followed', async () => {
    let read = 0;
    const rounds = await race(() => {
      outcome(() => {
        const dir = client.lookup(ROOT, 'dir').nodeId;
        try {
          const { nodeId } = client.lookup(dir, 'file');
          const handle = client.open(nodeId, O_RDONLY);
          expect(client.read(handle, 0, 100).toString()).toBe('harmless');
          read++;
          client.release(handle);
        } finally {
          client.forget(dir);
        }
      });
    });
    expect(rounds).toBeGreaterThan(10);
    expect(read).toBeGreaterThan(0);
  });

  test('nothing is made, moved or removed behind a link', async () => {
    await race(() => {
      outcome(() => {
        const dir = client.lookup(ROOT, 'dir').nodeId;
        outcome(() => client.mkdir(dir, 'made'));
        outcome(() => client.rmdir(dir, 'made'));
        outcome(() => client.release(client.create(dir, 'new', O_RDWR | O_TRUNC).handle));
        outcome(() => client.rename(dir, 'new', ROOT, 'got'));
        outcome(() => client.rename(ROOT, 'got', dir, 'got'));
        outcome(() => client.unlink(dir, 'got'));
        client.forget(dir);
      });
    });
  });
});

describe('F14: special files', () => {
  test('CVE-2020-35517: no device nodes, no files without a kind', () => {
    for (const type of [FileType.Block, FileType.Character, FileType.Directory, FileType.Link]) {
      expect(outcome(() => client.mknod(ROOT, 'node', type | 0o666, 0x103))).toBe('EPERM');
    }
    expect(outcome(() => client.mknod(ROOT, 'node', 0o170000))).toBe('EPERM');
    expect(fs.readdirSync(share.path)).toEqual([]);
  });

  test('a FIFO and a socket are not opened, and nothing waits for them', () => {
    for (const type of [FileType.Fifo, FileType.Socket]) {
      const { nodeId } = client.mknod(ROOT, 'special', type | 0o666);
      for (const flags of [O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC]) {
        expect(outcome(() => client.open(nodeId, flags))).toBe('ENXIO');
        expect(outcome(() => client.create(ROOT, 'special', flags | O_CREAT))).toBe('ENXIO');
      }
      expect(outcome(() => client.opendir(nodeId))).toBe('ENOTDIR');
      expect(outcome(() => client.setattr(nodeId, AttrValid.Size, { size: 1n }))).toBe('ENXIO');
      client.unlink(ROOT, 'special');
    }
  });

  test('a device node of the host is not opened', () => {
    const made = spawnSync('mknod', [share.at('zero'), 'c', '1', '5']);
    if (made.status !== 0) return;
    const { nodeId, rdev, mode } = client.lookup(ROOT, 'zero');
    expect([mode & FileType.Mask, rdev]).toEqual([FileType.Character, 0x105]);
    expect(outcome(() => client.open(nodeId, O_RDONLY))).toBe('ENXIO');
    expect(outcome(() => client.create(ROOT, 'zero', O_RDWR | O_CREAT))).toBe('ENXIO');
  });
});

describe('F14: numbers', () => {
  test('offsets and sizes from end to end', () => {
    const { handle, nodeId } = client.create(ROOT, 'file', O_RDWR);
    const limit = ['EFBIG', 'EINVAL'];
    for (const offset of [2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 53n]) {
      expect(client.read(handle, offset, 4096)).toHaveLength(0);
      expect(limit).toContain(outcome(() => client.write(handle, offset, Buffer.of(1))));
      const { Size } = AttrValid;
      expect(limit).toContain(outcome(() => client.setattr(nodeId, Size, { size: offset })));
      const allocate = [BigInt(handle), offset, 1n, 0, 0];
      expect(limit).toContain(outcome(() => client.call(Opcode.FAllocate, {}, ...allocate)));
      const copy = [BigInt(handle), offset, 1n, BigInt(handle), 0n, 2n ** 64n - 1n, 0n];
      expect(limit).toContain(outcome(() => client.call(Opcode.CopyFileRange, {}, ...copy)));
      expect(outcome(() => client.call(Opcode.LSeek, {}, BigInt(handle), offset, 3, 0))).toBe(
        'ENXIO',
      );
    }
    expect(fs.statSync(share.at('file')).size).toBe(0);
  });

  test('directory offsets nobody has given', () => {
    for (let i = 0; i < 50; i++) fs.writeFileSync(share.at(`file${i}`), '');
    const handle = client.opendir(ROOT);
    for (const offset of [1n, 7n, 2n ** 31n, 2n ** 32n, 2n ** 62n, 2n ** 63n - 1n]) {
      expect(['OK', 'EINVAL']).toContain(outcome(() => client.readdir(handle, offset)));
    }
    expect(outcome(() => client.readdir(handle, 2n ** 63n))).toBe('EINVAL');
    expect(outcome(() => client.readdir(handle, 2n ** 64n - 1n))).toBe('EINVAL');
    expect(client.readdir(handle, 0n, 65536)).toHaveLength(52);
  });

  test('extended attributes of any size', () => {
    const { nodeId } = client.create(ROOT, 'file', O_RDWR);
    const set = (size: number, value: Uint8Array): unknown =>
      client.call(Opcode.SetXattr, { nodeId }, size, 0, 'user.x', value);
    expect(outcome(() => set(0xffff_ffff, Buffer.of(1)))).toBe('E2BIG');
    expect(outcome(() => set(65537, Buffer.alloc(65537)))).toBe('E2BIG');
    expect(outcome(() => set(2, Buffer.of(1)))).toBe('EINVAL');
    expect(outcome(() => set(200_000, Buffer.alloc(200_000)))).toBe('ENAMETOOLONG');
    set(1, Buffer.of(1));
    expect(client.getxattr(nodeId, 'user.x', 0xffff_ffff)).toEqual(Buffer.of(1));
    const long = `user.${'x'.repeat(300)}`;
    expect(outcome(() => client.getxattr(nodeId, long))).toBe('ENAMETOOLONG');
  });

  test('stale nodes and handles, and forgets that do not add up', () => {
    for (const nodeId of [0, 2, 99, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
      const body = encode(0, 0, 0n);
      expect(client.try(Opcode.GetAttr, { nodeId }, body)?.error).toBe(116);
      expect(client.try(Opcode.Forget, { nodeId }, encode(2n ** 64n - 1n))?.error).toBe(0);
    }
    const { nodeId } = client.create(ROOT, 'file', O_RDWR);
    client.forget(nodeId, 2n ** 64n - 1n);
    expect(outcome(() => client.getattr(nodeId))).toBe('ESTALE');
    client.call(Opcode.BatchForget, {}, 0xffff_ffff, 0, 1n, 1n);
    client.call(Opcode.Interrupt, {}, 2n ** 64n - 1n);
    client.lookup(ROOT, 'file');
  });

  test('ids that are none', () => {
    const { nodeId } = client.create(ROOT, 'file', O_RDWR);
    const { Uid, Gid } = AttrValid;
    expect(outcome(() => client.setattr(nodeId, Uid, { uid: 0xffff_ffff }))).toBe('EINVAL');
    expect(outcome(() => client.setattr(nodeId, Gid, { gid: 0xffff_ffff }))).toBe('EINVAL');
  });
});

describe('F14: messages', () => {
  const body = Buffer.from('file\0');
  const whole = (): Buffer =>
    Buffer.concat([header(Opcode.Lookup, body.length, { unique: 9n }), body]);
  const answer = (request: Uint8Array, room = 4096): Buffer => {
    let bytes: Buffer | undefined;
    client.raw(request, (got) => (bytes = got), room);
    return bytes!;
  };

  test('truncated anywhere', () => {
    fs.writeFileSync(share.at('file'), '');
    const request = whole();
    for (let length = 0; length < request.length; length++) {
      expect(answer(request.subarray(0, length)).readInt32LE(4)).toBe(-22);
    }
    expect(answer(request).readInt32LE(4)).toBe(0);
  });

  test.each([0, 1, 39, 40, 44, 46, 0x7fff_ffff, 0xffff_ffff])('a header length of %d', (length) => {
    const request = Buffer.concat([header(Opcode.Lookup, 0, { length }), body]);
    expect(answer(request).readInt32LE(4)).toBe(-22);
  });

  test('too little room for an answer', () => {
    fs.writeFileSync(share.at('file'), '');
    expect(answer(whole(), 0)).toHaveLength(0);
    expect(answer(whole(), 15)).toHaveLength(0);
    expect(answer(whole(), 16).readInt32LE(4)).toBe(-22);
    expect(answer(whole(), 143).readInt32LE(4)).toBe(-22);
    expect(answer(whole(), 144)).toHaveLength(144);
    expect(share.server.held.nodes).toBe(2);
    const make = Buffer.concat([header(Opcode.MkDir, 12), encode(0o755, 0, 'dir')]);
    expect(answer(make, 64).readInt32LE(4)).toBe(-22);
    expect(fs.existsSync(share.at('dir'))).toBe(false);
    const entry = decodeEntry(answer(make).subarray(16));
    expect(entry.mode & FileType.Mask).toBe(FileType.Directory);
  });

  test('a write that says more than it brings, or brings more than it says', () => {
    const { handle } = client.create(ROOT, 'file', O_RDWR);
    const send = (size: number, data: Uint8Array): number =>
      client.call(Opcode.Write, {}, BigInt(handle), 0n, size, 0, 0n, 0, 0, data).readUInt32LE(0);
    expect(outcome(() => send(5, Buffer.from('four')))).toBe('EINVAL');
    expect(outcome(() => send(0xffff_ffff, Buffer.from('four')))).toBe('EINVAL');
    expect(send(2, Buffer.from('four'))).toBe(2);
    expect(fs.readFileSync(share.at('file'), 'utf8')).toBe('fo');
  });
});

test('F14: suid bits go when somebody else writes', () => {
  const { nodeId, handle } = client.create(ROOT, 'file', O_RDWR, 0o755);
  const bits = (): number => fs.statSync(share.at('file')).mode & 0o7777;
  client.setattr(nodeId, AttrValid.Mode, { mode: 0o6755 });
  client.write(handle, 0, Buffer.from('x'), 4);
  expect(bits()).toBe(0o755);
  client.setattr(nodeId, AttrValid.Mode, { mode: 0o6745 });
  client.setattr(nodeId, AttrValid.Size | AttrValid.KillSuidGid, { size: 0n });
  expect(bits()).toBe(0o2745);
  client.setattr(nodeId, AttrValid.Mode, { mode: 0o6755 });
  client.open(nodeId, O_RDWR | O_TRUNC, 1);
  expect(bits()).toBe(0o755);
});

test('F14: a full disk and RLIMIT_FSIZE are errors of the write', () => {
  const script = `
    ulimit -f 1024
    exec "$0" -e '
      const { openSync, writeSync } = require("node:fs");
      const addon = require(process.argv[1]);
      const fd = openSync(process.argv[2], "w+");
      const words = new Uint8Array(16);
      const memory = addon.memoryCreate("limit", 8192);
      new DataView(words.buffer).setBigUint64(0, memory.address, true);
      new DataView(words.buffer).setBigUint64(8, 8192n, true);
      console.log(addon.fsPwritev(fd, words, 1, 1 << 20), addon.fsPwritev(fd, words, 1, 0));
    ' "$1" "$2"`;
  const addon = require.resolve('../../../build/Release/vexit.node');
  const args = ['-c', script, process.execPath, addon, share.at('file')];
  const { stdout } = spawnSync('bash', args, { encoding: 'utf8' });
  expect(stdout.trim()).toBe('-27 8192');
});
