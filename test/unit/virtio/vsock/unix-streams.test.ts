/** Many streams at once between a driver and programs of the host on real sockets. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { VsockDevice } from '../../../../src/devices/virtio/vsock/vsock.js';
import {
  Operation as Op,
  VsockQueue,
} from '../../../../src/devices/virtio/vsock/vsock-protocol.js';
import { parseConnectLine } from '../../../../src/machine/vsock/connect-line.js';
import { UnixBackend } from '../../../../src/machine/vsock/unix-backend.js';
import { GuestStreams, Pattern } from './guest-streams.js';
import { CID, VsockBench } from './vsock-bench.js';

/** 10 MB each in a long run: VSOCK_STREAM_BYTES=10000000. */
const BYTES = Number(process.env.VSOCK_STREAM_BYTES ?? 300_000);
const STREAMS = 100;

let directory = '';
let file = '';
let device: VsockDevice;
let bench: VsockBench;
let stop = false;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'vsock-'));
  file = path.join(directory, 'v');
  stop = false;
  device = new VsockDevice({ cid: CID, backend: new UnixBackend(file) });
  bench = new VsockBench(device);
  bench.up();
});

afterEach(async () => {
  stop = true;
  await device.close();
  rmSync(directory, { recursive: true, force: true });
});

/** The I/O worker's loop, and the guest's. */
function run(guest: () => void = () => undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const turn = (): void => {
      if (stop) {
        resolve();
        return;
      }
      try {
        bench.pump();
        guest();
      } catch (error) {
        reject(new Error('the loop has failed', { cause: error }));
        return;
      }
      setImmediate(turn);
    };
    turn();
  });
}

async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error('not within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function collect(socket: Socket): { text: () => string; closed: () => boolean } {
  const chunks: Buffer[] = [];
  let closed = false;
  socket.on('data', (bytes) => chunks.push(bytes));
  socket.on('error', () => undefined);
  socket.on('end', () => (closed = true));
  socket.on('close', () => (closed = true));
  return { text: () => Buffer.concat(chunks).toString('latin1'), closed: () => closed };
}

