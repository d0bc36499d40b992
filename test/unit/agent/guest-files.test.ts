/** Files and directories through the C agent, which runs on the host behind a unix socket. */
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Pack } from 'tar';
import { GuestAgent } from '../../../src/agent/guest-agent';
import { systemCode } from '../../../src/util/errors';
import { NativeAgent } from '../../support/native-agent';

const native = new NativeAgent();
const { agent } = native;
const at = (name: string): string => path.join(native.directory, name);
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

beforeAll(() => native.start(), 60_000);
afterAll(() => native.stop());

async function code(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
  } catch (error) {
    return systemCode((error as Error).cause) ?? (error as Error).message;
  }
  throw new Error('did not fail');
}

describe('files', () => {
  test('of ten megabytes go in and out', async () => {
    const bytes = randomBytes(10 * 2 ** 20);
    const mtime = new Date(1_600_000_000_123);
    await agent.putFile(at('big'), Readable.from([bytes]), { mode: 0o2750, mtime });
    expect(hash(readFileSync(at('big')))).toBe(hash(bytes));
    expect(statSync(at('big')).mode & 0o7777).toBe(0o2750);
    expect(statSync(at('big')).mtime).toEqual(mtime);
    const { stat, content } = await agent.getFile(at('big'));
    expect(stat).toMatchObject({ type: 'file', mode: 0o2750, size: bytes.length, mtime });
    expect(hash(await buffer(content))).toBe(hash(bytes));
  });

  test('may be empty, and replace others', async () => {
    await agent.putFile(at('small'), 'old');
    await agent.putFile(at('small'), new Uint8Array());
    expect(readFileSync(at('small'), 'utf8')).toBe('');
    expect(await buffer((await agent.getFile(at('small'))).content)).toHaveLength(0);
    symlinkSync('small', at('link'));
    await agent.putFile(at('link'), 'through');
    expect(readlinkSync(at('link'))).toBe('small');
    expect(readFileSync(at('small'), 'utf8')).toBe('through');
  });

  test('are not made when their source fails, or the operation is given up', async () => {
    const before = readdirSync(native.directory);
    const source = Readable.from(
      (function* () {
        yield Buffer.from('half');
        throw new Error('no more');
      })(),
    );
    expect(await code(agent.putFile(at('half'), source))).toBe('no more');
    const stop = new AbortController();
    const endless = Readable.from(
      (async function* () {
        for (;;) {
          await new Promise((resolve) => setImmediate(resolve));
          yield Buffer.alloc(65536);
          stop.abort();
        }
      })(),
    );
    const put = agent.putFile(at('half'), endless, { signal: stop.signal });
    expect(await code(put)).toContain('aborted');
    // The agent takes what it made away when it hears of the end.
    await agent.run([
      'sh',
      '-c',
      'while [ -n "$(ls "$0" | grep half)" ]; do sleep 0.05; done',
      native.directory,
    ]);
    expect(readdirSync(native.directory)).toEqual(before);
  });

  test.each([
    ['/no/such/file', 'ENOENT'],
    ['/', 'EISDIR'],
    ['relative', 'EINVAL'],
  ])('that cannot be read: %s', async (file, expected) => {
    expect(await code(agent.getFile(file))).toBe(expected);
  });

  test('that cannot be written', async () => {
    expect(await code(agent.putFile('/no/such/directory/x', 'x'))).toBe('ENOENT');
    expect(await code(agent.putFile(native.directory, 'x'))).toBe('EISDIR');
    expect(await code(agent.putFile(at('x'), 'x', { user: 'nobody-here' }))).toBe('EINVAL');
    expect(await code(agent.stat('/no/such/file'))).toBe('ENOENT');
  });

  test('may be left unread', async () => {
    const { content } = await agent.getFile('/dev/zero');
    content.destroy();
    await agent.info();
  });
});

const LONG = 'd'.repeat(90);

