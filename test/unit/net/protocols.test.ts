/** What the gateway says to a guest: ARP, DHCP, ICMP, IPv6, fragments. */
import { IpAddress } from '../../../src/net/wire/address.js';
import { foldSum, sumBytes } from '../../../src/net/wire/checksum.js';
import { checksum, ethernet, ipv4, ipv4Frame, readIpv4, udpFrame } from './frames.js';
import {
  arp,
  GATEWAY,
  GATEWAY_MAC,
  GUEST,
  GUEST_MAC,
  NetworkBench,
  ping,
} from './network-bench.js';

let bench: NetworkBench;
beforeEach(() => (bench = new NetworkBench()));
afterEach(() => bench.network.close());

describe('ARP', () => {
  test('answers for the gateway only', () => {
    bench.send(arp(1, GUEST, GUEST_MAC, GATEWAY));
    bench.send(arp(1, GUEST, GUEST_MAC, '10.0.2.77'));
    bench.send(arp(1, GUEST, GUEST_MAC, GUEST));
    bench.send(arp(2, GUEST, GUEST_MAC, GATEWAY));
    expect(bench.frames.length).toBe(1);
    expect(bench.frames[0]!.toString('hex')).toBe(
      `${GUEST_MAC}${GATEWAY_MAC}0806` +
        `0001080006040002${GATEWAY_MAC}0a000202${GUEST_MAC}0a00020f`,
    );
  });

  test('F5: nothing from a group, from nobody, or for another station', () => {
    bench.send(arp(1, GUEST, 'ffffffffffff', GATEWAY));
    bench.send(arp(1, GUEST, '000000000000', GATEWAY));
    bench.send(ethernet(0x0800, ping().subarray(14), '010000000001'));
    bench.send(ethernet(0x0800, ping().subarray(14), '000000000000'));
    bench.send(ethernet(0x0800, ping().subarray(14), GUEST_MAC, GUEST_MAC));
    expect(bench.frames).toEqual([]);
  });

  test('F1: short frames do nothing', () => {
    for (const frame of [
      ping(),
      arp(1, GUEST, GUEST_MAC, GATEWAY),
      udpFrame(1, 53, Buffer.alloc(9)),
    ]) {
      for (let length = 0; length < Math.min(42, frame.length); length++) {
        bench.send(frame.subarray(0, length));
      }
    }
    expect(bench.frames).toEqual([]);
  });

  test('F7: answers to 10^5 senders without a buffer for them leave memory flat, and go on after', () => {
    const frame = arp(1, '10.0.2.16', GUEST_MAC, GATEWAY);
    bench.hasRoom = false;
    for (let i = 0; i < 100_000; i++) {
      frame.writeUInt32BE(i, 24);
      frame[31] = i & 0x7f;
      bench.send(frame);
    }
    expect(bench.network.statistics.framesDropped).toBeGreaterThan(99_000);
    bench.hasRoom = true;
    bench.network.onRoom();
    expect(bench.frames.length).toBeLessThanOrEqual(256);
    bench.frames.length = 0;
    bench.send(arp(1, GUEST, GUEST_MAC, GATEWAY));
    expect(bench.frames.length).toBe(1);
  });
});

describe('ICMP', () => {
  test('the gateway answers echo requests, large ones in fragments', () => {
    bench.send(ping());
    const { source, destination, body } = readIpv4(bench.frames.shift()!);
    expect([source, destination]).toEqual([GATEWAY, GUEST]);
    expect(body.subarray(0, 2)).toEqual(Buffer.from([0, 0]));
    expect(body.subarray(4)).toEqual(ping().subarray(38));
    const large = ping(GATEWAY, 3000).subarray(34);
    bench.send(ipv4Frame(1, large.subarray(0, 1480), { fragment: 0x2000, id: 5 }));
    bench.send(ipv4Frame(1, large.subarray(2960), { fragment: 2960 / 8, id: 5 }));
    expect(bench.frames).toEqual([]);
    bench.send(ipv4Frame(1, large.subarray(1480, 2960), { fragment: 0x2000 | (1480 / 8), id: 5 }));
    const pieces = bench.frames.map((frame) => readIpv4(frame));
    expect(pieces.map(({ fragment }) => fragment)).toEqual([0x2000, 0x2000 | 185, 370]);
    const whole = Buffer.concat(pieces.map((piece) => piece.body));
    expect(checksum(whole)).toBe(0);
    expect(whole.subarray(4)).toEqual(large.subarray(4));
  });

  test('others cannot be pinged, and the guest is told', () => {
    bench.send(ping('192.0.2.1'));
    const { source, body } = readIpv4(bench.frames[0]!);
    expect(source).toBe(GATEWAY);
    expect([...body.subarray(0, 2)]).toEqual([3, 13]);
    // The packet in question, as far as its first 8 bytes.
    expect(body.subarray(8 + 12, 8 + 20)).toEqual(Buffer.concat([ipv4(GUEST), ipv4('192.0.2.1')]));
    expect(body.subarray(28)).toEqual(ping('192.0.2.1').subarray(34, 42));
  });

  test('hops that run out are reported', () => {
    bench.send(udpFrame(7, 33_434, Buffer.alloc(4), { destination: '192.0.2.1', ttl: 1 }));
    expect([...readIpv4(bench.frames[0]!).body.subarray(0, 2)]).toEqual([11, 0]);
  });

  test('errors are limited to 200 a second', () => {
    for (let i = 0; i < 1000; i++) bench.send(ping('192.0.2.1'));
    expect(bench.frames.length).toBeLessThanOrEqual(400);
  });

  test('wrong checksums, sources that are not the guest, groups: nothing', () => {
    const broken = ping();
    broken[50]! ^= 1;
    bench.send(broken);
    for (const source of ['192.0.2.7', GATEWAY, '10.0.2.255', '10.0.2.0', '127.0.0.1', '0.0.0.0']) {
      bench.send(ping(GATEWAY, 56, { source }));
    }
    for (const destination of ['224.0.0.1', '255.255.255.255', '10.0.2.255']) {
      bench.send(ping(destination));
    }
    expect(bench.frames).toEqual([]);
  });
});

