/** Linux on a user network and with a shared directory: one boot, many questions. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  VirtualMachine,
  parseAllowNet,
  type NetEvent,
  type NetRequest,
  type NetworkControl,
} from 'vexit';
import { freePort } from '../support/free-port.js';
import { describeKvm } from '../support/kvm.js';
import { canUseTap } from '../support/tap-guest.js';
import { TapPair } from '../support/tap-pair.js';

const BOOT_TIMEOUT_MS = 600_000;
const BIG = Buffer.alloc(300_000, 'vexit network ');

async function serve(): Promise<Server> {
  const server = createServer((request, response) => {
    response.end(request.url === '/big' ? BIG : 'hello from the host\n');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}

const withTap = canUseTap();
const tapName = TapPair.newName();
if (!withTap) console.warn('skipped: no TAP devices or network namespaces here');

/** What the guest does; each answer is a line "name=value". */
function script(port: number): string {
  return [
    'cd /mnt/share',
    `echo hello=$(wget -q -O- http://10.0.2.2:${port}/)`,
    `echo big=$(wget -q -O- http://10.0.2.2:${port}/big | md5sum | cut -d" " -f1)`,
    'wget -q -O- http://192.0.2.1/; echo denied=$?',
    'wget -q -O- http://10.0.2.2:9/; echo refused=$?',
    'echo name=$(nslookup denied.example 2>&1 | grep -c -i -E "NXDOMAIN|can.t")',
    'echo address=$(ip -4 -o addr show eth0 | grep -c 10.0.2.15/24)',
    ...(withTap ? ['ip link set eth1 up && ip addr add 10.99.0.2/24 dev eth1'] : []),
    // The shared directory.
    'echo seen=$(cat greeting)',
    'echo written > out && chmod 640 out && mkdir -p sub/deep && mv out sub/deep/moved',
    'ln -s ../greeting sub/link && echo link=$(cat sub/link)',
    'echo outside=$(cat secret 2>&1 | grep -c "root of the host")',
    'for i in $(seq 1 50); do echo $i > sub/f$i; done; echo files=$(ls sub | wc -l)',
    'echo readonly=$(touch /mnt/ro/x 2>&1 | grep -c Read-only)',
    // A server in the guest, until the host has seen enough.
    'mkdir /tmp/www && echo hello from the guest > /tmp/www/index.html',
    'httpd -p 80 -h /tmp/www && touch ready',
    'while [ ! -e done ]; do sleep 0.2; done',
  ].join('\n');
}

/** The guest's ARP requests for its own address (RFC 5227: announcements) that have come over the wire. */
function arpAnnouncements(wire: TapPair): number {
  const address = [10, 99, 0, 2];
  return wire.take().filter(({ bytes }) => {
    const [sender, target] = [bytes.subarray(28, 32), bytes.subarray(38, 42)];
    const own = sender.equals(Buffer.from(address)) && target.equals(sender);
    return bytes.readUInt16BE(12) === 0x0806 && own;
  }).length;
}

/**
 * How many announcements come when they are asked for; after the link was down, when the first has been
 * acknowledged and must not come again; and when they are asked for once more.
 */
async function announcements(network: NetworkControl, wire: TapPair): Promise<number[]> {
  const settle = async (act: () => void): Promise<number> => {
    arpAnnouncements(wire);
    act();
    let count = 0;
    for (let i = 0; i < 20; i++) {
      await sleep(100);
      count += arpAnnouncements(wire);
    }
    return count;
  };
  const ask = (): void => network.announce();
  const first = await settle(ask);
  network.setLink(false);
  await sleep(500);
  return [first, await settle(() => network.setLink(true)), await settle(ask)];
}

jest.setTimeout(BOOT_TIMEOUT_MS + 20_000);