function makeTree(root: string): void {
  mkdirSync(path.join(root, 'sub', LONG, LONG, 'ünder'), { recursive: true });
  mkdirSync(path.join(root, 'empty'), { mode: 0o700 });
  writeFileSync(path.join(root, 'script'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(path.join(root, 'secret'), randomBytes(70_000), { mode: 0o600 });
  writeFileSync(path.join(root, 'sub', LONG, LONG, 'ünder', 'f'.repeat(120)), 'deep');
  symlinkSync('../script', path.join(root, 'sub', 'to-script'));
  symlinkSync('x'.repeat(150), path.join(root, 'dangling'));
  chmodSync(path.join(root, 'sub'), 0o751);
  utimesSync(path.join(root, 'script'), 1_500_000_000, 1_500_000_000);
}

/** Everything below a directory that a copy keeps. */
function list(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[]).sort().map((name) => {
    const file = path.join(root, name);
    const info = lstatSync(file);
    const mode = (info.mode & 0o7777).toString(8);
    if (info.isSymbolicLink()) return `${name} -> ${readlinkSync(file)}`;
    if (info.isDirectory()) return `${name}/ ${mode}`;
    return `${name} ${mode} ${Math.floor(info.mtimeMs / 1000)} ${hash(readFileSync(file))}`;
  });
}

describe('directories', () => {
  test('go in and out with modes, times, links and long names', async () => {
    makeTree(at('tree'));
    await agent.copyIn(at('tree'), at('copy'));
    expect(list(at('copy'))).toEqual(list(at('tree')));
    await agent.copyOut(at('copy'), at('back'));
    expect(list(at('back'))).toEqual(list(at('tree')));
    expect(readdirSync(native.directory).filter((name) => name.startsWith('.vexit'))).toEqual([]);
  });

  test('go into directories that are there', async () => {
    mkdirSync(at('there/in'), { recursive: true });
    writeFileSync(at('one'), '1', { mode: 0o640 });
    await agent.copyIn(at('one'), at('there'));
    await agent.copyIn(at('tree'), at('there/in'));
    expect(statSync(at('there/one')).mode & 0o777).toBe(0o640);
    expect(list(at('there/in/tree'))).toEqual(list(at('tree')));
    mkdirSync(at('out'));
    await agent.copyOut(at('there/one'), at('out'));
    await agent.copyOut(at('there/in/tree'), at('out'));
    expect(readFileSync(at('out/one'), 'utf8')).toBe('1');
    expect(list(at('out/tree'))).toEqual(list(at('tree')));
  });

  test('are unpacked inside of their place only', async () => {
    const archive = new Pack({ cwd: native.directory, preservePaths: true });
    archive.add(at('tree').replace(native.directory, `${native.directory}/out/..`));
    archive.end();
    const unpacking = agent.unpackArchive(at('jail'), archive);
    expect(await code(unpacking)).toBe('EINVAL');
  });

  test('that are no archives', async () => {
    const noise = Readable.from([randomBytes(4096)]);
    expect(await code(agent.unpackArchive(at('noise'), noise))).toBe('EILSEQ');
    const short = Readable.from([Buffer.alloc(100)]);
    expect(await code(agent.unpackArchive(at('noise'), short))).toBe('EPIPE');
  });
});

/** A guest that answers a copy with an archive of its own. */
async function hostile(entries: Buffer): Promise<{ agent: GuestAgent; server: Server }> {
  const frame = (type: number, payload: Buffer): Buffer => {
    const header = Buffer.from([type, 0, 0, 0]);
    header.writeUInt16LE(payload.length, 2);
    return Buffer.concat([header, payload]);
  };
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (request: Buffer) => {
      const isStat = request.includes('stat');
      const said = Buffer.from('type\0directory\0mode\x003000\0');
      const answer = isStat
        ? [frame(0x17, said)]
        : [frame(0x11, entries), frame(0x11, Buffer.alloc(0)), frame(0x17, Buffer.alloc(0))];
      socket.end(Buffer.concat([frame(0x10, Buffer.from([1])), ...answer]));
    });
  });
  const socket = at('hostile.sock');
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const connector = async () => {
    const stream = connect(socket);
    await once(stream, 'connect');
    return stream;
  };
  return { agent: new GuestAgent(connector), server };
}

function entry(name: string, type: string, content: string, link = ''): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0007777\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(link, 157);
  header.write('ustar\x0000', 257);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  const blocks = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  blocks.write(content);
  return Buffer.concat([header, blocks]);
}

test('a hostile guest writes nowhere but into the copy, and no program with rights', async () => {
  mkdirSync(at('victim'));
  const { agent: other, server } = await hostile(
    Buffer.concat([
      entry('good', '0', 'good'),
      entry('../victim/up', '0', 'bad'),
      entry(at('victim/absolute'), '0', 'bad'),
      entry('way', '2', '', at('victim')),
      entry('way/through', '0', 'bad'),
      entry('hard', '1', '', at('one')),
      entry('pipe', '6', ''),
      entry('device', '3', ''),
      Buffer.alloc(1024),
    ]),
  );
  try {
    await other.copyOut('/x', at('hostile-copy')).catch(() => undefined);
  } finally {
    server.close();
  }
  expect(readdirSync(at('victim'))).toEqual([]);
  expect(existsSync(at('victim/through'))).toBe(false);
  if (existsSync(at('hostile-copy/good'))) {
    expect(statSync(at('hostile-copy/good')).mode & 0o7000).toBe(0);
  }
  for (const name of ['hard', 'pipe', 'device'])
    expect(existsSync(at(`hostile-copy/${name}`))).toBe(false);
});
