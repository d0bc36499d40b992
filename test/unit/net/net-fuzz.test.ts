/** Random frames and segments: nothing throws, hangs or grows, and what is right still works. */
import { readTcp, SYN, tcpFrame, udpFrame } from './frames.js';
import { arp, dnsQuery, GATEWAY, GUEST, GUEST_MAC, NetworkBench, ping } from './network-bench.js';
import { fuzz, type Random } from '../virtio/fuzz.js';
import { CALM, TcpBench } from './tcp-bench.js';

const V6_ECHO = Buffer.from(
  `52550a000202${GUEST_MAC}86dd6000000000083a40fe80000000000000505400fffe123456fe8000000000000000000000000000028000000000000001`,
  'hex',
);
const V6_FRAGMENT = Buffer.from(
  `52550a000202${GUEST_MAC}86dd6000000000182cfffe80000000000000505400fffe123456fe8000000000000000000000000000023a0000010000000180000000000000010102030405060708`,
  'hex',
);

function seeds(): Buffer[] {
  const dhcp = Buffer.alloc(250);
  dhcp.write('010106', 'hex');
  dhcp.write('63825363350103ff', 236, 'hex');
  return [
    ping(),
    arp(1, GUEST, GUEST_MAC, GATEWAY),
    udpFrame(5000, 53, dnsQuery('lab', 1, 1)),
    udpFrame(68, 67, dhcp, {
      source: '0.0.0.0',
      destination: '255.255.255.255',
      to: 'ffffffffffff',
    }),
    udpFrame(9, 9, Buffer.alloc(20), { destination: '127.0.0.1' }),
    tcpFrame({
      sourcePort: 5,
      port: 53,
      seq: 1,
      flags: SYN,
      options: Buffer.from('020405b401030307', 'hex'),
    }),
    ping(GATEWAY, 64, { fragment: 0x2000 }),
    V6_ECHO,
    V6_FRAGMENT,
  ];
}

function mutate(random: Random, frame: Buffer): Buffer {
  let bytes = Buffer.from(frame);
  for (let i = random.below(6); i > 0; i--) bytes[random.below(bytes.length)] = random.below(256);
  if (random.chance(20))
    bytes.writeUInt16BE(random.word() & 0xffff, random.below(bytes.length - 1));
  if (random.chance(20)) bytes = bytes.subarray(0, random.below(bytes.length + 1));
  if (random.chance(5))
    bytes = Buffer.concat([bytes, Buffer.alloc(random.below(2000), random.below(256))]);
  return bytes;
}

test('F1, F2: frames of anything, with any header, do no harm to the gateway', async () => {
  const bench = new NetworkBench({ hostName: 'lab', dns: ['127.0.0.1:1'] });
  const frames = seeds();
  let count = 0;
  fuzz((random) => {
    for (let i = 0; i < 200; i++, count++) {
      const meta = {
        needsCsum: random.chance(70),
        csumStart: random.word() & 0xffff,
        csumOffset: random.word() & 0xffff,
        gsoType: random.below(256),
        gsoSize: random.word() & 0xffff,
        headerLength: random.word() & 0xffff,
      };
      bench.send(mutate(random, random.pick(frames)), meta);
    }
    bench.frames.length = 0;
    const { tcpConnections, udpSessions, bufferedBytes, reassemblyBytes } =
      bench.network.statistics;
    expect(tcpConnections).toBeLessThanOrEqual(4096);
    expect(udpSessions).toBeLessThanOrEqual(1024);
    expect(bufferedBytes).toBeLessThan(80 << 20);
    expect(reassemblyBytes).toBeLessThan(2 << 20);
  });
  expect(count).toBeGreaterThan(200);
  bench.send(ping());
  expect(bench.frames.length).toBeGreaterThan(0);
  await bench.network.close();
});

test('a TCP connection survives segments of anything, or ends; memory stays bounded', () => {
  fuzz((random) => {
    const bench = new TcpBench(random, CALM, 8, 4);
    bench.offloads = { csum: true, tso4: random.chance(50), tso6: false };
    const ports = { sourcePort: 1000, port: 80 };
    const seq = random.word();
    bench.input(tcpFrame({ ...ports, seq, flags: SYN, window: random.word() & 0xffff }));
    bench.clock.advance(2);
    let ack = bench.toGuest[0]!.seq + 1;
    for (let i = 0; i < 60; i++) {
      const payload = random.chance(50) ? Buffer.alloc(random.below(1460), i) : Buffer.alloc(0);
      const near = (base: number): number =>
        base +
        random.pick([0, 0, 0, 1, -1, random.below(70_000), -random.below(70_000), random.word()]);
      bench.input(
        tcpFrame({
          ...ports,
          seq: near(seq + 1 + i),
          ack: near(ack),
          flags: random.chance(60) ? 16 : random.below(64),
          window: random.chance(50) ? 0xffff : random.word() & 0xffff,
          payload,
        }),
        random.chance(90),
      );
      const user = bench.users.at(-1);
      if (user !== undefined && !user.closed) {
        if (random.chance(20)) user.write(Buffer.alloc(random.below(20_000), i));
        if (random.chance(3)) user.connection.end();
        if (random.chance(2)) user.connection.abort();
        if (random.chance(10)) user.autoConsume = random.chance(50);
      }
      if (random.chance(10)) bench.hasRoom = false;
      if (random.chance(20)) bench.roomAgain();
      bench.clock.advance(random.below(400));
      for (const segment of bench.toGuest.splice(0)) {
        ack = Math.max(ack, segment.seq + segment.payload.length);
      }
      expect(bench.stack.size).toBeLessThanOrEqual(8);
      expect(bench.pool.inUse).toBeLessThan(4 << 20);
    }
    // Whatever it was in the middle of: in the end it is gone, with all its buffers.
    bench.roomAgain();
    bench.users.forEach(({ connection }) => connection.end());
    bench.clock.advance(24 * 3_600_000);
    expect(bench.stack.size).toBe(0);
    expect(bench.pool.inUse).toBe(0);
  });
});

test('the seeds are what they seem', () => {
  expect(readTcp(seeds()[5]!).flags).toBe(SYN);
});
