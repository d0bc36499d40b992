/** The switch and the service of members in one process; hostile members. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../../../src/kvm/native.js';
import { encodeHello } from '../../../../src/net/lan/incoming.js';
import { memberAddress } from '../../../../src/net/lan/lan-options.js';
import { LanNames } from '../../../../src/net/lan/lan-names.js';
import { parseQuery } from '../../../../src/net/dns/dns-message.js';
import { GsoType, NO_OFFLOADS } from '../../../../src/net/net-backend.js';
import { ipv4, ipv4Frame, readIpv4, readTcp, tcpFrame, udpFrame } from '../frames.js';
import { Member, TEST_TYPE } from './member.js';

const BROADCAST = Buffer.alloc(6, 0xff);
const LAN = 'test';
const VNET = Buffer.alloc(12);
let runtime: string;
const before = process.env.XDG_RUNTIME_DIR;
let members: Member[] = [];

async function join(names: readonly string[]): Promise<Member[]> {
  for (const name of names) members.push(await Member.join(LAN, name));
  const all = members.length - 1;
  await until(() => members.every(({ network }) => network.statistics.members === all));
  return members;
}

async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error('it does not come to pass');
    await sleep(2);
  }
}

/** Several turns of the event loop: what is going to be delivered has been. */
const quiet = (): Promise<void> => sleep(50);

beforeEach(() => {
  runtime = mkdtempSync(path.join(os.tmpdir(), 'vxlan-'));
  process.env.XDG_RUNTIME_DIR = runtime;
  members = [];
});
afterEach(async () => {
  for (const member of members) await member.leave();
  rmSync(runtime, { recursive: true, force: true });
  if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
  else process.env.XDG_RUNTIME_DIR = before;
});

function frame(to: Buffer, from: Buffer, length = 60, type = 0x88b6): Buffer {
  const bytes = Buffer.alloc(length, 0x5a);
  to.copy(bytes);
  from.copy(bytes, 6);
  bytes.writeUInt16BE(type, 12);
  return bytes;
}

/** Frames that are not the router advertisement that every member's guest gets. */
function got(member: Member): Buffer[] {
  return member.frames
    .map(({ bytes }) => bytes)
    .filter((bytes) => bytes.readUInt16BE(12) !== 0x86dd);
}