describe('fragments', () => {
  const piece = (offset: number, length: number, more: boolean, id = 9): Buffer =>
    ipv4Frame(1, Buffer.alloc(length, 1), { fragment: (more ? 0x2000 : 0) | (offset / 8), id });

  test('those that overlap spoil their datagram', () => {
    const whole = ping(GATEWAY, 24).subarray(34);
    bench.send(ipv4Frame(1, whole.subarray(0, 16), { fragment: 0x2000, id: 3 }));
    bench.send(ipv4Frame(1, whole.subarray(8, 24), { fragment: 0x2001, id: 3 }));
    bench.send(ipv4Frame(1, whole.subarray(16), { fragment: 2, id: 3 }));
    expect(bench.frames).toEqual([]);
    expect(bench.network.statistics.reassemblyBytes).toBe(0);
  });

  test('lengths that are no multiple of 8, and ends beyond 64 KiB, are not kept', () => {
    bench.send(piece(0, 13, true));
    bench.send(piece(65_528, 100, false));
    expect(bench.network.statistics.reassemblyBytes).toBe(0);
  });

  test('10^5 of datagrams that never end leave memory flat', () => {
    const frame = piece(0, 1480, true);
    for (let i = 0; i < 100_000; i++) {
      frame.writeUInt16BE(i & 0xffff, 18);
      frame.writeUInt16BE(0, 24);
      frame.writeUInt16BE(checksum(frame.subarray(14, 34)), 24);
      bench.send(frame);
    }
    expect(bench.network.statistics.reassemblyBytes).toBeLessThanOrEqual(16 * 1480);
  });
});

