/** Linux's own network stack on a LAN, behind TAP devices in network namespaces. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { joinLan, type Membership } from '../../../../src/net/lan/join.js';
import { memberAddress } from '../../../../src/net/lan/lan-options.js';
import { LanNetwork } from '../../../../src/net/lan/lan-network.js';
import { canUseTap, TapGuest } from '../../../support/tap-guest.js';

const LAN = 'stack';
const describeTap = canUseTap() ? describe : describe.skip;

interface Station {
  readonly membership: Membership;
  readonly network: LanNetwork;
  readonly guest: TapGuest;
  readonly address: string;
}

describeTap('Linux on a LAN', () => {
  const before = process.env.XDG_RUNTIME_DIR;
  let runtime = '';
  let stations: Station[] = [];

  async function station(name: string, offload: boolean): Promise<Station> {
    const membership = await joinLan({ kind: 'lan', lan: LAN }, name);
    const { host, mac } = membership.place;
    const network = new LanNetwork(membership.place);
    network.open();
    const guest = TapGuest.open(network, { offload, setUp: false });
    const address = memberAddress(LAN, host).toString();
    guest.sh(`ip link set eth0 address ${mac}; ip addr add ${address}/24 dev eth0`);
    return { membership, network, guest, address };
  }

  beforeAll(async () => {
    runtime = mkdtempSync(path.join(os.tmpdir(), 'vxlan-'));
    process.env.XDG_RUNTIME_DIR = runtime;
    stations = [await station('a', true), await station('b', true), await station('plain', false)];
  });
  afterAll(async () => {
    for (const { guest, network, membership } of stations) {
      guest.close();
      await network.close();
      membership.leave();
    }
    rmSync(runtime, { recursive: true, force: true });
    if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = before;
  });

  /** Bytes of a stream that arrive, sent by one and received by another. */
  async function stream(from: Station, to: Station): Promise<number> {
    const receive = `import socket
s = socket.create_server(('${to.address}', 5000))
c, _ = s.accept()
n = 0
while True:
    d = c.recv(65536)
    if not d: break
    n += len(d)
print(n)`;
    const send = `import socket, time
for _ in range(200):
    try: c = socket.create_connection(('${to.address}', 5000)); break
    except ConnectionRefusedError: time.sleep(0.05)
c.sendall(bytes(4000000))
c.close()`;
    const received = to.guest.run(['python3', '-c', receive]);
    const sent = await from.guest.run(['python3', '-c', send]);
    expect(sent).toMatchObject({ code: 0, stderr: '' });
    return Number((await received).stdout);
  }

  test('a station asks the service for names', async () => {
    const [a, b] = stations;
    const service = memberAddress(LAN, 1).toString();
    const ask = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(bytes.fromhex('1234010000010000000000000162000001' + '0001'), ('${service}', 53))
print(s.recv(512)[-4:].hex())`;
    const { stdout, stderr } = await a!.guest.run(['python3', '-c', ask]);
    const address = Buffer.from(b!.address.split('.').map(Number)).toString('hex');
    expect([stdout, stderr]).toEqual([`${address}\n`, '']);
  });

  test('TCP with long frames and without, and from one to the other', async () => {
    const [a, b, plain] = stations;
    expect(await stream(a!, b!)).toBe(4_000_000);
    expect(await stream(a!, plain!)).toBe(4_000_000);
    expect(await stream(plain!, b!)).toBe(4_000_000);
    for (const { network } of stations) {
      expect(network.statistics).toMatchObject({ refused: 0, droppedToMembers: 0 });
    }
  });
});
