import { once } from 'node:events';
import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openDevices } from '../../../src/machine/open-devices.js';
import { claimSocketPath, makePrivateDirectory } from '../../../src/machine/vsock/socket-paths.js';
import {
  checkVsock,
  parseVsockOption,
  type VsockSettings,
} from '../../../src/machine/vsock/vsock-option.js';
import { thrownBy } from '../../support/thrown';

const refusal = { code: 'ERR_CONFIG', message: expect.stringMatching(/^[^\n]+$/) as string };

describe('--vsock', () => {
  test.each([
    ['path=/run/v', { path: '/run/v' }],
    ['cid=7,path=v.sock', { cid: 7, path: 'v.sock' }],
    ['path=a=b,cid=4294967294', { cid: 0xffff_fffe, path: 'a=b' }],
  ])('%s', (text, settings) => {
    expect(parseVsockOption(text)).toEqual(settings);
  });

  test.each([
    '',
    '/run/v',
    'cid=3',
    'path',
    'path=a,path=b',
    'cid=x,path=a',
    'cid=-1,path=a',
    'port=1',
  ])('%j is refused, and the hint has the form', (text) => {
    const error = thrownBy(() => parseVsockOption(text));
    expect(error).toMatchObject({
      ...refusal,
      hint: expect.stringContaining('path=SOCKET') as string,
    });
  });
});

describe('the option vsock', () => {
  const specs = async (vsock: boolean | VsockSettings | undefined) => {
    const opened = await openDevices(vsock === undefined ? {} : { vsock }, 2 ** 28);
    opened.close();
    return opened.specs;
  };

  test('has address 3 and a socket of its own unless told otherwise', async () => {
    expect(await specs(undefined)).toEqual([]);
    expect(await specs(false)).toEqual([]);
    const [spec] = await specs(true);
    expect(spec).toMatchObject({ kind: 'vsock', options: { cid: 3 } });
    const { path: made } = (spec as { options: { path: string } }).options;
    expect(existsSync(path.dirname(made))).toBe(false);
    const named = path.join(tmpdir(), 'vsock-option-test');
    expect(await specs({ cid: 9, path: named })).toEqual([
      { kind: 'vsock', options: { cid: 9, path: named } },
    ]);
  });

  test.each([0, 1, 2, 0xffff_ffff, 2 ** 32, 3.5, NaN, -3])('V-4: address %d is refused', (cid) => {
    expect(thrownBy(() => checkVsock({ cid }))).toMatchObject(refusal);
  });

  test('J8: a path that does not fit into an address with its port is refused', () => {
    const longest = `/${'x'.repeat(95)}`;
    expect(checkVsock({ path: longest })).toEqual({ cid: 3, path: longest });
    for (const bad of [`${longest}x`, '', 'a\0b']) {
      expect(thrownBy(() => checkVsock({ path: bad }))).toMatchObject(refusal);
    }
  });
});

describe('the place of a socket', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'vsock-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** A socket whose program has gone without removing it. */
  async function deadSocket(): Promise<string> {
    const [first, second] = ['first', 'second'].map((name) => path.join(directory, name));
    const server = createServer().listen(first);
    await once(server, 'listening');
    linkSync(first!, second!);
    await new Promise((resolve) => server.close(resolve));
    return second!;
  }

  test('J8: is taken over from a socket that nobody listens on', async () => {
    const file = await deadSocket();
    expect(statSync(file).isSocket()).toBe(true);
    claimSocketPath(file);
    expect(readdirSync(directory)).toEqual([]);
  });

  test('J8: is not taken from anybody alive, nor from what is no socket', async () => {
    const file = path.join(directory, 'used');
    const server = createServer().listen(file);
    await once(server, 'listening');
    expect(thrownBy(() => claimSocketPath(file))).toMatchObject(refusal);
    const link = path.join(directory, 'link');
    symlinkSync('/nonexistent', link);
    expect(thrownBy(() => claimSocketPath(link))).toMatchObject(refusal);
    expect(thrownBy(() => claimSocketPath(directory))).toMatchObject(refusal);
    expect(thrownBy(() => claimSocketPath(path.join(link, 'x')))).toMatchObject(refusal);
    expect(readdirSync(directory).sort()).toEqual(['link', 'used']);
    server.close();
  });

  test('is a directory for this user only where none is given', () => {
    const before = process.env.XDG_RUNTIME_DIR;
    process.env.XDG_RUNTIME_DIR = directory;
    try {
      const made = makePrivateDirectory();
      expect(path.dirname(made)).toBe(directory);
      expect(statSync(made).mode & 0o777).toBe(0o700);
      process.env.XDG_RUNTIME_DIR = path.join(directory, 'x'.repeat(90));
      const other = makePrivateDirectory();
      expect(path.dirname(other)).toBe(tmpdir());
      rmSync(other, { recursive: true });
    } finally {
      if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
      else process.env.XDG_RUNTIME_DIR = before;
    }
  });
});
