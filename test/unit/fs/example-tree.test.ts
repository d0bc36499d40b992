/** The file system that docs/devices/fs.md shows: it is this one, and it works. */
import { constants, readFileSync } from 'node:fs';
import path from 'node:path';
import { AttrValid, Opcode } from '../../../src/fs/fuse/protocol.js';
import { FileType, FuseServer } from '../../../src/fs/index.js';
import { TreeFileSystem } from './example-tree.js';
import { FuseClient, ROOT, decodeAttr, decodeDirents, decodeEntry, encode } from './fuse-client.js';

test('the documentation shows the file that is tested', () => {
  const page = readFileSync(path.join(__dirname, '../../../docs/devices/fs.md'), 'utf8');
  const code = /```ts\n(.*?)```/s.exec(page)?.[1];
  expect(code).toBe(readFileSync(path.join(__dirname, 'example-tree.ts'), 'utf8'));
});

describe('an object tree', () => {
  let client: FuseClient;
  let server: FuseServer;
  let made = 0;
  beforeEach(() => {
    made = 0;
    const tree = {
      hello: 'Hello, guest',
      etc: { motd: 'welcome' },
      slow: () => Promise.resolve(`made ${++made} times`),
      broken: () => Promise.reject(new Error('the network is down')),
    };
    server = new FuseServer(new TreeFileSystem(tree));
    client = new FuseClient(server);
    client.init();
  });
  afterEach(() => client.close());

  const lookup = async (parent: number, name: string) =>
    decodeEntry(await client.later(Opcode.Lookup, { nodeId: parent }, encode(name)));
  const read = async (nodeId: number): Promise<string> => {
    const handle = client.open(nodeId, constants.O_RDONLY);
    const body = encode(BigInt(handle), 0n, 1000, 0, 0n, 0, 0);
    const text = await client.later(Opcode.Read, {}, body);
    client.release(handle);
    return text.toString();
  };

  test('is read', async () => {
    const hello = await lookup(ROOT, 'hello');
    expect(hello).toMatchObject({ mode: FileType.Regular | 0o644, size: 12, nlink: 1 });
    expect(await read(hello.nodeId)).toBe('Hello, guest');
    const etc = await lookup(ROOT, 'etc');
    expect(await read((await lookup(etc.nodeId, 'motd')).nodeId)).toBe('welcome');
    expect((await lookup(ROOT, 'hello')).nodeId).toBe(hello.nodeId);
    await expect(lookup(hello.nodeId, 'x')).rejects.toThrow('ENOTDIR');
    await expect(lookup(ROOT, 'none')).rejects.toThrow('ENOENT');
    await expect(lookup(ROOT, 'broken')).rejects.toThrow('EIO');
    const slow = await lookup(ROOT, 'slow');
    expect(await read(slow.nodeId)).toBe('made 1 times');
    expect(made).toBe(1);
  });

  test('lists its names, with the dots', () => {
    const handle = client.opendir(ROOT);
    const names = client.readdir(handle, 0n).map(({ name }) => name);
    expect(names).toEqual(['.', '..', 'hello', 'etc', 'slow', 'broken']);
    expect(client.readdir(handle, 4n).map(({ name }) => name)).toEqual(['slow', 'broken']);
    expect(client.readdir(handle, 2n ** 64n - 1n)).toEqual([]);
    expect(
      decodeDirents(client.call(Opcode.ReadDir, {}, BigInt(handle), 2n, 40, 0, 0n, 0, 0), false),
    ).toHaveLength(1);
  });

  test('is written', async () => {
    const body = encode(constants.O_RDWR, 0o644, 0, 0, 'new');
    const answer = await client.later(Opcode.Create, { nodeId: ROOT }, body);
    const { nodeId } = decodeEntry(answer);
    const handle = answer.readBigUInt64LE(128);
    const data = Buffer.from('some text');
    await client.later(Opcode.Write, {}, encode(handle, 0n, 9, 0, 0n, 0, 0, data));
    const size = [BigInt(AttrValid.Size), 0n, 4n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];
    const attr = decodeAttr(await client.later(Opcode.SetAttr, { nodeId }, encode(...size)), 16);
    expect(attr.size).toBe(4);
    expect(await read(nodeId)).toBe('some');
    client.unlink(ROOT, 'new');
    await expect(lookup(ROOT, 'new')).rejects.toThrow('ENOENT');
  });

  test('does without what it does not have', () => {
    const init = client.init();
    // Neither locks nor READDIRPLUS are offered.
    expect(init.readUInt32LE(12) & 0x2402).toBe(0);
    for (const opcode of [Opcode.Symlink, Opcode.Rename2, Opcode.FSync, Opcode.GetXattr]) {
      expect(client.try(opcode, { nodeId: ROOT }, new Uint8Array(64))?.error).toBe(38);
    }
    const handle = client.opendir(ROOT);
    const plus = encode(BigInt(handle), 0n, 4096, 0, 0n, 0, 0);
    expect(client.try(Opcode.ReadDirPlus, {}, plus)?.error).toBe(38);
    client.call(Opcode.StatFs, { nodeId: ROOT });
  });

  test('answers that come after a reset are nobody’s', async () => {
    const waiting = client.later(Opcode.Lookup, { nodeId: ROOT }, encode('hello'));
    expect(server.waiting).toBe(1);
    server.reset();
    expect(await waiting).toHaveLength(0);
    expect(server.held).toEqual({ nodes: 1, files: 0 });
  });

  test('files and nodes that come after a reset are given back', async () => {
    class Counting extends TreeFileSystem {
      opened = 0;
      forgotten = 0;
      async open(): Promise<string> {
        this.opened++;
        return Promise.resolve('handle');
      }
      async openDirectory(): Promise<string> {
        return this.open();
      }
      override async create(...args: Parameters<TreeFileSystem['create']>): Promise<never> {
        const made = await super.create(...args);
        this.opened++;
        return { ...made, handle: 'handle' } as never;
      }
      release(): void {
        this.opened--;
      }
      forget(): void {
        this.forgotten++;
      }
    }
    const tree = new Counting({ a: 'a' });
    const counting = new FuseServer(tree);
    client.server = counting;
    client.init();
    const file = Number(
      (await client.later(Opcode.Lookup, { nodeId: ROOT }, encode('a'))).readBigUInt64LE(0),
    );
    const waiting = [
      client.later(Opcode.Open, { nodeId: file }, encode(0, 0), 1),
      client.later(Opcode.OpenDir, { nodeId: ROOT }, encode(0, 0), 2),
      client.later(Opcode.Create, { nodeId: ROOT }, encode(1, 0o644, 0, 0, 'new'), 3),
      client.later(Opcode.Lookup, { nodeId: ROOT }, encode('a'), 4),
    ];
    counting.reset();
    for (const answer of await Promise.all(waiting)) expect(answer).toHaveLength(0);
    expect(tree.opened).toBe(0);
    expect(tree.forgotten).toBe(2);
    expect(counting.held).toEqual({ nodes: 1, files: 0 });
  });
});
