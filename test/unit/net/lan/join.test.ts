/** Becoming a member of a LAN: names, addresses, what others left behind. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ProcessLock } from '../../../../src/io/process-lock.js';
import { clearLan } from '../../../../src/net/lan/clear-lan.js';
import { joinLan, type Membership } from '../../../../src/net/lan/join.js';
import { FIRST_HOST, lanAddresses, lanRange } from '../../../../src/net/lan/lan-options.js';
import { Leases } from '../../../../src/net/lan/leases.js';
import { VexitError } from '../../../../src/util/errors.js';
import { parseInterface } from '../../../../src/net/interface-option.js';

const MAC = '52:54:00:00:00:01';
let runtime: string;
const before = process.env.XDG_RUNTIME_DIR;
const joined: Membership[] = [];

async function join(lan: string, name?: string, mac?: string, mtu = 1500): Promise<Membership> {
  const membership = await joinLan({ kind: 'lan', lan, mtu }, name, mac);
  joined.push(membership);
  return membership;
}

beforeEach(() => {
  runtime = mkdtempSync(path.join(os.tmpdir(), 'vxlan-'));
  process.env.XDG_RUNTIME_DIR = runtime;
});
afterEach(() => {
  for (const { leave } of joined.splice(0)) leave();
  rmSync(runtime, { recursive: true, force: true });
  if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
  else process.env.XDG_RUNTIME_DIR = before;
});

describe('a member', () => {
  test('has a number and an address of its own, the same each time', async () => {
    const [web, db] = [await join('demo', 'web'), await join('demo', 'db')];
    expect(web.place.host).not.toBe(db.place.host);
    expect(web.place.mac).not.toBe(db.place.mac);
    expect(web.place.mac).toMatch(/^52:54:00:/);
    const leases = new Leases(web.place.directory);
    expect(leases.list().map(({ name }) => name)).toEqual(expect.arrayContaining(['web', 'db']));
    web.leave();
    joined.splice(0, 1);
    expect(leases.list().map(({ name }) => name)).toEqual(['db']);
    const again = await join('demo', 'web');
    expect(again.place).toMatchObject({ host: web.place.host, mac: web.place.mac });
  });

  test('leaves nothing of its own, and the last one nothing at all', async () => {
    const [web, db] = [await join('demo', 'web'), await join('demo', 'db')];
    const { directory, host } = web.place;
    expect(readdirSync(directory)).toHaveLength(5);
    db.leave();
    joined.pop();
    expect(readdirSync(directory).sort()).toEqual([`${host}.lease`, `${host}.sock`, 'lock']);
    web.leave();
    joined.pop();
    expect(readdirSync(path.dirname(directory))).toEqual([]);
  });

  test('that leaves while another looks whether it can remove the LAN', async () => {
    const { place, leave } = await join('demo', 'web');
    const lock = ProcessLock.tryAcquire(path.join(place.directory, 'lock'));
    leave();
    joined.pop();
    expect(readdirSync(place.directory)).toEqual(['lock']);
    lock!.release();
    clearLan('demo');
    expect(existsSync(place.directory)).toBe(false);
  });

  test('is not kept from a place by what dead processes left', async () => {
    await join('demo', 'db');
    const { place, leave } = await join('demo', 'web');
    leave();
    joined.pop();
    const lease = path.join(place.directory, `${place.host}.lease`);
    writeFileSync(lease, JSON.stringify({ name: 'web', mac: place.mac, mtu: 1500 }));
    for (const file of [`${place.host}.sock`, '77.sock', 'new', '9.lease']) {
      writeFileSync(path.join(place.directory, file), 'left over');
    }
    expect(new Leases(place.directory).list()).toHaveLength(1);
    const again = await join('demo', 'web');
    expect(again.place.host).toBe(place.host);
    expect(readdirSync(place.directory)).toHaveLength(5);
  });

  test('many of them: each has another number', async () => {
    const hosts = new Set<number>();
    for (let i = 0; i < 100; i++) hosts.add((await join('crowd', `vm${i}`)).place.host);
    expect(hosts.size).toBe(100);
  });
});

describe('is refused, in one line, and nothing is left', () => {
  test.each([
    ['a name that another has', () => join('demo', 'WEB'), /has a VM with the name web already/],
    [
      'an address of a card that another has',
      () => join('demo', 'x', MAC),
      /is that of the VM web/,
    ],
    ['another MTU', () => join('demo', 'x', undefined, 9000), /MTU of 1500, not 9000/],
    ['no name', () => join('demo'), /needs a name/],
    ['a group for a card', () => join('demo', 'x', '53:54:00:00:00:01'), /not a unicast MAC/],
    ['no address for a card', () => join('demo', 'x', 'card'), /not a unicast MAC/],
    ['a LAN that leads elsewhere', () => join('../x', 'x'), /not a name for a LAN/],
    ['a LAN without a name', () => join('', 'x'), /not a name for a LAN/],
    ['an MTU that IPv6 cannot use', () => join('demo', 'x', undefined, 100), /MTU of 100/],
  ])('%s', async (_, attempt, message) => {
    const { place } = await join('demo', 'web', MAC);
    const files = readdirSync(place.directory);
    await expect(attempt()).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(message) as string,
    });
    expect(readdirSync(place.directory)).toEqual(files);
  });

  test('a card of the name server, on a LAN where nobody is', async () => {
    const mac = lanAddresses('demo', FIRST_HOST).mac.toString();
    await expect(join('demo', 'web', mac)).rejects.toThrow(/is that of its name server/);
    expect(readdirSync(path.join(runtime, 'vexit/lan'))).toEqual([]);
  });

  test('a path that is too long for a socket', async () => {
    process.env.XDG_RUNTIME_DIR = path.join(runtime, 'x'.repeat(80));
    mkdirSync(process.env.XDG_RUNTIME_DIR);
    await expect(join('demo', 'web')).rejects.toThrow(/paths of \d+ bytes, above 107/);
    expect(existsSync(path.join(process.env.XDG_RUNTIME_DIR, 'vexit'))).toBe(false);
  });

  test('a directory that others can enter, or that is a link', async () => {
    mkdirSync(path.join(runtime, 'vexit'));
    chmodSync(path.join(runtime, 'vexit'), 0o755);
    await expect(join('demo', 'web')).rejects.toThrow(/not a directory that only you can enter/);
    rmSync(path.join(runtime, 'vexit'), { recursive: true });
    symlinkSync(os.tmpdir(), path.join(runtime, 'vexit'));
    await expect(join('demo', 'web')).rejects.toThrow(/not a directory that only you can enter/);
  });
});

test('nothing is removed where a LAN is said to be and others may have put something', async () => {
  const elsewhere = path.join(runtime, 'elsewhere');
  mkdirSync(elsewhere, { mode: 0o700 });
  for (const name of ['lock', 'precious']) writeFileSync(path.join(elsewhere, name), '');
  await join('other', 'web');
  const demo = path.join(runtime, 'vexit/lan/demo');
  symlinkSync(elsewhere, demo);
  clearLan('demo');
  expect(readdirSync(elsewhere)).toEqual(['lock', 'precious']);
  rmSync(demo);
  mkdirSync(demo);
  chmodSync(demo, 0o777);
  clearLan('demo');
  expect(existsSync(demo)).toBe(true);
});

test('no LAN has the addresses of the user network', () => {
  for (let i = 0; i < 5000; i++) {
    const range = lanRange(`lan${i}`);
    expect(range.toString()).toMatch(/^10\.([1-9]|\d\d|1\d\d|2\d\d)\.\d+\.0\/24$/);
  }
});

describe('--net', () => {
  test('lan=NAME with settings', () => {
    expect(parseInterface('lan=demo')).toEqual({ kind: 'lan', lan: 'demo' });
    expect(parseInterface(`lan=demo,mtu=9000,mac=${MAC}`)).toEqual({
      ...{ kind: 'lan', lan: 'demo', mtu: 9000, mac: MAC },
    });
    expect(parseInterface('user,mtu=9000')).toEqual({ kind: 'user', mtu: 9000 });
  });

  test.each([
    'lan',
    'lan=',
    'lan=a b',
    'lan=demo,mac=x',
    'lan=demo,mtu=big',
    'lan=demo,mtu=1',
    'lan=demo,host=on',
    'lan=demo,lan=other',
    'lan=demo,',
  ])('%s is refused', (text) => {
    expect(() => parseInterface(text)).toThrow(VexitError);
  });
});