describe('DHCP', () => {
  const message = (type: number, options: number[] = [], ciaddr = '0.0.0.0', flags = 0): Buffer => {
    const bytes = Buffer.alloc(240);
    bytes.write('01010600deadbeef', 'hex');
    bytes.writeUInt16BE(flags, 10);
    ipv4(ciaddr).copy(bytes, 12);
    bytes.write(GUEST_MAC, 28, 'hex');
    bytes.write('63825363', 236, 'hex');
    return Buffer.concat([bytes, Buffer.from([53, 1, type, ...options, 255])]);
  };
  const ask = (bytes: Buffer): Buffer | undefined => {
    const fields = { source: '0.0.0.0', destination: '255.255.255.255', to: 'ffffffffffff' };
    bench.send(udpFrame(68, 67, bytes, fields));
    const frame = bench.frames.shift();
    return frame === undefined ? undefined : readIpv4(frame).body.subarray(8);
  };
  const option = (reply: Buffer, kind: number): string | undefined => {
    for (let at = 240; reply[at] !== 255; at += 2 + reply[at + 1]!) {
      if (reply[at] === kind)
        return reply.subarray(at + 2, at + 2 + reply[at + 1]!).toString('hex');
    }
    return undefined;
  };

  test('offers and acknowledges the address, with gateway, mask, name server and MTU', async () => {
    await bench.network.close();
    bench = new NetworkBench({ hostName: 'lab', domain: 'example.org', mtu: 1400 });
    const offer = ask(message(1))!;
    expect(offer.subarray(0, 8).toString('hex')).toBe('02010600deadbeef');
    expect([...offer.subarray(16, 20)]).toEqual([10, 0, 2, 15]);
    expect(option(offer, 53)).toBe('02');
    const requested = [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2];
    const ack = ask(message(3, requested))!;
    expect([53, 1, 3, 6, 54, 28, 26, 51].map((kind) => option(ack, kind))).toEqual([
      '05',
      'ffffff00',
      '0a000202',
      '0a000202',
      '0a000202',
      '0a0002ff',
      '0578',
      '00015180',
    ]);
    expect(Buffer.from(option(ack, 12)!, 'hex').toString()).toBe('lab');
    expect(Buffer.from(option(ack, 15)!, 'hex').toString()).toBe('example.org');
  });

  test('refuses another address, renews its own, informs, and is silent about the rest', () => {
    expect(option(ask(message(3, [50, 4, 192, 168, 0, 1]))!, 53)).toBe('06');
    expect(option(ask(message(3, [], GUEST))!, 53)).toBe('05');
    const inform = ask(message(8, [], GUEST))!;
    expect([option(inform, 53), option(inform, 51)]).toEqual(['05', undefined]);
    expect(ask(message(4))).toBeUndefined();
    expect(ask(message(7))).toBeUndefined();
    expect(ask(message(3, [54, 4, 1, 2, 3, 4, 50, 4, 10, 0, 2, 15]))).toBeUndefined();
  });

  test('answers to whom the client wants', () => {
    const to = (flags: number): string => {
      const fields = { source: '0.0.0.0', destination: '255.255.255.255', to: 'ffffffffffff' };
      bench.send(udpFrame(68, 67, message(1, [], '0.0.0.0', flags), fields));
      return bench.frames.shift()!.subarray(0, 6).toString('hex');
    };
    expect([to(0), to(0x8000)]).toEqual([GUEST_MAC, 'ffffffffffff']);
  });

  test('messages cut short at any byte, or with options that lie, do no harm', () => {
    const bytes = message(3, [50, 4, 10, 0, 2, 15]);
    for (let length = 0; length < bytes.length; length++) ask(bytes.subarray(0, length));
    ask(message(1, [12, 200, 1]));
    ask(message(1, [50, 3, 1, 1, 1]));
    expect(option(ask(message(1))!, 53)).toBe('02');
  });
});

