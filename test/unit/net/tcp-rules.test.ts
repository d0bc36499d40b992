/** Segments one by one: what RFC 9293 and RFC 5961 say about those that do not fit. */
import { ACK, FIN, RST, SYN, tcpFrame, type SeenSegment } from './frames.js';
import { TcpBench } from './tcp-bench.js';

const PORTS = { sourcePort: 1000, port: 80 };
const ISS = 5000;

/** A connection that is open, by hand. */
function open(): { bench: TcpBench; server: number; next: () => SeenSegment[] } {
  const bench = new TcpBench();
  const next = (): SeenSegment[] => {
    bench.clock.advance(5);
    return bench.toGuest.splice(0);
  };
  bench.input(tcpFrame({ ...PORTS, seq: ISS, flags: SYN }));
  const [answer] = next();
  expect(answer).toMatchObject({ flags: SYN | ACK, ack: ISS + 1 });
  const server = answer!.seq + 1;
  bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, ack: server, flags: ACK }));
  expect(next()).toEqual([]);
  expect(bench.users[0]!.connected).toBe(true);
  return { bench, server, next };
}

const data = (seq: number, ack: number, text: string, flags = ACK): Buffer =>
  tcpFrame({ ...PORTS, seq, ack, flags, payload: Buffer.from(text) });

describe('the handshake', () => {
  test('offers our MSS, and scaling only to a guest that offers it', () => {
    const bench = new TcpBench();
    const mss = Buffer.from([2, 4, 5, 0xb4]);
    bench.input(tcpFrame({ ...PORTS, seq: 1, flags: SYN, options: mss }));
    bench.clock.advance(5);
    expect(bench.toGuest[0]!.options).toEqual(Buffer.from([2, 4, 5, 0xb4, 1, 1, 1, 1]));
    const scaled = Buffer.from([2, 4, 5, 0xb4, 1, 3, 3, 7]);
    bench.input(tcpFrame({ ...PORTS, sourcePort: 1001, seq: 1, flags: SYN, options: scaled }));
    bench.clock.advance(5);
    expect(bench.toGuest[1]!.options).toEqual(Buffer.from([2, 4, 5, 0xb4, 1, 3, 3, 5]));
  });

  test('is answered by a RST when the other side refuses', () => {
    const bench = new TcpBench();
    bench.answer = 'refuse';
    bench.input(tcpFrame({ ...PORTS, seq: ISS, flags: SYN }));
    bench.clock.advance(5);
    expect(bench.toGuest).toMatchObject([{ flags: RST | ACK, ack: ISS + 1 }]);
    expect(bench.stack.size).toBe(0);
  });

  test('waits without an answer, and a RST of the guest ends it', () => {
    const bench = new TcpBench();
    bench.answer = 'silent';
    bench.input(tcpFrame({ ...PORTS, seq: ISS, flags: SYN }));
    bench.input(tcpFrame({ ...PORTS, seq: ISS, flags: SYN }));
    bench.clock.advance(5);
    expect(bench.toGuest).toEqual([]);
    expect(bench.stack.size).toBe(1);
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, flags: RST }));
    expect(bench).toMatchObject({ abandoned: 1 });
    expect(bench.stack.size).toBe(0);
  });

  test('repeats its SYN-ACK, and ends after a minute without an acknowledgement', () => {
    const bench = new TcpBench();
    bench.input(tcpFrame({ ...PORTS, seq: ISS, flags: SYN }));
    bench.clock.advance(120_000);
    expect(bench.toGuest.length).toBeGreaterThan(3);
    expect(bench.stack.size).toBe(0);
    expect(bench.users[0]).toMatchObject({ closed: true, failure: 'timeout' });
  });

  test('an acknowledgement of something else gets a RST', () => {
    const bench = new TcpBench();
    bench.input(tcpFrame({ ...PORTS, seq: ISS, flags: SYN }));
    bench.clock.advance(5);
    bench.toGuest.length = 0;
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, ack: 99, flags: ACK }));
    bench.clock.advance(5);
    expect(bench.toGuest).toMatchObject([{ flags: RST, seq: 99 }]);
    expect(bench.users[0]!.connected).toBe(false);
  });

  test('both may open at the same time', () => {
    const bench = new TcpBench();
    const user = bench.connect(80);
    bench.clock.advance(5);
    const [syn] = bench.toGuest.splice(0);
    expect(syn!.flags).toBe(SYN);
    const guest = { sourcePort: 80, port: 40_000 };
    bench.input(tcpFrame({ ...guest, seq: ISS, flags: SYN }));
    bench.clock.advance(5);
    expect(bench.toGuest.splice(0)).toMatchObject([{ flags: SYN | ACK, ack: ISS + 1 }]);
    bench.input(tcpFrame({ ...guest, seq: ISS + 1, ack: syn!.seq + 1, flags: ACK }));
    expect(user.connected).toBe(true);
  });
});

