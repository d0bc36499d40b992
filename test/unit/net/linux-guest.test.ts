/** Linux's TCP/IP stack, in a network namespace, as the guest. */
import { createHash, randomBytes } from 'node:crypto';
import { connect, type AddressInfo, type Server } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { createSocket } from 'node:dgram';
import { UserNetwork, type UserNetSurroundings } from '../../../src/net/user-network.js';
import type { UserNetOptions } from '../../../src/net/options.js';
import type { NetBackend } from '../../../src/net/net-backend.js';
import { LossyLink } from '../../support/lossy-link.js';
import { canUseTap, TapGuest } from '../../support/tap-guest.js';

const usable = canUseTap();
const describeTap = usable ? describe : describe.skip;
if (!usable) console.warn('skipped: no TAP devices or network namespaces here');

interface World {
  readonly network: UserNetwork;
  readonly guest: TapGuest;
  readonly ports: number[];
}

const worlds: World[] = [];
const servers: Server[] = [];

async function world(
  options: Partial<UserNetOptions> = {},
  surroundings: UserNetSurroundings = {},
  tap: { offload?: boolean; setUp?: boolean; link?: (network: UserNetwork) => NetBackend } = {},
): Promise<World> {
  const network = new UserNetwork({ kind: 'user', host: true, ...options }, surroundings);
  const ports = await network.open();
  const guest = TapGuest.open(tap.link?.(network) ?? network, { offload: true, ...tap });
  const made = { network, guest, ports };
  worlds.push(made);
  return made;
}

function listen(server: Server): Promise<number> {
  servers.push(server);
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

afterEach(async () => {
  for (const { network, guest } of worlds.splice(0)) {
    await network.close();
    guest.close();
  }
  for (const server of servers.splice(0)) server.close();
});

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describeTap('Linux as the guest', () => {
  test.each([
    ['with offloads', true],
    ['without offloads', false],
  ])('gets files by HTTP and puts them, %s', async (_, offload) => {
    const file = randomBytes(8 << 20);
    const uploads: string[] = [];
    const port = await listen(
      createHttpServer((request, response) => {
        if (request.method === 'GET') {
          response.end(file);
          return;
        }
        const hash = createHash('sha256');
        request.on('data', (bytes: Buffer) => hash.update(bytes));
        request.on('end', () => {
          uploads.push(hash.digest('hex'));
          response.end('thanks');
        });
      }),
    );
    const { guest } = await world({}, {}, { offload });
    const url = `http://10.0.2.2:${port}/`;
    const got = await guest.run(['curl', '-sS', '--max-time', '60', url]);
    expect(got.stderr).toBe('');
    expect(sha(Buffer.from(got.stdout, 'latin1'))).toBe(sha(file));
    const put = await guest.run(['curl', '-sS', '--max-time', '60', '-T', '-', url], file);
    expect(put).toMatchObject({ code: 0, stdout: 'thanks' });
    expect(uploads).toEqual([sha(file)]);
  });

  test('gets and puts a file whole over a link that loses, doubles and reorders frames', async () => {
    const file = randomBytes(512 << 10);
    const port = await listen(
      createHttpServer((request, response) => {
        const parts: Buffer[] = [];
        request.on('data', (bytes: Buffer) => parts.push(bytes));
        request.on('end', () =>
          response.end(request.method === 'GET' ? file : sha(Buffer.concat(parts))),
        );
      }),
    );
    // The same losses each time, as far as the frames are the same: xorshift32.
    let state = 0x2545f491;
    const random = (): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) / 2 ** 32;
    };
    let lossy: LossyLink | undefined;
    const link = (network: UserNetwork): NetBackend =>
      (lossy = new LossyLink(network, 0.02, random));
    const { guest } = await world({}, {}, { offload: false, link });
    const url = `http://10.0.2.2:${port}/`;
    const got = await guest.run(['curl', '-sS', '--max-time', '60', url]);
    expect(got.stderr).toBe('');
    expect(sha(Buffer.from(got.stdout, 'latin1'))).toBe(sha(file));
    const put = await guest.run(['curl', '-sS', '--max-time', '60', '-T', '-', url], file);
    expect(put).toMatchObject({ code: 0, stdout: sha(file) });
    for (const fate of [lossy!.toHost, lossy!.toGuest]) {
      for (const count of [fate.lost, fate.doubled, fate.late]) expect(count).toBeGreaterThan(0);
    }
  }, 130_000);

  test('autoconfigures IPv6 and reaches the gateway over it', async () => {
    const server = createHttpServer((_, response) => response.end('six'));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '::1', resolve));
    const { port } = server.address() as AddressInfo;
    const { guest } = await world();
    const url = `http://[fd76:6578:6974::2]:${port}/`;
    let result = { code: 1 as number | null, stdout: '', stderr: '' };
    // The address is tentative for a second.
    for (let i = 0; i < 50 && result.code !== 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      result = await guest.run(['curl', '-sS', '--max-time', '10', url]);
    }
    expect(result).toMatchObject({ code: 0, stdout: 'six' });
    expect(guest.sh('ip -6 addr show dev eth0')).toContain('fd76:6578:6974:0:');
    expect(guest.sh('ip -6 route show default')).toContain('via fe80::2');
  });

  test('refused ports are refused, published ports lead to the guest', async () => {
    const publish = [
      { protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: 0, guestPort: 8000 } as const,
    ];
    const { guest, ports } = await world({ publish });
    const refused = await guest.run(['curl', '-sS', '--max-time', '20', 'http://10.0.2.2:1/']);
    expect(refused.code).toBe(7);
    const serve =
      'require("net").createServer({allowHalfOpen:true},s=>{let n=0;s.on("data",b=>n+=b.length);s.on("end",()=>s.end("got "+n))}).listen(8000,()=>console.log("up")).on("connection",s=>s.on("close",()=>process.exit(0)))';
    const server = guest.run([process.execPath, '-e', serve]);
    const answer = await new Promise<string>((resolve, reject) => {
      const attempt = (): void => {
        const socket = connect({ port: ports[0]!, host: '127.0.0.1', allowHalfOpen: true });
        let text = '';
        socket.on('data', (bytes) => (text += bytes.toString()));
        socket.on('end', () => resolve(text));
        socket.on('error', () => setTimeout(attempt, 100));
        socket.end(Buffer.alloc(3_000_000));
      };
      setTimeout(() => reject(new Error('no answer')), 60_000).unref();
      attempt();
    });
    expect(answer).toBe('got 3000000');
    expect((await server).code).toBe(0);
  });

  test('UDP comes and goes, and an unused port is unreachable', async () => {
    const echo = createSocket('udp4');
    echo.on('message', (bytes, { address, port }) => echo.send(bytes, port, address));
    await new Promise<void>((resolve) => echo.bind(0, '127.0.0.1', resolve));
    const { guest } = await world();
    const script = (port: number, size: number): string => `
      const s = require('dgram').createSocket('udp4');
      s.on('error', (e) => { console.log(e.code); process.exit(); });
      s.on('message', (m) => { console.log('got ' + m.length); process.exit(); });
      s.connect(${port}, '10.0.2.2', () => s.send(Buffer.alloc(${size}, 7)));`;
    const { port } = echo.address();
    for (const size of [1, 1400, 9000, 65_507]) {
      const result = await guest.run([process.execPath, '-e', script(port, size)]);
      expect(result.stdout).toBe(`got ${size}\n`);
    }
    echo.close();
    const refused = await guest.run([process.execPath, '-e', script(port, 1)]);
    expect(refused.stdout).toBe('ECONNREFUSED\n');
  });
});