async function open(): Promise<Socket> {
  await until(() => statSync(file, { throwIfNoEntry: false }) !== undefined);
  const socket = connect({ path: file, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

test('100 streams at once carry their bytes both ways, and none of another', async () => {
  const guest = new GuestStreams(bench, BYTES);
  const running = run(() => guest.poll());
  const program = async (port: number): Promise<void> => {
    const socket = await open();
    const [incoming, outgoing] = [new Pattern(2 * port), new Pattern(2 * port + 1)];
    let answer: Buffer | undefined = Buffer.alloc(0);
    let received = 0;
    const take = (bytes: Buffer): void => {
      incoming.check(received, bytes);
      received += bytes.length;
    };
    socket.on('data', (bytes) => {
      if (answer === undefined) {
        take(bytes);
        return;
      }
      answer = Buffer.concat([answer, bytes]);
      const end = answer.indexOf(10);
      if (end < 0) return;
      expect(answer.toString('latin1', 0, end)).toMatch(/^OK \d+$/);
      const rest = answer.subarray(end + 1);
      answer = undefined;
      take(rest);
    });
    socket.write(`CONNECT ${port}\n`);
    for (let sent = 0; sent < BYTES;) {
      const part = outgoing.slice(sent, Math.min(65536, BYTES - sent));
      sent += part.length;
      if (!socket.write(part)) await once(socket, 'drain');
    }
    socket.end();
    await once(socket, 'end');
    expect(received).toBe(BYTES);
  };
  const start = performance.now();
  await Promise.race([
    Promise.all(Array.from({ length: STREAMS }, (_, i) => program(1000 + i))),
    running,
  ]);
  await until(() => guest.finished === STREAMS);
  expect(device.connections).toBe(0);
  const seconds = (performance.now() - start) / 1000;
  const mib = (2 * STREAMS * BYTES) / 2 ** 20;
  if (BYTES > 1e6) console.log(`${mib.toFixed(0)} MiB in ${seconds.toFixed(2)} s`);
  stop = true;
  await running;
}, 300_000);

describe("Firecracker's protocol", () => {
  test('the socket is for its user only', async () => {
    await open();
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test.each([
    ['CONNECT 52', 52],
    ['connect 0', 0],
    ['CONNECT 4294967295', 2 ** 32 - 1],
    ['CONNECT 52\r', 52],
    ['CONNECT 4294967296', undefined],
    ['CONNECT', undefined],
    ['CONNECT x', undefined],
    ['CONNECT -1', undefined],
    ['CONNECT 0x10', undefined],
    ['CONNECT 5 6', undefined],
    ['GET / HTTP/1.1', undefined],
    ['\0CONNECT 5', undefined],
    ['CONNECT 5\0', undefined],
    ['', undefined],
  ])('F8: the line %j names port %p', (line, port) => {
    expect(parseConnectLine(line)).toBe(port);
  });

  test.each([
    ['of 4 KiB', `CONNECT 5${'0'.repeat(4096)}\n`],
    ['without an end', 'C'.repeat(32)],
    ['that is none', 'HELLO\n'],
    ['with NUL', 'CONNECT 5\0\n'],
  ])('F8: a line %s is answered by closing', async (_, line) => {
    const socket = await open();
    const seen = collect(socket);
    socket.write(line);
    await until(seen.closed);
    expect(seen.text()).toBe('');
    expect(device.connections).toBe(0);
  });

  test('F8: a program that ends before its line is closed', async () => {
    const socket = await open();
    const seen = collect(socket);
    socket.end('CONN');
    await until(seen.closed);
    expect(device.connections).toBe(0);
  });

  test('a line in pieces with data behind it, in one go, is a connection with data', async () => {
    const running = run();
    const socket = await open();
    const seen = collect(socket);
    socket.write('CONN');
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.end('ECT 80\nhello');
    await until(() => device.connections === 1);
    const packets = bench.receiveAll();
    while (packets.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      packets.push(...bench.receiveAll());
    }
    const { hostPort } = packets[0]!;
    bench.send({ op: Op.Response, guestPort: 80, hostPort });
    const data: string[] = [];
    await until(() => {
      for (const packet of bench.receiveAll()) data.push(`${packet.op} ${packet.data.toString()}`);
      return data.length >= 2;
    });
    expect(data).toEqual([`${Op.ReadWrite} hello`, `${Op.Shutdown} `]);
    bench.send({ op: Op.ReadWrite, guestPort: 80, hostPort, data: Buffer.from('bye') });
    await until(() => seen.text() === `OK ${hostPort}\nbye`);
    stop = true;
    await running;
  });

  test('the guest reaches PATH_port, and is reset where nobody listens', async () => {
    const running = run();
    const server = createServer({ allowHalfOpen: true });
    server.listen(`${file}_52`);
    await once(server, 'listening');
    bench.send({ op: Op.Request, guestPort: 1, hostPort: 52 });
    const [socket] = (await once(server, 'connection')) as [Socket];
    const seen = collect(socket);
    const packets: string[] = [];
    const look = (): void => {
      for (const { op, guestPort } of bench.receiveAll()) packets.push(`${op} ${guestPort}`);
    };
    await until(() => (look(), packets.length > 0));
    expect(packets).toEqual([`${Op.Response} 1`]);
    bench.send({ op: Op.ReadWrite, guestPort: 1, hostPort: 52, data: Buffer.from('hi') });
    await until(() => seen.text() === 'hi');
    bench.send({ op: Op.Request, guestPort: 2, hostPort: 53 });
    await until(() => (look(), packets.length > 1));
    expect(packets[1]).toBe(`${Op.Reset} 2`);
    socket.destroy();
    await until(() => (look(), packets.includes(`${Op.Shutdown} 1`)));
    bench.send({ op: Op.ReadWrite, guestPort: 1, hostPort: 52, data: Buffer.from('lost') });
    await until(() => (look(), packets.includes(`${Op.Reset} 1`)));
    expect(device.connections).toBe(0);
    server.close();
    stop = true;
    await running;
  });

  test('a path that is too long with its port leads nowhere', async () => {
    const long = new UnixBackend(`/tmp/${'x'.repeat(100)}`);
    const closed = new Promise((resolve) => {
      const ignore = (): void => undefined;
      long.connect(4_000_000_000, {
        ...{ onOpen: ignore, onData: ignore, onEnd: ignore, onWritten: ignore, onFinish: ignore },
        onClose: resolve,
      });
    });
    expect(await closed).toBe(true);
  });

  test('the socket file goes with the device, and half-made connections with it', async () => {
    const socket = await open();
    const seen = collect(socket);
    socket.write('CONN');
    await device.close();
    await until(seen.closed);
    expect(statSync(file, { throwIfNoEntry: false })).toBeUndefined();
    bench.notify(VsockQueue.Receive);
  });
});
