/** Flows between a guest of frames and real sockets: TCP, UDP, DNS, and the policy on them. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { MessageChannel } from 'node:worker_threads';
import type { UserNetOptions } from '../../../src/net/options.js';
import type { Verdict } from '../../../src/net/events.js';
import { decideOverPort, serveDecisions } from '../../../src/net/policy/decisions.js';
import { parseAllowNet } from '../../../src/net/policy/target.js';
import type { UserNetSurroundings } from '../../../src/net/user-network.js';
import { readIpv4, readTcp, RST, SYN, tcpFrame, udpFrame } from './frames.js';
import { thrownBy } from '../../support/thrown.js';
import { dnsQuery, GATEWAY, NetworkBench, readAnswer, until } from './network-bench.js';
import type { TcpPeer } from './tcp-peer.js';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function network(
  options: Partial<UserNetOptions> = {},
  surroundings: UserNetSurroundings = {},
): NetworkBench {
  const bench = new NetworkBench({ host: true, ...options }, surroundings);
  closers.push(() => bench.network.close());
  return bench;
}

async function serve(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 1024, resolve));
  return (server.address() as AddressInfo).port;
}

let nextPort = 20_000;
function open(bench: NetworkBench, port: number, destination?: string): TcpPeer {
  const peer = bench.peer({
    sourcePort: nextPort++,
    port,
    seq: nextPort * 99_991,
    scale: 3,
    ...(destination === undefined ? {} : { destination }),
  });
  peer.connect();
  return peer;
}

/** How many files this process may have open. */
function softLimit(files: string): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${files}:`]);
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('TCP', () => {
  test('carries bytes both ways, and half closes both ways', async () => {
    const bench = network();
    const down = randomBytes(1 << 20);
    const up = randomBytes(300_000);
    let got = Buffer.alloc(0);
    const port = await serve((socket) => {
      socket.on('data', (bytes) => (got = Buffer.concat([got, bytes])));
      socket.on('end', () => socket.end(down));
    });
    const peer = open(bench, port);
    peer.write(up);
    peer.end();
    await until(() => peer.remoteEnded, 'the answer');
    expect(sha(peer.received)).toBe(sha(down));
    expect(sha(got)).toBe(sha(up));
    await until(() => bench.events.some(({ type }) => type === 'closed'), 'the report');
    expect(bench.events).toMatchObject([
      { type: 'flow', protocol: 'tcp', address: GATEWAY, port, verdict: 'allow' },
      { type: 'closed', bytesToHost: up.length, bytesToGuest: down.length },
    ]);
  });

  test('the host ends first, the guest goes on', async () => {
    const bench = network();
    let got = '';
    const port = await serve((socket) => {
      socket.end('that is all');
      socket.on('data', (bytes) => (got += bytes.toString()));
    });
    const peer = open(bench, port);
    await until(() => peer.remoteEnded);
    expect(peer.received.toString()).toBe('that is all');
    peer.write(Buffer.from('not for me'));
    peer.end();
    await until(() => got === 'not for me');
  });

  test('resets pass both ways', async () => {
    const bench = network();
    const errors: (string | undefined)[] = [];
    const port = await serve((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code));
      socket.on('data', () => socket.resetAndDestroy());
    });
    const first = open(bench, port);
    await until(() => first.state === 'open');
    first.reset();
    await until(() => errors.includes('ECONNRESET'));
    const second = open(bench, port);
    second.write(Buffer.from('x'));
    await until(() => second.state === 'reset');
    await until(() => bench.network.statistics.tcpConnections === 0);
  });

  test('a port where nobody listens is refused at once', async () => {
    const bench = network();
    const port = await serve(() => undefined);
    closers.pop()!();
    const peer = open(bench, port);
    await until(() => peer.state === 'reset');
  });

  test('a slow reader on either side holds the other one up, within bounds', async () => {
    const bench = network();
    const big = randomBytes(12 << 20);
    let socket: Socket | undefined;
    let got = 0;
    const port = await serve((accepted) => {
      socket = accepted.pause();
      accepted.on('data', (bytes) => (got += bytes.length));
      accepted.write(big);
    });
    const peer = open(bench, port);
    peer.setWindow(0);
    peer.write(big.subarray(0, 9 << 20));
    let last = -1;
    await until(() => {
      const { bufferedBytes } = bench.network.statistics;
      const steady = bufferedBytes === last && bufferedBytes > 1 << 20;
      last = bufferedBytes;
      return steady;
    }, 'full buffers');
    expect(last).toBeLessThan(4 << 20);
    socket!.resume();
    await until(() => got === 9 << 20, 'what the guest sent');
    expect(peer.received.length).toBeLessThan(100_000);
  });

  test('a thousand connections at once, all of them right', async () => {
    const bench = network();
    const port = await serve((socket) => socket.pipe(socket));
    const peers = Array.from({ length: 1000 }, () => open(bench, port));
    await until(() => peers.every(({ state }) => state === 'open'), 'a thousand connections');
    expect(bench.network.statistics.tcpConnections).toBe(1000);
    expect(bench.network.statistics.bufferedBytes).toBeLessThan(10 << 20);
    peers.forEach((peer, i) => {
      peer.write(Buffer.from(`connection ${i}`));
      peer.end();
    });
    await until(() => peers.every(({ remoteEnded }) => remoteEnded), 'a thousand answers');
    peers.forEach((peer, i) => expect(peer.received.toString()).toBe(`connection ${i}`));
    await until(() => bench.network.statistics.bufferedBytes === 0, 'buffers to go');
  });

  test('a process without any more files refuses, says why, and goes on when there are some', async () => {
    const lines: string[] = [];
    const bench = network({}, { warn: (line) => lines.push(line) });
    const port = await serve((socket) => socket.end('hello'));
    const fds: number[] = [];
    let refused: TcpPeer;
    const limit = /^Max open files +(\w+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))![1]!;
    softLimit('2048');
    try {
      const code = thrownBy(() => {
        for (;;) fds.push(openSync('/dev/null', 'r'));
      }) as NodeJS.ErrnoException;
      expect(code.code).toBe('EMFILE');
      refused = open(bench, port);
      await until(() => refused.state === 'reset', 'a refusal');
    } finally {
      for (const fd of fds) closeSync(fd);
      softLimit(limit);
    }
    expect(lines).toEqual([
      'connections of the guest are refused: no more open files (EMFILE); see ulimit -n',
    ]);
    const peer = open(bench, port);
    await until(() => peer.remoteEnded, 'the answer');
    expect(peer.received.toString()).toBe('hello');
  });

  test('10^4 SYNs to a blocked guest leave sockets and memory bounded', async () => {
    const bench = network({ maxConnections: 200 });
    const port = await serve(() => undefined);
    const frame = tcpFrame({ sourcePort: 1, port, seq: 1, flags: SYN });
    const meta = {
      needsCsum: true,
      csumStart: 0,
      csumOffset: 0,
      gsoType: 0,
      gsoSize: 0,
      headerLength: 0,
    };
    bench.hasRoom = false;
    for (let i = 0; i < 10_000; i++) {
      frame.writeUInt16BE(1 + i, 34);
      bench.send(frame, meta);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(bench.network.statistics.tcpConnections).toBeLessThanOrEqual(200);
    expect(bench.network.statistics.bufferedBytes).toBeLessThan(8 << 20);
  });
});

describe('UDP', () => {
  async function echo(): Promise<UdpSocket> {
    const socket = createSocket('udp4');
    socket.on('message', (bytes, { address, port }) => socket.send(bytes, port, address));
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    closers.push(() => socket.close());
    return socket;
  }

  test('goes and comes back', async () => {
    const bench = network();
    const { port } = (await echo()).address();
    bench.send(udpFrame(7000, port, Buffer.from('marco')));
    const { source, body } = await bench.packet(17);
    expect(source).toBe(GATEWAY);
    expect([body.readUInt16BE(0), body.readUInt16BE(2)]).toEqual([port, 7000]);
    expect(body.subarray(8).toString()).toBe('marco');
  });

  test('F9: frames of the guest go on while it has no buffers', async () => {
    const bench = network();
    const socket = await echo();
    let got = 0;
    socket.on('message', () => got++);
    bench.hasRoom = false;
    for (let i = 0; i < 20; i++) {
      bench.send(udpFrame(7100 + i, socket.address().port, Buffer.from('x')));
    }
    await until(() => got === 20);
    bench.hasRoom = true;
    bench.network.onRoom();
    await bench.packet(17);
  });

  test('10^5 ports leave a bounded number of sockets', async () => {
    const bench = network();
    const { port } = (await echo()).address();
    const frame = udpFrame(1, port, Buffer.from('x'));
    const meta = {
      needsCsum: true,
      csumStart: 0,
      csumOffset: 0,
      gsoType: 0,
      gsoSize: 0,
      headerLength: 0,
    };
    for (let i = 0; i < 100_000; i++) {
      frame.writeUInt16BE(1 + (i % 65_000), 34);
      bench.send(frame, meta);
    }
    expect(bench.network.statistics.udpSessions).toBe(1024);
    expect(bench.network.statistics.udpOverflows).toBeGreaterThan(90_000);
  });

  test('a published port carries datagrams to the guest, and its answers back', async () => {
    const publish = [
      { protocol: 'udp', hostAddress: '127.0.0.1', hostPort: 0, guestPort: 99 } as const,
    ];
    const bench = network({ publish });
    const [port] = await bench.network.open();
    bench.announce();
    const socket = createSocket('udp4');
    closers.push(() => socket.close());
    const answers: string[] = [];
    socket.on('message', (bytes) => answers.push(bytes.toString()));
    socket.send('question', port, '127.0.0.1');
    const { body } = await bench.packet(17);
    expect(body.readUInt16BE(2)).toBe(99);
    bench.send(udpFrame(99, body.readUInt16BE(0), Buffer.from('answer')));
    await until(() => answers.length > 0);
    expect(answers).toEqual(['answer']);
  });
});

describe('published TCP ports', () => {
  test('lead to the guest, whose refusal is passed on', async () => {
    const publish = [
      { protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: 0, guestPort: 80 } as const,
    ];
    const bench = network({ publish });
    const [port] = await bench.network.open();
    const peer = bench.peer({ sourcePort: 80, port: 0, seq: 1, scale: 2 });
    peer.listen();
    const socket = connect(port!, '127.0.0.1');
    closers.push(() => socket.destroy());
    let got = '';
    socket.on('data', (bytes) => (got += bytes.toString()));
    socket.write('GET /');
    // The guest is not known yet: it is asked for, then says where it is.
    await bench.next((frame) => frame.readUInt16BE(12) === 0x0806);
    bench.announce();
    await until(() => peer.received.toString() === 'GET /');
    peer.write(Buffer.from('200'));
    await until(() => got === '200');
    peer.reset();
    await new Promise<void>((resolve) => {
      socket.on('error', () => resolve());
    });
  });

  test('that are taken are refused with one line and a hint', async () => {
    const hostPort = await serve(() => undefined);
    const publication = {
      protocol: 'tcp',
      hostAddress: '127.0.0.1',
      hostPort,
      guestPort: 80,
    } as const;
    const bench = network({ publish: [publication] });
    await expect(bench.network.open()).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: `port 127.0.0.1:${hostPort}/tcp of the host is taken`,
      hint: expect.stringContaining('publish another') as string,
    });
  });
});

/** The name of a question. */
function readName(query: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; query[at] !== 0; at += 1 + query[at]!) {
    labels.push(query.subarray(at + 1, at + 1 + query[at]!).toString());
  }
  return labels.join('.');
}

/** A resolver that knows `*.example.org`, and what it was asked. */
async function resolver(asked: string[] = []): Promise<string> {
  const socket = createSocket('udp4');
  socket.on('message', (query, { address, port }) => {
    const end = query.indexOf(0, 12) + 5;
    const name = readName(query);
    asked.push(name);
    const answer = Buffer.concat([
      query.subarray(0, end),
      Buffer.from('c00c000100010000003c0004c6336407', 'hex'),
    ]);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 6);
    answer.writeUInt16BE(0, 10);
    // Somebody who guesses the wrong id comes first.
    const forged = Buffer.from(answer);
    forged[0]! ^= 0xff;
    socket.send(forged, port, address);
    socket.send(answer, port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  closers.push(() => socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

describe('DNS', () => {
  test('forwards questions with ids of its own, and gives the answer', async () => {
    const asked: string[] = [];
    const bench = network({ dns: [await resolver(asked)] });
    const answer = await bench.lookup('www.example.org', 1, 4711);
    expect(answer).toMatchObject({ id: 4711, code: 0, answers: 1, last: '198.51.100.7' });
    expect(asked).toEqual(['www.example.org']);
  });

  test('knows the guest, and /etc/hosts with the host behind the gateway', async () => {
    const { writeFileSync, mkdtempSync, rmSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const directory = mkdtempSync(`${tmpdir()}/vexit-hosts-`);
    closers.push(() => rmSync(directory, { recursive: true }));
    const hostsFile = `${directory}/hosts`;
    writeFileSync(hostsFile, '127.0.0.1 localhost\n192.0.2.9 Nine nine.lan # nine\n127.0.1.1 me\n');
    const bench = network({ hostName: 'lab', dns: ['127.0.0.1:1'] }, { hostsFile });
    expect(await bench.lookup('LAB')).toMatchObject({ last: '10.0.2.15', answers: 1 });
    expect(await bench.lookup('nine.lan')).toMatchObject({ last: '192.0.2.9' });
    expect(await bench.lookup('me')).toMatchObject({ last: '10.0.2.2' });
    expect(await bench.lookup('localhost')).toMatchObject({ last: '127.0.0.1' });
    expect(await bench.lookup('nine.lan', 28)).toMatchObject({ code: 0, answers: 0 });
  });

  test('a resolver that is not there is a failure, soon', async () => {
    const bench = network({ dns: ['127.0.0.1:1'] });
    expect(await bench.lookup('www.example.org')).toMatchObject({ code: 2 });
  });

  test('answers over TCP, several questions in a stream', async () => {
    const bench = network({ hostName: 'lab' });
    const peer = open(bench, 53);
    const message = (id: number): Buffer => {
      const query = dnsQuery('lab', 1, id);
      return Buffer.concat([Buffer.from([0, query.length]), query]);
    };
    const both = Buffer.concat([message(1), message(2)]);
    peer.write(both.subarray(0, 20));
    peer.write(both.subarray(20));
    peer.end();
    await until(() => peer.remoteEnded);
    const first = peer.received.subarray(2, 2 + peer.received.readUInt16BE(0));
    const second = peer.received.subarray(4 + first.length);
    expect([readAnswer(first), readAnswer(second)]).toMatchObject([
      { id: 1, last: '10.0.2.15' },
      { id: 2, last: '10.0.2.15' },
    ]);
  });

  test('messages cut short, of odd kinds or with names that loop do no harm', async () => {
    const bench = network({ hostName: 'lab' });
    const query = dnsQuery('lab', 1, 1);
    for (let length = 0; length < query.length; length++) {
      bench.send(udpFrame(5000, 53, query.subarray(0, length)));
    }
    const loop = Buffer.from(`${query.subarray(0, 12).toString('hex')}c00c00010001`, 'hex');
    bench.send(udpFrame(5000, 53, loop));
    bench.frames.length = 0;
    const status = Buffer.from(query);
    status[2] = 0x10;
    bench.send(udpFrame(5000, 53, status));
    expect(readIpv4(bench.frames.shift()!).body[8 + 3]! & 15).toBe(4);
    expect(await bench.lookup('lab')).toMatchObject({ last: '10.0.2.15' });
  });

  test('a name made of the header, another one for the resolver, is malformed', () => {
    const bench = network({ hostName: 'a' });
    // The pointer leads to the id, which reads as the label "a".
    const query = Buffer.from('016100000001000000000000c00000010001', 'hex');
    bench.send(udpFrame(5000, 53, query));
    const { body } = readIpv4(bench.frames.shift()!);
    expect(readAnswer(body.subarray(8))).toMatchObject({ id: 0x0161, code: 1, answers: 0 });
  });
});

describe('the policy', () => {
  const allow = parseAllowNet('www.example.org:443');

  test('one name is allowed: all else fails quickly, look-ups too, and is reported', async () => {
    const asked: string[] = [];
    const bench = network({ allow, dns: [await resolver(asked)] });
    expect(await bench.lookup('evil.example.net')).toMatchObject({ code: 3, answers: 0 });
    expect(await bench.lookup('www.example.org')).toMatchObject({ code: 0 });
    expect(asked).toEqual(['www.example.org']);
    const port = await serve(() => undefined);
    const denied = open(bench, port);
    await until(() => denied.state === 'reset');
    bench.send(udpFrame(1234, 9, Buffer.from('x')));
    expect([...(await bench.packet(1)).body.subarray(0, 2)]).toEqual([3, 13]);
    expect(bench.events).toMatchObject([
      { type: 'lookup', name: 'evil.example.net', recordType: 'A', verdict: 'deny' },
      { type: 'lookup', name: 'www.example.org', verdict: 'allow', reason: 'rule' },
      { type: 'flow', protocol: 'tcp', port, verdict: 'deny', reason: 'default' },
      { type: 'flow', protocol: 'udp', port: 9, verdict: 'deny', reason: 'default' },
    ]);
  });

  test('an address has the names it was given as an answer, for the callback to see', async () => {
    const seen: unknown[] = [];
    const bench = network(
      { dns: [await resolver()] },
      {
        decide: async (request) => {
          seen.push(request);
          await Promise.resolve();
          return request.type === 'lookup' ? 'allow' : 'deny';
        },
      },
    );
    await bench.lookup('www.example.org');
    const peer = open(bench, 443, '198.51.100.7');
    await until(() => peer.state === 'reset');
    expect(seen).toEqual([
      { type: 'lookup', name: 'www.example.org', recordType: 'A' },
      {
        type: 'flow',
        protocol: 'tcp',
        address: '198.51.100.7',
        port: 443,
        names: ['www.example.org'],
      },
    ]);
  });

  test('a callback in another thread decides, one that throws denies', async () => {
    const { port1, port2 } = new MessageChannel();
    closers.push(() => port1.close());
    serveDecisions(port1, async (request): Promise<Verdict> => {
      await Promise.resolve();
      if (request.type === 'flow' && request.port === 1) throw new Error('no');
      return 'allow';
    });
    const bench = network({}, { decide: decideOverPort(port2) });
    const port = await serve((socket) => socket.end('in'));
    const peer = open(bench, port);
    await until(() => peer.received.toString() === 'in');
    const denied = open(bench, 1);
    await until(() => denied.state === 'reset');
    expect(bench.events.filter(({ type }) => type === 'flow')).toMatchObject([
      { verdict: 'allow', reason: 'callback' },
      { verdict: 'deny', reason: 'callback' },
    ]);
  });

  test('the host is out of reach unless it is switched on', async () => {
    const bench = network({ host: false });
    const port = await serve(() => undefined);
    const peer = open(bench, port);
    await until(() => peer.state === 'reset');
    expect(bench.events).toMatchObject([{ verdict: 'deny', reason: 'host' }]);
  });

  test('addresses that would mean the host, a group or nothing are unreachable', async () => {
    const bench = network();
    const places = ['127.0.0.1', '0.0.0.0', '0.1.2.3', '240.0.0.1', '10.0.2.99'];
    places.forEach((destination, i) => {
      bench.send(tcpFrame({ sourcePort: 300 + i, port: 1, seq: 1, flags: SYN }, { destination }));
    });
    const answers = await Promise.all(places.map(() => bench.packet(1)));
    for (const { body } of answers) expect([...body.subarray(0, 2)]).toEqual([3, 1]);
    expect(bench.network.statistics.tcpConnections).toBe(0);
  });
});

test('closing resets what is open, and nothing comes afterwards', async () => {
  const bench = network();
  const port = await serve(() => undefined);
  const frame = tcpFrame({ sourcePort: 9, port, seq: 1, flags: SYN });
  bench.send(frame);
  const answer = readTcp(await bench.next());
  bench.send(tcpFrame({ sourcePort: 9, port, seq: 2, ack: answer.seq + 1, flags: 16 }));
  await bench.network.close();
  bench.send(frame);
  expect(bench.frames.filter((bytes) => (readTcp(bytes).flags & RST) === 0)).toEqual([]);
});