describe('the switch', () => {
  test('sends to one member, to all, and to all when it does not know better', async () => {
    const [a, b, c] = await join(['a', 'b', 'c']);
    a!.transmit(frame(b!.mac, a!.mac));
    a!.transmit(frame(BROADCAST, a!.mac, 61));
    a!.transmit(frame(Buffer.from('020000000001', 'hex'), a!.mac, 62));
    await until(() => got(b!).length === 3 && got(c!).length === 2);
    expect(got(b!).map(({ length }) => length)).toEqual([60, 61, 62]);
    expect(got(c!).map(({ length }) => length)).toEqual([61, 62]);
    expect(got(a!)).toEqual([]);
  });

  test('learns stations behind a member', async () => {
    const [a, b, c] = await join(['a', 'b', 'c']);
    const station = Buffer.from('020000000001', 'hex');
    b!.transmit(frame(BROADCAST, station));
    await until(() => got(a!).length === 1 && got(c!).length === 1);
    a!.transmit(frame(station, a!.mac));
    await until(() => got(b!).length === 1);
    await quiet();
    expect(got(c!)).toHaveLength(1);
  });

  test('does not believe a member that claims the address of another, or of the name server', async () => {
    const [a, b, c] = await join(['a', 'b', 'c']);
    b!.transmit(frame(BROADCAST, a!.mac));
    b!.transmit(frame(BROADCAST, c!.mac));
    b!.transmit(frame(BROADCAST, Buffer.from(`5255${ipv4(service()).toString('hex')}`, 'hex')));
    await until(() => a!.network.statistics.refused === 3);
    expect(c!.network.statistics.refused).toBe(3);
    c!.transmit(frame(a!.mac, c!.mac));
    await until(() => got(a!).length === 1);
    expect(got(c!)).toEqual([]);
  });

  test('drops frames from a group and those that are none', async () => {
    const [a, b] = await join(['a', 'b']);
    a!.transmit(frame(b!.mac, BROADCAST));
    a!.transmit(Buffer.alloc(13));
    a!.transmit(frame(a!.mac, a!.mac));
    a!.transmit(frame(b!.mac, a!.mac));
    await until(() => got(b!).length === 1);
  });

  test('keeps frames while a guest has no buffers, and drops them when it never does', async () => {
    const a = await Member.join(LAN, 'a');
    const patience = { guestMs: 200, memberMs: 10_000 };
    const b = await Member.join(LAN, 'b', { patience });
    members.push(a, b);
    await until(() => b.network.statistics.members === 1);
    b.takes = false;
    a.transmit(frame(b.mac, a.mac, 60, TEST_TYPE));
    await sleep(20);
    b.takes = true;
    b.network.onRoom();
    expect(got(b)).toHaveLength(1);
    b.takes = false;
    // More than sockets hold: it comes to an end because they are read and dropped.
    await a.send(b.mac, 20_000, 1500);
    await until(() => b.network.statistics.droppedToGuest > 0);
    b.takes = true;
    const had = got(b).length;
    await until(() => {
      a.transmit(frame(b.mac, a.mac));
      return got(b).length > had;
    });
    expect(a.network.statistics.droppedToMembers).toBe(0);
  });

  test('a long frame goes whole to those who take it, and cut and summed to the others', async () => {
    const [a, b, c] = await join(['a', 'b', 'c']);
    c!.offloads = NO_OFFLOADS;
    const payload = Buffer.from(Array.from({ length: 4000 }, (_, i) => i % 251));
    const fields = { mac: a!.mac.toString('hex'), to: 'ffffffffffff' };
    const ports = { sourcePort: 1, port: 2, seq: 0xffffff00, ack: 7, flags: 0x18 };
    const whole = tcpFrame({ ...ports, payload }, fields);
    whole.writeUInt16BE(partialSum(whole, 6), 34 + 16);
    const meta = { needsCsum: true, csumStart: 34, csumOffset: 16 };
    const gso = { gsoType: GsoType.Tcp4, gsoSize: 1460, headerLength: 54 };
    a!.transmit(whole, { ...meta, ...gso });
    await until(() => got(b!).length === 1 && got(c!).length === 3);
    expect(b!.frames.at(-1)).toMatchObject({ bytes: whole, meta: { ...meta, ...gso } });
    const segments = got(c!).map((bytes) => readTcp(bytes));
    expect(Buffer.concat(segments.map((segment) => segment.payload))).toEqual(payload);
    expect(segments.map(({ seq }) => seq)).toEqual([0xffffff00, 1204, 2664]);
    expect(segments.map(({ flags }) => flags)).toEqual([0x10, 0x10, 0x18]);
    expect(c!.frames.every((one) => !one.meta.needsCsum)).toBe(true);
  });

  test('a checksum that was left out is put in for those who want it', async () => {
    const [a, b] = await join(['a', 'b']);
    b!.offloads = NO_OFFLOADS;
    const fields = { mac: a!.mac.toString('hex'), to: b!.mac.toString('hex') };
    const datagram = udpFrame(5, 6, Buffer.from('hello, this is odd'), fields);
    datagram.writeUInt16BE(partialSum(datagram, 17), 34 + 6);
    a!.transmit(datagram, { needsCsum: true, csumStart: 34, csumOffset: 6 });
    await until(() => got(b!).length === 1);
    expect(readIpv4(got(b!)[0]!).body.subarray(8).toString()).toBe('hello, this is odd');
  });
});

