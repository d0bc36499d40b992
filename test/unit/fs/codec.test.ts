/** Messages as linux/fuse.h has them. */
import { existsSync, readFileSync } from 'node:fs';
import { Opcode } from '../../../src/fs/fuse/protocol.js';
import { InitFlag } from '../../../src/fs/fuse/protocol.js';
import { FileType, FuseServer, type Attributes, type FileSystem } from '../../../src/fs/index.js';
import { FuseClient, LINUX_FLAGS, ROOT, outcome, ReplyError } from './fuse-client.js';

const HEADER = '/usr/include/linux/fuse.h';
const describeWithHeader = existsSync(HEADER) ? describe : describe.skip;

describeWithHeader('the numbers of linux/fuse.h', () => {
  const text = existsSync(HEADER) ? readFileSync(HEADER, 'utf8') : '';
  const key = (name: string): string => name.toLowerCase().replaceAll('_', '');

  test('opcodes', () => {
    const found = Array.from(text.matchAll(/^\tFUSE_(\w+)\s*=\s*(\d+),/gm), ([, name, value]) => [
      key(name!),
      Number(value),
    ]);
    const numbers = new Map(found as [string, number][]);
    for (const [name, value] of Object.entries(Opcode)) {
      if (typeof value === 'number') expect([name, numbers.get(key(name))]).toEqual([name, value]);
    }
  });

  test('flags of INIT', () => {
    const found = Array.from(text.matchAll(/^#define FUSE_(\w+)\s+\(1 << (\d+)\)/gm));
    const bits = new Map(found.map(([, name, bit]) => [key(name!), Number(bit)]));
    for (const [name, value] of Object.entries(InitFlag)) {
      if (typeof value !== 'number') continue;
      expect([name, bits.get(key(name))]).toEqual([name, Math.log2(value)]);
    }
  });
});

const ATTRIBUTES: Required<Attributes> = {
  mode: FileType.Regular | 0o640,
  size: 0x1_2345_6789,
  ino: 0xfedc_ba98_7654_3210n,
  links: 3,
  uid: 1000,
  gid: 1001,
  atime: -2,
  atimeNs: 1,
  mtime: 0x1_0000_0000,
  mtimeNs: 2,
  ctime: 7,
  ctimeNs: 3,
  blocks: 9,
  blockSize: 512,
  device: 0x105,
};

const node = {};
const fixed: FileSystem = {
  root: node,
  attributes: () => ATTRIBUTES,
  lookup: () => ({ node, attributes: ATTRIBUTES }),
  list: () => [
    { name: 'ab', type: FileType.Link, ino: 5 },
    { name: 'ß', ino: 0x1_0000_0006n },
  ],
};

describe('answers', () => {
  let client: FuseClient;
  beforeEach(() => {
    client = new FuseClient(new FuseServer(fixed));
    client.init();
  });
  afterEach(() => client.close());

  const ATTR =
    '1032547698badcfe' + // ino
    '8967452301000000' + // size
    '0900000000000000' + // blocks
    'feffffffffffffff' + // atime
    '0000000001000000' + // mtime
    '0700000000000000' + // ctime
    '010000000200000003000000' + // nanoseconds
    'a0810000' + // mode
    '03000000e8030000e903000005010000' + // nlink, uid, gid, rdev
    '0002000000000000'; // blksize, flags

  test('fuse_attr_out', () => {
    const body = client.call(Opcode.GetAttr, { nodeId: ROOT }, 0, 0, 0n);
    expect(body.toString('hex')).toBe(`0100000000000000${'00'.repeat(8)}${ATTR}`);
  });

  test('fuse_entry_out', () => {
    const body = client.call(Opcode.Lookup, { nodeId: ROOT }, 'name');
    const start =
      '0100000000000000' + '00'.repeat(8) + '0100000000000000'.repeat(2) + '00'.repeat(8);
    expect(body.toString('hex')).toBe(start + ATTR);
  });

  test('fuse_dirent', () => {
    const handle = client.opendir(ROOT);
    const body = client.call(Opcode.ReadDir, {}, BigInt(handle), 0n, 4096, 0, 0n, 0, 0);
    const dot = (next: number, name: string, length: number): string =>
      `ffffffff00000000${next.toString(16).padStart(2, '0')}${'00'.repeat(7)}` +
      `${length.toString(16).padStart(2, '0')}00000004000000${name}`;
    expect(body.toString('hex')).toBe(
      dot(1, '2e00000000000000', 1) +
        dot(2, '2e2e000000000000', 2) +
        '05000000000000000300000000000000020000000a0000006162000000000000' +
        '0600000001000000040000000000000002000000080000' +
        '00c39f000000000000',
    );
  });

  test('an error is a header with a negative errno', () => {
    let bytes: Buffer | undefined;
    const request = Buffer.from(
      '28000000' + '07000000' + '8877665544332211' + '0100000000000000' + '00'.repeat(16),
      'hex',
    );
    client.raw(request, (answer) => (bytes = answer));
    expect(bytes?.toString('hex')).toBe('10000000' + 'daffffff' + '8877665544332211');
  });

  test('names that are not UTF-8 do not exist in a file system of strings', () => {
    const body = Buffer.from([0xff, 0xfe, 0]);
    expect(client.try(Opcode.Lookup, { nodeId: ROOT }, body)?.error).toBe(84);
  });
});

describe('INIT', () => {
  const make = (options = {}): FuseClient => new FuseClient(new FuseServer(fixed, options));

  test('the answer of version 7.38', () => {
    const client = make();
    const body = client.init();
    expect(body).toHaveLength(64);
    expect([body.readUInt32LE(0), body.readUInt32LE(4)]).toEqual([7, 38]);
    // max_readahead, max_background, congestion_threshold, max_write, time_gran, max_pages
    expect(body.readUInt32LE(8)).toBe(0x20000);
    expect([body.readUInt16LE(16), body.readUInt16LE(18)]).toEqual([64, 48]);
    expect([body.readUInt32LE(20), body.readUInt32LE(24)]).toEqual([2 ** 20, 1]);
    expect(body.readUInt16LE(28)).toBe(256);
    client.close();
  });

  test('no flag comes back that has not been offered by the guest', () => {
    const client = make({ cache: 'always' });
    for (const flags of [0, 1, InitFlag.MaxPages, LINUX_FLAGS]) {
      expect(client.init(flags).readUInt32LE(12) & ~flags).toBe(0);
    }
    client.close();
  });

  test('versions', () => {
    const client = make();
    expect(outcome(() => client.init(0, 30))).toBe('EPROTO');
    expect(outcome(() => client.init(0, 38, 6))).toBe('EPROTO');
    expect(outcome(() => client.init(0, 0, 0xffff_ffff))).toBe('OK');
    // A major version from the future is told ours, and has to ask again.
    expect(() => client.call(Opcode.StatFs, { nodeId: ROOT })).toThrow(ReplyError);
    client.init(0, 31);
    client.call(Opcode.StatFs, { nodeId: ROOT });
    client.close();
  });
});
