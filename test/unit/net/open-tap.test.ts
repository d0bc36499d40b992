/** Opening TAP devices: what is made, what is left alone, and what people are told. */
import { execFileSync } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { native } from '../../../src/kvm/native.js';
import { openDevices } from '../../../src/machine/open-devices.js';
import type { NetSettings } from '../../../src/machine/device-options.js';
import { openTap } from '../../../src/net/tap/open-tap.js';
import { tunOffloads } from '../../../src/net/tap/tap-network.js';
import { canUseTap } from '../../support/tap-guest.js';
import { thrownBy } from '../../support/thrown.js';

const usable = canUseTap();
const describeTap = usable ? describe : describe.skip;
if (!usable) console.warn('skipped: no TAP devices here');

const MEMORY = 2 ** 26;
let made = 0;

function newName(): string {
  return `vxo${process.pid % 100_000}x${made++}`;
}

function exists(name: string): boolean {
  return readFileSync('/proc/net/dev', 'utf8').includes(`${name}:`);
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

describeTap('a tap', () => {
  test('that is not there is made, up, with its MTU, and goes with its files', () => {
    const name = newName();
    const { fds } = openTap({ kind: 'tap', name, mtu: 3000 });
    const link = ip('link', 'show', name);
    expect(link).toContain('mtu 3000');
    expect(link).toMatch(/<[^>]*\bUP\b/);
    for (const fd of fds) closeSync(fd);
    expect(exists(name)).toBe(false);
  });

  test('of somebody else is used as it is, with one queue of several too, and stays', () => {
    const name = newName();
    ip('tuntap', 'add', 'dev', name, 'mode', 'tap', 'multi_queue');
    try {
      for (const queues of [1, 3]) {
        const { fds } = openTap({ kind: 'tap', name, queues, mtu: 3000 });
        expect(fds).toHaveLength(queues);
        expect(ip('link', 'show', name)).toContain('mtu 1500');
        for (const fd of fds) closeSync(fd);
      }
      expect(exists(name)).toBe(true);
    } finally {
      ip('link', 'del', name);
    }
  });

  test('that is in use, has one queue only or is none is named in an error', () => {
    const name = newName();
    const { fds } = openTap({ kind: 'tap', name });
    expect(thrownBy(() => openTap({ kind: 'tap', name }))).toMatchObject({
      ...{ code: 'ERR_NET', message: `tap ${name} is in use` },
    });
    closeSync(fds[0]!);
    ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
    expect(thrownBy(() => openTap({ kind: 'tap', name, queues: 2 }))).toMatchObject({
      ...{ code: 'ERR_NET', message: `tap ${name} was made for one queue` },
    });
    ip('link', 'del', name);
    expect(thrownBy(() => openTap({ kind: 'tap', name: 'lo' }))).toMatchObject({
      ...{ code: 'ERR_NET', message: 'lo is an interface, but not a tap' },
    });
  });

  test("of several queues is one VM's, whatever queues are left", () => {
    const name = newName();
    ip('tuntap', 'add', 'dev', name, 'mode', 'tap', 'multi_queue');
    try {
      const first = openTap({ kind: 'tap', name, queues: 2 });
      // Out of use, as a driver leaves it that does not take the second pair.
      native().tapSetQueue(first.fds[1]!, false);
      for (const queues of [1, 2]) {
        expect(thrownBy(() => openTap({ kind: 'tap', name, queues }))).toMatchObject({
          ...{ code: 'ERR_NET', message: `tap ${name} is in use` },
        });
      }
      closeSync(first.fds[0]!);
      expect(thrownBy(() => openTap({ kind: 'tap', name }))).toMatchObject({ code: 'ERR_NET' });
      closeSync(first.fds[1]!);
      const { fds } = openTap({ kind: 'tap', name, queues: 2 });
      for (const fd of fds) closeSync(fd);
    } finally {
      ip('link', 'del', name);
    }
  });

  test('is not left behind by a VM that comes to nothing', async () => {
    const name = newName();
    const options = { net: { kind: 'tap' as const, name }, pmem: [{ path: '/does/not/exist' }] };
    await expect(openDevices(options, MEMORY)).rejects.toMatchObject({ code: 'ERR_DISK' });
    expect(exists(name)).toBe(false);
    const devices = await openDevices({ net: options.net }, MEMORY);
    expect(exists(name)).toBe(true);
    devices.close();
    expect(exists(name)).toBe(false);
  });
});

describe('interfaces of a VM', () => {
  const mac = '52:54:00:00:00:0a';
  const cases: [string, NetSettings[]][] = [
    [
      'two interfaces have the MAC address 52:54:00:00:00:0A',
      [{ mac }, { mac: mac.toUpperCase() }],
    ],
    ['01:00:5e:00:00:01 is not a unicast MAC address', [{ mac: '01:00:5e:00:00:01' }]],
    [
      'tap a is given to two interfaces',
      [
        { kind: 'tap', name: 'a' },
        { kind: 'tap', name: 'a' },
      ],
    ],
    ['the name of tap "sixteen-letters-" is too long', [{ kind: 'tap', name: 'sixteen-letters-' }]],
  ];
  test.each(cases)('%s', async (message, net) => {
    await expect(openDevices({ net }, MEMORY)).rejects.toMatchObject({
      ...{ code: 'ERR_CONFIG', message },
    });
  });
});

test('offloads that the kernel knows together are asked for together', () => {
  const none = { csum: false, tso4: false, tso6: false };
  expect(tunOffloads({ ...none, tso4: true, ecn: true })).toBe(0);
  expect(tunOffloads({ ...none, csum: true, ecn: true })).toBe(1);
  expect(tunOffloads({ csum: true, tso4: true, tso6: true, ecn: true, ufo: true })).toBe(31);
});
