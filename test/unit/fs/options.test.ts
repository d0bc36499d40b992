/** Read-only shares, caching, ids, who the caller is. */
import * as fs from 'node:fs';
import { AttrValid, InitFlag, Opcode } from '../../../src/fs/fuse/protocol.js';
import { HostDirectory } from '../../../src/fs/index.js';
import { IdMap } from '../../../src/fs/host/id-map.js';
import { VexitError } from '../../../src/util/errors.js';
import { thrownBy } from '../../support/thrown.js';
import { LINUX_FLAGS, ROOT, decodeEntry, outcome } from './fuse-client.js';
import { Share } from './share.js';

const { O_RDONLY, O_RDWR, O_WRONLY, O_TRUNC, O_CREAT, O_APPEND } = fs.constants;
const root = process.geteuid!() === 0;
const testAsRoot = root ? test : test.skip;

let share: Share | undefined;
function make(...given: ConstructorParameters<typeof Share>): Share {
  share = new Share(...given);
  return share;
}
afterEach(() => {
  share?.close();
  share = undefined;
});

test.each([
  ['the server', { readOnly: true }],
  ['the directory', { readOnly: true, server: false }],
])(
  'a read-only share is refused by %s',
  (_, { server, ...options }: { server?: boolean; readOnly: boolean }) => {
    const made = make(options);
    if (server === false)
      Object.assign((made.server as unknown as { session: object }).session, { readOnly: false });
    const { client } = made;
    fs.writeFileSync(made.at('file'), 'text');
    fs.mkdirSync(made.at('dir'));
    const { nodeId } = client.lookup(ROOT, 'file');
    const handle = client.open(nodeId, O_RDONLY);
    const { Mode, Size } = AttrValid;
    const copy = [BigInt(handle), 0n, BigInt(nodeId), BigInt(handle), 0n, 4n, 0n];
    const calls: (() => unknown)[] = [
      () => client.create(ROOT, 'new', O_RDWR | O_CREAT),
      () => client.mkdir(ROOT, 'new'),
      () => client.mknod(ROOT, 'new', 0o644),
      () => client.symlink(ROOT, 'new', 'x'),
      () => client.link(nodeId, ROOT, 'new'),
      () => client.unlink(ROOT, 'file'),
      () => client.rmdir(ROOT, 'dir'),
      () => client.rename(ROOT, 'file', ROOT, 'new'),
      () => client.setattr(nodeId, Mode, { mode: 0 }),
      () => client.setattr(nodeId, Size, { size: 0n }),
      () => client.setxattr(nodeId, 'user.x', Buffer.of(1)),
      () => client.removexattr(nodeId, 'user.x'),
      () => client.open(nodeId, O_RDWR),
      () => client.open(nodeId, O_WRONLY),
      () => client.open(nodeId, O_RDONLY | O_TRUNC),
      () => client.write(handle, 0, Buffer.of(1)),
      () => client.call(Opcode.FAllocate, {}, BigInt(handle), 0n, 1n, 0, 0),
      () => client.call(Opcode.CopyFileRange, {}, ...copy),
    ];
    for (const call of calls) expect(outcome(call)).toBe('EROFS');
    expect(client.read(handle, 0, 9).toString()).toBe('text');
    expect(fs.readdirSync(made.path).sort()).toEqual(['dir', 'file']);
  },
);

describe('caching', () => {
  test('none: everything is asked for, and data goes past the guest’s cache', () => {
    const { client } = make({ cache: 'none' });
    const body = client.call(Opcode.Create, { nodeId: ROOT }, O_RDWR, 0o644, 0, 0, 'file');
    expect(decodeEntry(body).entryValid).toBe(0);
    expect(body.readUInt32LE(136)).toBe(1);
  });

  test('auto: for a second, and data until the file changes', () => {
    const { client } = make();
    const body = client.call(Opcode.Create, { nodeId: ROOT }, O_RDWR, 0o644, 0, 0, 'file');
    expect(decodeEntry(body).entryValid).toBe(1);
    expect(body.readUInt32LE(136)).toBe(0);
    expect(client.init().readUInt32LE(12) & InitFlag.WritebackCache).toBe(0);
    expect(outcome(() => client.lookup(ROOT, 'none'))).toBe('ENOENT');
  });

  test('always: data is kept, names that are not there too, and writes come late', () => {
    const { client } = make({ cache: 'always' });
    const init = client.init();
    expect(init.readUInt32LE(12) & InitFlag.WritebackCache).not.toBe(0);
    const file = client.create(ROOT, 'file', O_WRONLY | O_APPEND);
    // The guest's cache reads what it writes back in part, and writes back at offsets.
    client.write(file.handle, 0, Buffer.from('abc'));
    client.write(file.handle, 1, Buffer.from('X'));
    expect(client.read(file.handle, 0, 9).toString()).toBe('aXc');
    expect(client.lookup(ROOT, 'none')).toMatchObject({ nodeId: 0, entryValid: 86400 });
    const open = client.call(Opcode.Open, { nodeId: file.nodeId }, O_RDONLY, 0);
    expect(open.readUInt32LE(8)).toBe(2);
    const without = client.init(LINUX_FLAGS & ~InitFlag.WritebackCache);
    expect(without.readUInt32LE(12) & InitFlag.WritebackCache).toBe(0);
  });
});