describe('an open connection', () => {
  test('acknowledges a batch once, and what comes early at once', () => {
    const { bench, server, next } = open();
    bench.input(data(ISS + 1, server, 'hello '));
    expect(next()).toMatchObject([{ flags: ACK, ack: ISS + 7 }]);
    bench.input(data(ISS + 9, server, 'again'));
    expect(next()).toMatchObject([{ flags: ACK, ack: ISS + 7 }]);
    bench.input(data(ISS + 7, server, '2 '));
    expect(next()).toMatchObject([{ flags: ACK, ack: ISS + 14 }]);
    expect(bench.users[0]!.bytes.toString()).toBe('hello 2 again');
  });

  test('keeps the first of bytes that overlap', () => {
    const { bench, server } = open();
    bench.input(data(ISS + 3, server, 'CCDD'));
    bench.input(data(ISS + 5, server, 'xxEE'));
    bench.input(data(ISS + 1, server, 'AABBzz'));
    expect(bench.users[0]!.bytes.toString()).toBe('AABBzzEE');
  });

  test('RFC 5961: a RST with the exact number ends it, another in the window is challenged', () => {
    const { bench, server, next } = open();
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 100, ack: server, flags: RST | ACK }));
    expect(next()).toMatchObject([{ flags: ACK, ack: ISS + 1, seq: server }]);
    bench.input(tcpFrame({ ...PORTS, seq: ISS - 1_000_000, ack: server, flags: RST | ACK }));
    expect(next()).toEqual([]);
    expect(bench.users[0]!.closed).toBe(false);
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, ack: server, flags: RST | ACK }));
    expect(bench.users[0]).toMatchObject({ closed: true, failure: 'reset' });
    expect(next()).toEqual([]);
  });

  test('RFC 5961: a SYN is challenged, not obeyed', () => {
    const { bench, next } = open();
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 50, flags: SYN }));
    expect(next()).toMatchObject([{ flags: ACK, ack: ISS + 1 }]);
    expect(bench.users[0]!.closed).toBe(false);
  });

  test('RFC 5961: data with an acknowledgement from nowhere is not taken', () => {
    const { bench, server, next } = open();
    bench.input(data(ISS + 1, server + 1000, 'future'));
    bench.input(data(ISS + 1, server - 10_000_000, 'past'));
    expect(next().every(({ ack, flags }) => ack === ISS + 1 && flags === ACK)).toBe(true);
    expect(bench.users[0]!.bytes.length).toBe(0);
  });

  test('challenges are limited to a thousand a second', () => {
    const { bench, next } = open();
    const frame = tcpFrame({ ...PORTS, seq: ISS + 50, flags: SYN });
    for (let i = 0; i < 1500; i++) bench.input(frame);
    expect(next().length).toBe(1000);
  });

  test('segments without ACK, with a wrong checksum or cut short do nothing', () => {
    const { bench, server, next } = open();
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, flags: 0, payload: Buffer.from('x') }));
    const broken = data(ISS + 1, server, 'x');
    broken[broken.length - 1]! ^= 1;
    bench.input(broken);
    bench.input(data(ISS + 1, server, 'x').subarray(0, 50));
    expect(next()).toEqual([]);
    expect(bench.users[0]!.bytes.length).toBe(0);
  });

  test('three duplicate acknowledgements bring the first segment again, once', () => {
    const { bench, server, next } = open();
    bench.users[0]!.write(Buffer.alloc(10_000, 1));
    const sent = next();
    expect(sent.length).toBeGreaterThan(4);
    for (let i = 0; i < 6; i++) {
      bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, ack: server, flags: ACK }));
    }
    const again = next();
    expect(again.length).toBe(1);
    expect(again[0]).toMatchObject({ seq: server, payload: sent[0]!.payload });
  });
});