describeKvm('Linux on a user network, with a shared directory', () => {
  const answers = new Map<string, string>();
  let directory = '';
  let share = '';
  let fromGuest = '';
  let reason = '';
  let wire: TapPair | undefined;
  let announced: number[] = [];
  const asked: NetRequest[] = [];
  const events: NetEvent[] = [];

  beforeAll(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-net-'));
    share = path.join(directory, 'share');
    mkdirSync(share);
    writeFileSync(path.join(share, 'greeting'), 'hello from a file\n');
    writeFileSync(path.join(directory, 'secret'), 'root of the host\n');
    symlinkSync(path.join(directory, 'secret'), path.join(share, 'secret'));
    const server = await serve();
    const { port } = server.address() as AddressInfo;
    const hostPort = await freePort();
    const user = {
      host: true,
      publish: [{ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort, guestPort: 80 }],
      allow: parseAllowNet(`10.0.2.2:${port}, 10.0.2.2:9`),
      decide: (request: NetRequest) => {
        asked.push(request);
        return request.type === 'flow' && request.port === 9 ? 'deny' : 'allow';
      },
      pcap: path.join(directory, 'trace.pcapng'),
    } as const;
    const vm = await VirtualMachine.create({
      command: { argv: ['sh', '-c', script(port)] },
      net: withTap ? [user, { kind: 'tap', name: tapName }] : user,
      shares: [
        { hostPath: share, guestPath: '/mnt/share' },
        { hostPath: directory, guestPath: '/mnt/ro', readOnly: true },
      ],
    });
    const watchdog = setTimeout(() => void vm.stop(), BOOT_TIMEOUT_MS);
    let text = '';
    vm.command!.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()));
    vm.command!.stderr.resume();
    vm.on('network', (event, index) => {
      if (index === 0) events.push(event);
    });
    try {
      await vm.start();
      if (withTap) wire = TapPair.around({ kind: 'tap', name: tapName, fds: [] });
      const ready = path.join(share, 'ready');
      while (!existsSync(ready) && vm.state === 'running') await sleep(100);
      if (vm.state === 'running') {
        const response = await fetch(`http://127.0.0.1:${hostPort}/`);
        fromGuest = await response.text();
        if (wire !== undefined) announced = await announcements(vm.networks[1]!, wire);
      }
      writeFileSync(path.join(share, 'done'), '');
      ({ reason } = await vm.wait());
    } finally {
      clearTimeout(watchdog);
      await vm.stop();
      wire?.close();
      server.close();
    }
    for (const [, name, value] of text.matchAll(/^(\w+)=(.*)$/gm)) answers.set(name!, value!);
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('has the address that its agent was told, and ends by itself', () => {
    expect(answers.get('address')).toBe('1');
    expect(reason).toBe('power-off');
  });

  test('fetches from a server of the host behind the gateway', () => {
    expect(answers.get('hello')).toBe('hello from the host');
    expect(answers.get('big')).toBe(createHash('md5').update(BIG).digest('hex'));
  });

  test('is kept from addresses and names that no rule allows', () => {
    expect(answers.get('denied')).not.toBe('0');
    expect(answers.get('name')).not.toBe('0');
  });

  test('has every flow that the rules allow decided by a callback', () => {
    expect(answers.get('refused')).not.toBe('0');
    expect(asked).toContainEqual(expect.objectContaining({ address: '10.0.2.2', port: 9 }));
    expect(asked).not.toContainEqual(expect.objectContaining({ address: '192.0.2.1' }));
  });

  test('has what was allowed and denied reported', () => {
    const denied = { type: 'flow', protocol: 'tcp', verdict: 'deny' };
    const flows: unknown[] = [
      { ...denied, address: '192.0.2.1', port: 80, reason: 'default' },
      { ...denied, address: '10.0.2.2', port: 9, reason: 'callback' },
      { type: 'lookup', name: 'denied.example', verdict: 'deny', reason: 'default' },
      { type: 'closed', protocol: 'tcp', address: '10.0.2.2' },
    ];
    for (const flow of flows) expect(events).toContainEqual(expect.objectContaining(flow));
  });

  test('serves through a published port', () => {
    expect(fromGuest).toBe('hello from the guest\n');
  });

  (withTap ? test : test.skip)('announces its address once each time it is asked to', () => {
    expect(announced).toEqual([1, 0, 1]);
  });

  test('has its frames captured', () => {
    const capture = readFileSync(path.join(directory, 'trace.pcapng'));
    // Section header block, byte order as here.
    expect(capture.readUInt32LE(0)).toBe(0x0a0d0d0a);
    expect(capture.readUInt32LE(8)).toBe(0x1a2b3c4d);
    expect(capture.length).toBeGreaterThan(BIG.length);
  });

  test('reads and writes files, with their modes, links and directories', () => {
    expect(answers.get('seen')).toBe('hello from a file');
    expect(answers.get('link')).toBe('hello from a file');
    expect(answers.get('files')).toBe('52');
    const moved = path.join(share, 'sub/deep/moved');
    expect(readFileSync(moved, 'utf8')).toBe('written\n');
    expect(statSync(moved).mode & 0o777).toBe(0o640);
    expect(readFileSync(path.join(share, 'sub/f50'), 'utf8')).toBe('50\n');
  });

  test('F14: a link that leads out of the shared directory leads nowhere on the host', () => {
    expect(answers.get('outside')).toBe('0');
  });

  test('changes nothing in a directory that is shared read-only', () => {
    expect(answers.get('readonly')).toBe('1');
    expect(existsSync(path.join(directory, 'x'))).toBe(false);
  });
});