/** The sum of a pseudo-header, as a driver leaves it in the field. */
function partialSum(bytes: Buffer, protocol: number): number {
  let sum = protocol + bytes.length - 34;
  for (let at = 26; at < 34; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe('a hostile member', () => {
  function connect(to: Member): number {
    const { directory, host } = to.membership.place;
    return native().packetConnect(path.join(directory, `${host}.sock`), 65536);
  }

  test.each([
    ['nothing that says who it is', Buffer.from('who?')],
    ['an empty packet', Buffer.alloc(0)],
    ['a long packet', Buffer.alloc(70_000)],
    ['a number that nobody has', encodeHello(255, Buffer.from('020000000001', 'hex'))],
    ['a group as its card', encodeHello(9, Buffer.from('030000000001', 'hex'))],
    ['no card', encodeHello(9, Buffer.alloc(6))],
  ])('that sends %s is not listened to', async (_, bytes) => {
    const [a, b] = await join(['a', 'b']);
    const fd = connect(a!);
    native().packetSend(fd, bytes);
    native().packetSend(fd, Buffer.concat([VNET, frame(BROADCAST, b!.mac)]));
    await until(() => native().packetSend(fd, VNET) < 0);
    native().fsClose(fd);
    expect(got(a!)).toEqual([]);
    b!.transmit(frame(a!.mac, b!.mac));
    await until(() => got(a!).length === 1);
  });

  test('with the card of another, or with our own number, is not listened to', async () => {
    const [a, b] = await join(['a', 'b']);
    for (const hello of [encodeHello(9, b!.mac), encodeHello(a!.host, b!.mac)]) {
      const fd = connect(a!);
      native().packetSend(fd, hello);
      await until(() => native().packetSend(fd, VNET) < 0);
      native().fsClose(fd);
    }
    b!.transmit(frame(a!.mac, b!.mac));
    await until(() => got(a!).length === 1);
  });

  test('F2: frames with headers that lie are dropped, those after them are not', async () => {
    const [a, b] = await join(['a', 'b']);
    const fd = connect(a!);
    const mac = Buffer.from('020000000009', 'hex');
    native().packetSend(fd, encodeHello(9 === a!.host || 9 === b!.host ? 10 : 9, mac));
    const send = (header: readonly number[], length = 200): void => {
      const bytes = Buffer.alloc(12);
      Buffer.from(header).copy(bytes);
      native().packetSend(fd, Buffer.concat([bytes, frame(a!.mac, mac, length)]));
    };
    native().packetSend(fd, Buffer.alloc(5));
    native().packetSend(fd, Buffer.alloc(12));
    send([], 1519);
    send([1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    send([1, 1, 54, 0, 0, 0, 34, 0, 16, 0]);
    send([0, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0]);
    send([1, 77, 54, 0, 0xb4, 5, 34, 0, 16, 0]);
    send([], 65_600);
    a!.offloads = NO_OFFLOADS;
    // Segments of an IP header that is none, of a byte each, with headers behind the end.
    send([1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0], 3000);
    send([1, 1, 54, 0, 1, 0, 34, 0, 16, 0], 3000);
    send([1, 4, 54, 0, 0xb4, 5, 54, 0, 16, 0], 3000);
    send([1, 4, 54, 0, 0xb4, 5, 180, 0, 16, 0], 199);
    send([]);
    await until(() => got(a!).length === 1);
    expect(got(a!)[0]).toEqual(frame(a!.mac, mac, 200));
    expect(a!.network.statistics.refused).toBe(12);
    native().fsClose(fd);
  });
});

function service(): string {
  return memberAddress(LAN, 1).toString();
}

function dnsQuestion(name: string, type: number): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const head = Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}

describe('the service', () => {
  const serviceMac = (): string => `5255${ipv4(service()).toString('hex')}`;

  /** Sends a frame to the service, and takes what it answers. */
  function answer(member: Member, bytes: Buffer): Buffer | undefined {
    const count = member.frames.length;
    member.transmit(bytes);
    return member.frames[count]?.bytes;
  }

  function fields(member: Member): object {
    const source = memberAddress(LAN, member.host).toString();
    const mac = member.mac.toString('hex');
    return { source, destination: service(), mac, to: serviceMac() };
  }

  function ask(member: Member, name: string, type = 1): Buffer {
    const query = udpFrame(4000, 53, dnsQuestion(name, type), fields(member));
    return readIpv4(answer(member, query)!, true).body.subarray(8);
  }

  test('answers ARP and echo for its address, and nobody else hears of it', async () => {
    const [a, b] = await join(['a', 'b']);
    const arp = Buffer.concat([
      frame(BROADCAST, a!.mac, 14, 0x0806),
      Buffer.from('0001080006040001', 'hex'),
      ...[a!.mac, ipv4(memberAddress(LAN, a!.host).toString())],
      ...[Buffer.alloc(6), ipv4(service())],
    ]);
    const reply = answer(a!, arp)!;
    expect(reply.subarray(20, 32).toString('hex')).toBe(
      `0002${serviceMac()}${ipv4(service()).toString('hex')}`,
    );
    const echo = Buffer.from('0800f7ff00000000', 'hex');
    expect(readIpv4(answer(a!, ipv4Frame(1, echo, fields(a!)))!).body[0]).toBe(0);
    // A question about a member is for the members.
    ipv4(memberAddress(LAN, b!.host).toString()).copy(arp, 38);
    a!.transmit(arp);
    await until(() => got(b!).length === 1);
    expect(got(b!)[0]).toEqual(arp);
  });

  test('gives each guest the address of its member, without a router', async () => {
    const [a, b] = await join(['a', 'b']);
    for (const member of [a!, b!]) {
      const discover = Buffer.alloc(300);
      discover.set([1, 1, 6, 0, 1, 2, 3, 4]);
      member.mac.copy(discover, 28);
      discover.writeUInt32BE(0x63825363, 236);
      discover.set([53, 1, 1, 255], 240);
      const ip = { source: '0.0.0.0', destination: '255.255.255.255', to: 'ffffffffffff' };
      const offer = answer(
        member,
        udpFrame(68, 67, discover, { ...ip, mac: member.mac.toString('hex') }),
      )!;
      const body = readIpv4(offer, true).body.subarray(8);
      expect([...body.subarray(16, 20)].join('.')).toBe(memberAddress(LAN, member.host).toString());
      const options = new Map<number, string>();
      for (let at = 240; body[at] !== 255; at += 2 + body[at + 1]!) {
        options.set(body[at]!, body.subarray(at + 2, at + 2 + body[at + 1]!).toString('hex'));
      }
      expect(options.has(3)).toBe(false);
      expect(options.get(6)).toBe(ipv4(service()).toString('hex'));
      expect(Buffer.from(options.get(15)!, 'hex').toString()).toBe('lan');
    }
    await quiet();
    expect([...got(a!), ...got(b!)]).toHaveLength(2);
  });

  test('knows the members by name, as long as they are there', async () => {
    const [a, b] = await join(['a', 'Db']);
    const address = ipv4(memberAddress(LAN, b!.host).toString());
    for (const name of ['db', 'DB', 'db.lan']) {
      const answered = ask(a!, name);
      expect(answered.readUInt16BE(2) & 15).toBe(0);
      expect(answered.subarray(-4)).toEqual(address);
    }
    const reverse = `${[...address].reverse().join('.')}.in-addr.arpa`;
    expect(ask(a!, reverse, 12).subarray(-8).toString('latin1')).toBe('\x02Db\x03lan\0');
    // No IPv6 address is known, but the name exists.
    expect(ask(a!, 'db', 28).readUInt32BE(4)).toBe(0x10000);
    expect(ask(a!, 'db', 28).readUInt16BE(2) & 15).toBe(0);
    for (const name of ['c', 'c.lan', 'db.example', 'example.org']) {
      expect(ask(a!, name).readUInt16BE(2) & 15).toBe(3);
    }
    members.pop();
    await b!.leave();
    await until(() => (ask(a!, 'db').readUInt16BE(2) & 15) === 3);
  });

  test('names with dots are members only below lan: nobody takes example.org', async () => {
    const [a] = await join(['a', 'example.org']);
    const names = new LanNames([{ lan: LAN, directory: a!.membership.place.directory }]);
    const about = (name: string): Uint8Array | undefined => {
      const query = parseQuery(dnsQuestion(name, 1));
      return typeof query === 'object' ? names.answer(query) : undefined;
    };
    expect(about('example.org')).toBeUndefined();
    expect(about('10.in-addr.arpa')).toBeUndefined();
    expect(Buffer.from(about('example.org.lan')!).readUInt16BE(6)).toBe(1);
  });

  test('advertises a prefix, but not itself as a router', async () => {
    const [a] = await join(['a']);
    const advertisement = a!.frames.find(({ bytes }) => bytes[54] === 134)!.bytes;
    expect(advertisement.readUInt16BE(54 + 6)).toBe(0);
    expect(advertisement[54 + 48]! & 0xff).toBe(0xfd);
  });
});

test('a lease says who it is, for people', async () => {
  const [a] = await join(['a']);
  const { directory, host, mac } = a!.membership.place;
  expect(JSON.parse(readFileSync(path.join(directory, `${host}.lease`), 'utf8'))).toEqual({
    ...{ name: 'a', mac, mtu: 1500 },
  });
});