describe('IPv6', () => {
  const v6 = (text: string): Buffer => {
    const bytes = Buffer.alloc(16);
    IpAddress.of(text).write(bytes, 0);
    return bytes;
  };
  const frame = (
    source: string,
    destination: string,
    body: Buffer,
    hops = 255,
    extensions = Buffer.alloc(0),
    next = 58,
  ): Buffer => {
    const header = Buffer.alloc(40);
    header[0] = 0x60;
    header.writeUInt16BE(extensions.length + body.length, 4);
    header[6] = next;
    header[7] = hops;
    v6(source).copy(header, 8);
    v6(destination).copy(header, 24);
    const pseudo = Buffer.concat([header.subarray(8), Buffer.from([0, 0, 0, 0, 0, 0, 0, 58])]);
    pseudo.writeUInt32BE(body.length, 32);
    body.writeUInt16BE(0, 2);
    body.writeUInt16BE(checksum(Buffer.concat([pseudo, body])), 2);
    return ethernet(0x86dd, Buffer.concat([header, extensions, body]), GUEST_MAC, '333300000002');
  };
  const OWN = 'fe80::5054:ff:fe12:3456';
  const solicit = (target: string): Buffer =>
    Buffer.concat([Buffer.from('8700000000000000', 'hex'), v6(target)]);
  const read = (
    bytes: Buffer,
  ): { source: string; destination: string; hops: number; body: Buffer } => {
    const body = bytes.subarray(54);
    const pseudo = Buffer.concat([bytes.subarray(22, 54), Buffer.from([0, 0, 0, 0, 0, 0, 0, 58])]);
    pseudo.writeUInt32BE(body.length, 32);
    expect(checksum(Buffer.concat([pseudo, body]))).toBe(0);
    const text = (at: number): string =>
      new IpAddress(
        bytes.readInt32BE(at),
        bytes.readInt32BE(at + 4),
        bytes.readInt32BE(at + 8),
        bytes.readInt32BE(at + 12),
      ).toString();
    return { source: text(22), destination: text(38), hops: bytes[21]!, body };
  };

  test('a router solicitation gets prefix, MTU, name server and link-layer address', () => {
    bench.send(frame(OWN, 'ff02::2', Buffer.from('8500000000000000', 'hex')));
    const { source, destination, hops, body } = read(bench.frames[0]!);
    expect({ source, destination, hops }).toEqual({
      source: 'fe80::2',
      destination: OWN,
      hops: 255,
    });
    expect(body[0]).toBe(134);
    expect(body.subarray(16, 24).toString('hex')).toBe(`0101${GATEWAY_MAC}`);
    expect(body.subarray(24, 32).toString('hex')).toBe('05010000000005dc');
    expect(body.subarray(32, 36).toString('hex')).toBe('030440c0');
    expect(body.subarray(48, 64)).toEqual(v6('fd76:6578:6974::'));
    expect(body.subarray(64, 66).toString('hex')).toBe('1903');
    expect(body.subarray(72, 88)).toEqual(v6('fd76:6578:6974::2'));
  });

  test('neighbours of the gateway find it, its echo answers', () => {
    for (const target of ['fe80::2', 'fd76:6578:6974::2']) {
      bench.send(frame(OWN, 'ff02::1:ff00:2', solicit(target)));
      const { source, destination, body } = read(bench.frames.shift()!);
      expect([source, destination]).toEqual([target, OWN]);
      expect(body.subarray(0, 1).toString('hex') + body.subarray(4, 5).toString('hex')).toBe(
        '88e0',
      );
      expect(body.subarray(24).toString('hex')).toBe(`0201${GATEWAY_MAC}`);
    }
    bench.send(frame(OWN, 'fe80::2', Buffer.from('80000000123400017069', 'hex'), 64));
    expect(read(bench.frames.shift()!).body.toString('hex')).toMatch(/^8100.{4}123400017069$/);
  });

  test('solicitations from beyond the link, and for others, get nothing', () => {
    bench.send(frame(OWN, 'ff02::1:ff00:2', solicit('fe80::2'), 64));
    bench.send(frame(OWN, 'ff02::1:ff00:2', solicit('fe80::77')));
    bench.send(frame('2001:db8::1', 'ff02::1:ff00:2', solicit('fe80::2')));
    bench.send(frame('::ffff:10.0.2.15', 'fe80::2', Buffer.from('8000000000000000', 'hex')));
    expect(bench.frames).toEqual([]);
  });

  test('extension headers are stepped over; source routes and lies are not', () => {
    const echo = (): Buffer => Buffer.from('8000000000000001', 'hex');
    const hop = Buffer.from('3a00000000000000', 'hex');
    bench.send(frame(OWN, 'fe80::2', echo(), 64, hop, 0));
    expect(bench.frames.length).toBe(1);
    bench.send(frame(OWN, 'fe80::2', echo(), 64, Buffer.from('3a00000100000000', 'hex'), 43));
    bench.send(frame(OWN, 'fe80::2', echo(), 64, Buffer.from('3aff000000000000', 'hex'), 60));
    const endless = Buffer.concat(
      Array.from({ length: 20 }, () => Buffer.from('0000000000000000', 'hex')),
    );
    bench.send(frame(OWN, 'fe80::2', echo(), 64, endless, 0));
    expect(bench.frames.length).toBe(1);
  });

  test('fragments come together', () => {
    const body = Buffer.concat([Buffer.from('80000000', 'hex'), Buffer.alloc(36, 3)]);
    const whole = frame(OWN, 'fe80::2', body);
    const part = (offset: number, end: number, more: boolean): Buffer => {
      const extension = Buffer.from('3a00000000000007', 'hex');
      extension.writeUInt16BE(offset | (more ? 1 : 0), 2);
      const bytes = Buffer.concat([whole.subarray(0, 54), extension, body.subarray(offset, end)]);
      bytes.writeUInt16BE(8 + end - offset, 18);
      bytes[20] = 44;
      return bytes;
    };
    bench.send(part(16, 40, false));
    expect(bench.frames).toEqual([]);
    bench.send(part(0, 16, true));
    expect(read(bench.frames[0]!).body.subarray(4)).toEqual(body.subarray(4));
  });

  test('can be switched off', async () => {
    await bench.network.close();
    bench = new NetworkBench({ ipv6: false });
    bench.send(frame(OWN, 'ff02::2', Buffer.from('8500000000000000', 'hex')));
    expect(bench.frames).toEqual([]);
  });
});

test('checksums: the example of RFC 1071, odd lengths, and against the slow way', () => {
  expect(foldSum(sumBytes(Buffer.from('0001f203f4f5f6f7', 'hex'), 0, 8))).toBe(0xddf2);
  for (const length of [0, 1, 2, 3, 5, 1499, 65_535]) {
    const bytes = Buffer.alloc(length + 1, 0xff);
    for (let i = 0; i < length; i += 7) bytes[i + 1] = i & 255;
    expect(0xffff - foldSum(sumBytes(bytes, 1, length))).toBe(checksum(bytes.subarray(1)));
  }
});
