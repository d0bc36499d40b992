/**
 * Throughput of the user network: a guest that costs next to nothing (it sends and acknowledges, and
 * copies what comes once) against a server of the host in a process of its own.
 *
 *     npx esbuild bench/user-net.ts --bundle --platform=node --outfile=build/user-net.cjs
 *     node build/user-net.cjs [seconds]
 */
import { fork } from 'node:child_process';
import { connect, createServer, type AddressInfo } from 'node:net';
import { ArrayFrame, GsoType, plainMeta, type GuestFrame } from '../src/net/net-backend.js';
import { UserNetwork } from '../src/net/user-network.js';
import { get16, get32, put16, put32 } from '../src/net/wire/bytes.js';
import { finishSum, sumBytes } from '../src/net/wire/checksum.js';

const SECONDS = Number(process.argv[2] ?? 3);
const MSS = 1460;
const SEGMENTS = 44;
const HEADERS = 54;
const ACK = 16;
const SYN = 2;

/** Sends for ever to whoever writes one byte, takes everything from others. */
function runServer(): void {
  const chunk = Buffer.alloc(1 << 20, 7);
  createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (first) => {
      if (first.length > 1) {
        socket.resume();
        return;
      }
      const send = (): void => {
        while (socket.writable && socket.write(chunk));
      };
      socket.on('drain', send);
      send();
    });
  }).listen(0, '127.0.0.1', function listening(this: { address(): unknown }) {
    process.send!((this.address() as AddressInfo).port);
  });
}

class Guest {
  offloads: { csum: boolean; tso4: boolean; tso6: boolean };
  received = 0;
  sent = 0;
  frames = 0;
  private seq = 1;
  private ack = 0;
  private acked = 1;
  private window = 0;
  private owes = false;
  private readonly memory = new Uint8Array(1 << 17);
  private readonly frame = new Uint8Array(HEADERS + MSS * SEGMENTS);
  private readonly source = new ArrayFrame(this.frame);
  private readonly meta = plainMeta();

  constructor(
    private readonly network: UserNetwork,
    private readonly port: number,
    private readonly sourcePort: number,
    private readonly offload: boolean,
  ) {
    this.offloads = { csum: offload, tso4: offload, tso6: offload };
    network.attach(this);
  }

  receive({ header, headerLength, payload, payloadStart, payloadLength }: GuestFrame): boolean {
    if (get16(header, 12) !== 0x0800 || header[23] !== 6) return true;
    this.memory.set(header.subarray(0, headerLength));
    this.memory.set(payload.subarray(payloadStart, payloadStart + payloadLength), headerLength);
    const flags = header[47]!;
    const seq = get32(header, 38);
    this.frames++;
    this.acked = get32(header, 42);
    this.window = get16(header, 48) << ((flags & SYN) !== 0 ? 0 : 5);
    this.ack = (seq + payloadLength + ((flags & SYN) !== 0 ? 1 : 0)) | 0;
    this.received += payloadLength;
    if (payloadLength > 0) this.owes = true;
    return true;
  }

  connect(): void {
    this.send(SYN, 0, 1);
    this.seq++;
  }

  get connected(): boolean {
    return this.ack !== 0;
  }

  /** A turn of the device: acknowledges, and sends what the window lets out. */
  turn(send: boolean): void {
    if (this.owes) this.send(ACK, 0);
    this.owes = false;
    const most = this.offload ? MSS * SEGMENTS : MSS;
    for (let i = 0; send && i < 64; i++) {
      const room = this.window - ((this.seq - this.acked) | 0);
      if (room < most) break;
      this.send(ACK, most);
      this.seq = (this.seq + most) | 0;
      this.sent += most;
    }
    this.network.flush();
  }

  sendOne(): void {
    this.send(ACK, 1);
    this.seq++;
    this.network.flush();
  }

  private send(flags: number, length: number, syn = 0): void {
    const { frame } = this;
    const options = syn === 0 ? 0 : 8;
    Buffer.from(frame.buffer).write('52550a0002025254001234560800', 'hex');
    put16(frame, 14, 0x4500);
    put16(frame, 16, 40 + options + length);
    put32(frame, 18, 0x4000);
    put16(frame, 22, 0x4006);
    put16(frame, 24, 0);
    put32(frame, 26, 0x0a00_020f);
    put32(frame, 30, 0x0a00_0202);
    put16(frame, 24, finishSum(sumBytes(frame, 14, 20)));
    put16(frame, 34, this.sourcePort);
    put16(frame, 36, this.port);
    put32(frame, 38, this.seq);
    put32(frame, 42, this.ack);
    put16(frame, 46, ((20 + options) << 10) | flags);
    put16(frame, 48, 0xffff);
    put32(frame, 50, 0);
    if (syn !== 0) {
      put32(frame, 54, 0x0204_05b4);
      put32(frame, 58, 0x0103_0305);
    }
    const total = HEADERS + options + length;
    this.meta.needsCsum = this.offload;
    this.meta.gsoType = length > MSS ? GsoType.Tcp4 : GsoType.None;
    this.meta.gsoSize = MSS;
    if (!this.offload) {
      const pseudo = 2 * 0x0a00 + 0x020f + 0x0202 + 6 + (20 + options + length);
      put16(frame, 50, finishSum(sumBytes(frame, 34, total - 34, pseudo)));
    }
    this.source.set(frame, 0, total);
    this.network.transmit(this.source, this.meta);
  }
}

const immediate = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function measure(port: number, send: boolean, offload: boolean): Promise<void> {
  const network = new UserNetwork({ kind: 'user', host: true });
  const guest = new Guest(network, port, 1000 + Math.floor(Math.random() * 50_000), offload);
  guest.connect();
  while (!guest.connected) await immediate();
  guest.turn(send);
  if (!send) guest.sendOne();
  const cpu = process.cpuUsage();
  const begin = performance.now();
  while (performance.now() - begin < SECONDS * 1000) {
    guest.turn(send);
    await immediate();
  }
  const seconds = (performance.now() - begin) / 1000;
  const used = process.cpuUsage(cpu);
  const bytes = send ? guest.sent : guest.received;
  const busy = (used.user + used.system) / 1e6;
  console.log(
    `${send ? 'guest to host' : 'host to guest'}, ${offload ? 'offloads' : '1500 bytes'}: ` +
      `${(bytes / seconds / 1e6).toFixed(0)} MB/s, ${((busy / bytes) * 1e9).toFixed(2)} ns of CPU a byte`,
  );
  await network.close();
}

/** What the host can do: one node socket to the same server. */
async function baseline(port: number): Promise<void> {
  let bytes = 0;
  const socket = connect({
    port,
    host: '127.0.0.1',
    onread: { buffer: Buffer.alloc(65_536), callback: (count) => (bytes += count) > 0 },
  });
  socket.write('x');
  const begin = performance.now();
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const rate = bytes / (performance.now() - begin) / 1e3;
  console.log(`a socket of Node.js, reading: ${rate.toFixed(0)} MB/s`);
  socket.destroy();
}

if (process.argv[2] === 'server') {
  runServer();
} else {
  const server = fork(process.argv[1]!, ['server']);
  server.once('message', (port: number) => {
    void (async () => {
      await baseline(port);
      for (const offload of [true, false]) {
        for (const send of [true, false]) await measure(port, send, offload);
      }
      server.kill();
    })();
  });
}