describe('the end', () => {
  test('the guest ends first; the other side can go on and ends later', () => {
    const { bench, server, next } = open();
    const user = bench.users[0]!;
    bench.input(data(ISS + 1, server, 'bye', ACK | FIN));
    expect(next()).toMatchObject([{ ack: ISS + 5 }]);
    expect(user).toMatchObject({ ended: true, closed: false });
    user.write(Buffer.from('still here'));
    user.connection.end();
    const [text, fin] = next();
    expect(text).toMatchObject({ seq: server, payload: Buffer.from('still here') });
    expect(fin).toMatchObject({ seq: server + 10, flags: FIN | ACK });
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 5, ack: server + 11, flags: ACK }));
    expect(user).toMatchObject({ closed: true, failure: undefined });
    expect(bench.stack.size).toBe(0);
  });

  test('the other side ends first; the guest can go on; then TIME_WAIT', () => {
    const { bench, server, next } = open();
    const user = bench.users[0]!;
    user.connection.end();
    expect(next()).toMatchObject([{ flags: FIN | ACK, seq: server }]);
    bench.input(data(ISS + 1, server + 1, 'and another thing'));
    expect(next()).toMatchObject([{ ack: ISS + 18 }]);
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 18, ack: server + 1, flags: FIN | ACK }));
    expect(next()).toMatchObject([{ ack: ISS + 19, flags: ACK }]);
    expect(user).toMatchObject({ ended: true, closed: true, failure: undefined });
    // The guest has not seen it: it sends its FIN again.
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 18, ack: server + 1, flags: FIN | ACK }));
    expect(next()).toMatchObject([{ ack: ISS + 19, flags: ACK }]);
    expect(bench.stack.size).toBe(1);
    bench.clock.advance(10_000);
    expect(bench.stack.size).toBe(0);
  });

  test('both end at the same time', () => {
    const { bench, server, next } = open();
    bench.users[0]!.connection.end();
    next();
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, ack: server, flags: FIN | ACK }));
    expect(next()).toMatchObject([{ ack: ISS + 2 }]);
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 2, ack: server + 1, flags: ACK }));
    expect(bench.users[0]).toMatchObject({ closed: true, failure: undefined });
    bench.clock.advance(10_000);
    expect(bench.stack.size).toBe(0);
  });

  test('a new connection may follow over the ends of one in TIME_WAIT', () => {
    const { bench, server, next } = open();
    bench.users[0]!.connection.end();
    next();
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 1, ack: server + 1, flags: FIN | ACK }));
    next();
    bench.input(tcpFrame({ ...PORTS, seq: ISS + 90_000, flags: SYN }));
    expect(next()).toMatchObject([{ flags: SYN | ACK, ack: ISS + 90_001 }]);
    expect(bench.users.length).toBe(2);
  });

  test('an abort is a RST', () => {
    const { bench, server, next } = open();
    bench.users[0]!.connection.abort();
    expect(next()).toMatchObject([{ flags: RST | ACK, seq: server, ack: ISS + 1 }]);
    expect(bench.stack.size).toBe(0);
  });

  test('a segment of no connection gets a RST, a RST gets nothing', () => {
    const bench = new TcpBench();
    bench.input(tcpFrame({ ...PORTS, seq: 1, ack: 700, flags: ACK }));
    bench.input(tcpFrame({ ...PORTS, seq: 1, flags: FIN, payload: Buffer.from('abc') }));
    bench.input(tcpFrame({ ...PORTS, seq: 1, flags: RST }));
    bench.clock.advance(5);
    expect(bench.toGuest).toMatchObject([
      { flags: RST, seq: 700 },
      { flags: RST | ACK, ack: 5 },
    ]);
  });
});

describe('bounds', () => {
  test('F8: 10^5 SYNs leave a bounded number of connections', () => {
    const bench = new TcpBench(undefined, undefined, 100, 50);
    bench.answer = 'silent';
    const frame = tcpFrame({ ...PORTS, seq: 1, flags: SYN });
    for (let i = 0; i < 100_000; i++) {
      frame.writeUInt16BE(1 + (i % 60_000), 34);
      frame.writeUInt16BE(1 + (i >> 4), 36);
      bench.input(frame, true);
    }
    expect(bench.stack.size).toBe(50);
    expect(bench.stack.overflows).toBe(100_000 - 50);
    expect(bench.pool.inUse).toBe(0);
  });

  test('beyond the limit of connections a SYN is refused, and TIME_WAIT gives way', () => {
    const bench = new TcpBench(undefined, undefined, 3, 3);
    for (let i = 0; i < 4; i++) {
      bench.input(tcpFrame({ sourcePort: 100 + i, port: 80, seq: ISS, flags: SYN }));
    }
    bench.clock.advance(5);
    const answers = bench.toGuest.splice(0);
    expect(answers.map(({ flags }) => flags)).toEqual([SYN | ACK, SYN | ACK, SYN | ACK, RST | ACK]);
    const seq = answers[0]!.seq + 1;
    const ports = { sourcePort: 100, port: 80 };
    bench.input(tcpFrame({ ...ports, seq: ISS + 1, ack: seq, flags: ACK }));
    bench.users[0]!.connection.end();
    bench.input(tcpFrame({ ...ports, seq: ISS + 1, ack: seq + 1, flags: FIN | ACK }));
    bench.clock.advance(5);
    bench.toGuest.length = 0;
    bench.input(tcpFrame({ sourcePort: 104, port: 80, seq: ISS, flags: SYN }));
    bench.clock.advance(5);
    expect(bench.toGuest).toMatchObject([{ flags: SYN | ACK }]);
  });

  test('what comes early is kept up to a bound', () => {
    const { bench, server } = open();
    const { connection } = bench.users[0]!;
    for (let i = 1; i < 5000; i++) {
      bench.input(data(ISS + 1 + 10 * i, server, 'x'));
    }
    expect(connection.receiver.bytesWaiting).toBeLessThanOrEqual(128);
    expect(bench.users[0]!.bytes.length).toBe(0);
  });

  test('data beyond the window is cut off', () => {
    const { bench, server } = open();
    const user = bench.users[0]!;
    user.autoConsume = false;
    user.limit = 0;
    for (let at = 0; at < 200_000; at += 1000) {
      bench.input(data(ISS + 1 + at, server, 'x'.repeat(1000)));
    }
    expect(user.bytes.length).toBeLessThanOrEqual(0xffff);
  });
});