describe('ids', () => {
  test('IdMap', () => {
    const map = new IdMap([
      { guest: 0, host: 1000, count: 1 },
      { guest: 1000, host: 100_000, count: 10 },
    ]);
    expect([1000, 100_003, 0, 100_010].map((id) => map.toGuest(id))).toEqual([
      0, 1003, 65534, 65534,
    ]);
    expect([0, 1009, 1010, 1].map((id) => map.toHost(id))).toEqual([
      1000,
      100_009,
      undefined,
      undefined,
    ]);
  });

  testAsRoot('root shares with the same ids, and files belong to who makes them', () => {
    const made = make();
    const { client } = made;
    const from = { uid: 1234, gid: 2345 };
    expect(client.mkdir(ROOT, 'dir', 0o755, from)).toMatchObject(from);
    expect(client.create(ROOT, 'file', O_RDWR, 0o4755, from)).toMatchObject({
      ...from,
      mode: 0o104755,
    });
    expect(fs.statSync(made.at('file'))).toMatchObject(from);
    const { Uid, Gid } = AttrValid;
    const { nodeId } = client.lookup(ROOT, 'file');
    expect(client.setattr(nodeId, Uid | Gid, { uid: 7, gid: 8 })).toMatchObject({ uid: 7, gid: 8 });
  });

  testAsRoot('in a directory with the set-group-ID bit the group is the directory’s', () => {
    const made = make();
    fs.mkdirSync(made.at('dir'));
    fs.chownSync(made.at('dir'), 0, 77);
    fs.chmodSync(made.at('dir'), 0o2775);
    const { client } = made;
    const dir = client.lookup(ROOT, 'dir').nodeId;
    const from = { uid: 5, gid: 6 };
    expect(client.create(dir, 'file', O_RDWR, 0o644, from)).toMatchObject({ uid: 5, gid: 77 });
    expect(client.mkdir(dir, 'sub', 0o755, from)).toMatchObject({ gid: 77, mode: 0o042755 });
  });

  testAsRoot('with a map the guest’s ids are those of a range, and others nobody’s', () => {
    const uidMap = [{ guest: 0, host: 5000, count: 100 }];
    const made = make({ uidMap, gidMap: uidMap });
    const { client } = made;
    fs.writeFileSync(made.at('host'), '');
    expect(client.lookup(ROOT, 'host')).toMatchObject({ uid: 65534, gid: 65534 });
    const file = client.create(ROOT, 'file', O_RDWR, 0o644, { uid: 3, gid: 4 });
    expect(file).toMatchObject({ uid: 3, gid: 4 });
    expect(fs.statSync(made.at('file'))).toMatchObject({ uid: 5003, gid: 5004 });
    expect(outcome(() => client.setattr(file.nodeId, AttrValid.Uid, { uid: 100 }))).toBe('EPERM');
  });

  test('for an unprivileged user the guest’s root is that user', () => {
    const id = process.geteuid!();
    const map = [{ guest: 0, host: id, count: 1 }];
    const made = make({ uidMap: map, gidMap: map });
    const { client } = made;
    const file = client.create(ROOT, 'file', O_RDWR, 0o644, { uid: 0, gid: 0 });
    expect(file).toMatchObject({ uid: 0, gid: 0 });
    const { Uid, Gid } = AttrValid;
    client.setattr(file.nodeId, Uid | Gid, { uid: 0, gid: 0 });
    expect(outcome(() => client.setattr(file.nodeId, Uid, { uid: 1 }))).toBe('EPERM');
    // Another user of the guest can make files where it may; they belong to the same user.
    expect(client.create(ROOT, 'other', O_RDWR, 0o644, { uid: 1000, gid: 1000 }).uid).toBe(0);
  });
});

test.each([
  ['/nonexistent/directory', /there is no such directory/],
  ['/etc/passwd', /it is not a directory/],
])('sharing %s is refused in one line', (path, message) => {
  const error = thrownBy(() => new HostDirectory(path));
  expect(error).toBeInstanceOf(VexitError);
  expect((error as VexitError).message).toMatch(message);
  expect((error as VexitError).message).not.toContain('\n');
});

test('xattrs: none and all', () => {
  const { client } = make({ xattrs: 'none' });
  const { nodeId } = client.create(ROOT, 'file', O_RDWR);
  expect(outcome(() => client.setxattr(nodeId, 'user.x', Buffer.of(1)))).toBe('ENOTSUP');
  share!.close();
  const all = make({ xattrs: 'all' });
  const file = all.client.create(ROOT, 'file', O_RDWR);
  expect(outcome(() => all.client.setxattr(file.nodeId, 'trusted.x', Buffer.of(1)))).toBe(
    root ? 'OK' : 'EPERM',
  );
  expect(outcome(() => all.client.getxattr(file.nodeId, 'system.posix_acl_access'))).toBe(
    'ENOTSUP',
  );
});
