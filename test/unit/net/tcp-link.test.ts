/** TCP against another TCP over links of all kinds, in a time of their own. */
import { GsoType } from '../../../src/net/net-backend.js';
import { Random } from '../virtio/fuzz.js';
import { CALM, TcpBench, type Weather } from './tcp-bench.js';

function pattern(length: number, salt: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + salt) & 255;
  return bytes;
}

const BAD: Weather = { loss: 3, duplicates: 3, delay: 5, jitter: 20 };
const AWFUL: Weather = { loss: 20, duplicates: 10, delay: 5, jitter: 50 };

describe('a transfer both ways', () => {
  test.each([
    ['calm', CALM, 1],
    ['bad', BAD, 2],
    ['bad', BAD, 3],
    ['awful', AWFUL, 4],
    ['awful', AWFUL, 5],
    ['awful', AWFUL, 6],
  ])('comes through a %s link, seed %#', (_, weather, seed) => {
    const bench = new TcpBench(new Random(seed), weather);
    const peer = bench.createPeer();
    const up = pattern(150_000, seed);
    const down = pattern(200_000, seed + 1);
    peer.connect();
    bench.clock.advance(60_000, () => bench.users.length > 0);
    const user = bench.users[0]!;
    user.write(down);
    peer.write(up);
    peer.end();
    user.connection.end();
    const done = (): boolean => user.closed && peer.remoteEnded && peer.sentAll;
    bench.clock.advance(3_600_000, done);
    expect(peer.received.equals(down)).toBe(true);
    expect(user.bytes.equals(up)).toBe(true);
    expect(user).toMatchObject({ ended: true, closed: true, failure: undefined });
    bench.clock.advance(60_000);
    expect(bench.stack.size).toBe(0);
    expect(bench.pool.inUse).toBe(0);
  });

  test('comes through links of many seeds, whoever opens and ends first', () => {
    for (let seed = 100; seed < 130; seed++) {
      const random = new Random(seed);
      const weather = {
        loss: random.below(25),
        duplicates: random.below(20),
        delay: 1 + random.below(20),
        jitter: 1 + random.below(80),
      };
      const bench = new TcpBench(random, weather);
      bench.offloads = random.chance(50)
        ? { csum: true, tso4: random.chance(50), tso6: false }
        : bench.offloads;
      const active = random.chance(50);
      const peer = bench.createPeer(
        active ? { port: 40_000, sourcePort: 80, scale: 2 } : { scale: random.below(8) },
      );
      const up = pattern(random.below(60_000), seed);
      const down = pattern(random.below(60_000), seed + 1);
      if (active) {
        peer.listen();
        bench.connect(80);
      } else {
        peer.connect();
      }
      bench.clock.advance(120_000, () => bench.users.length > 0);
      const user = bench.users[0]!;
      const [first, second] = random.chance(50) ? [0, 300] : [300, 0];
      bench.clock.after(first, () => {
        user.write(down);
        user.connection.end();
      });
      bench.clock.after(second, () => {
        peer.write(up);
        peer.end();
      });
      bench.clock.advance(7_200_000, () => user.closed && peer.remoteEnded && peer.sentAll);
      expect({ seed, equal: peer.received.equals(down) }).toEqual({ seed, equal: true });
      expect({ seed, equal: user.bytes.equals(up) }).toEqual({ seed, equal: true });
      expect({ seed, failure: user.failure }).toEqual({ seed, failure: undefined });
      bench.clock.advance(120_000);
      expect({ seed, size: bench.stack.size, held: bench.pool.inUse }).toEqual({
        seed,
        size: 0,
        held: 0,
      });
    }
  });
});

test('large frames with partial checksums go to a guest that takes them', () => {
  const bench = new TcpBench();
  bench.offloads = { csum: true, tso4: true, tso6: true };
  const types: number[] = [];
  bench.link.tap = { toGuest: ({ meta }) => types.push(meta.gsoType) };
  const peer = bench.createPeer({ scale: 7 });
  peer.window = 1 << 20;
  peer.connect();
  bench.clock.advance(100);
  const down = pattern(500_000, 1);
  bench.users[0]!.write(down);
  bench.clock.advance(10_000);
  expect(peer.received.equals(down)).toBe(true);
  expect(types).toContain(GsoType.Tcp4);
  expect(bench.segments).toBeLessThan(100);
});

test('a guest without buffers is waited for, and nothing is lost or sent twice', () => {
  const bench = new TcpBench();
  const peer = bench.createPeer();
  peer.connect();
  bench.clock.advance(100);
  const user = bench.users[0]!;
  const down = pattern(50_000, 3);
  bench.hasRoom = false;
  user.write(down);
  const before = bench.segments;
  bench.clock.advance(3_600_000);
  expect(bench.segments).toBe(before);
  bench.roomAgain();
  bench.clock.advance(1000);
  expect(peer.received.equals(down)).toBe(true);
  expect(bench.segments - before).toBeLessThan(50);
});

test('a zero window stops the sender, which asks until it opens', () => {
  const bench = new TcpBench();
  const peer = bench.createPeer();
  peer.window = 0;
  peer.connect();
  bench.clock.advance(100);
  const user = bench.users[0]!;
  const down = pattern(20_000, 4);
  user.write(down);
  bench.clock.advance(600_000);
  expect(peer.received.length).toBe(0);
  expect(user.closed).toBe(false);
  // Silently: only the next probe finds out.
  peer.window = 60_000;
  bench.clock.advance(120_000);
  expect(peer.received.equals(down)).toBe(true);
});

test('a host that takes nothing closes the window, and opens it again', () => {
  const bench = new TcpBench();
  const peer = bench.createPeer();
  peer.connect();
  bench.clock.advance(100);
  const user = bench.users[0]!;
  user.autoConsume = false;
  const up = pattern(500_000, 5);
  peer.write(up);
  bench.clock.advance(20_000);
  expect(user.bytes.length).toBeLessThanOrEqual(user.limit);
  expect(user.bytes.length).toBeGreaterThan(user.limit - 5000);
  const { retransmissions } = peer;
  user.autoConsume = true;
  user.consume();
  bench.clock.advance(60_000);
  expect(user.bytes.equals(up)).toBe(true);
  expect(peer.retransmissions).toBeLessThan(retransmissions + 10);
});

test('a guest that falls silent is given up after some minutes', () => {
  const bench = new TcpBench();
  const peer = bench.createPeer();
  peer.connect();
  bench.clock.advance(100);
  bench.peer = undefined;
  bench.users[0]!.write(Buffer.from('anybody there?'));
  bench.clock.advance(60_000);
  expect(bench.users[0]!.closed).toBe(false);
  bench.clock.advance(600_000);
  expect(bench.users[0]).toMatchObject({ closed: true, failure: 'timeout' });
  expect(bench.stack.size).toBe(0);
});

test('an idle connection is probed, kept while the guest answers and ended when it does not', () => {
  const bench = new TcpBench();
  bench.createPeer().connect();
  bench.clock.advance(100);
  bench.clock.advance(24 * 3_600_000);
  expect(bench.users[0]!.closed).toBe(false);
  bench.peer = undefined;
  bench.clock.advance(3_600_000);
  expect(bench.users[0]).toMatchObject({ closed: true, failure: 'timeout' });
});
