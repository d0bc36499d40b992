/** The library's side of vsock against a device that the test plays. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { VsockHost } from '../../../src/machine/vsock/vsock-host.js';

let directory = '';
let file = '';
let host: VsockHost;
let device: Server | undefined;
const sockets: Socket[] = [];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'vsock-'));
  file = path.join(directory, 'v');
  host = new VsockHost(file, 3, () => true);
});

afterEach(() => {
  host.end();
  for (const socket of sockets.splice(0)) socket.destroy();
  device?.close();
  device = undefined;
  rmSync(directory, { recursive: true, force: true });
});

/** A device that does this with the first line of each program. */
async function play(answer: (socket: Socket, line: string) => void): Promise<void> {
  device = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('data', (line) => answer(socket, line.toString()));
  });
  device.listen(file);
  await once(device, 'listening');
}

describe('connecting to the guest', () => {
  test.each([true, false])('gives the stream behind the answer; half open: %p', async (half) => {
    const lines: string[] = [];
    await play((socket, line) => {
      lines.push(line);
      socket.write('OK 1073741824\nhello\n');
    });
    const socket = await host.connect(52, { allowHalfOpen: half });
    sockets.push(socket);
    const [data] = (await once(socket, 'data')) as [Buffer];
    expect(data.toString()).toBe('hello\n');
    expect(lines).toEqual(['CONNECT 52\n']);
  });

  test.each([true, false])('fails when the guest refuses; half open: %p', async (half) => {
    await play((socket) => socket.destroy());
    await expect(host.connect(52, { allowHalfOpen: half })).rejects.toMatchObject({
      code: 'ERR_VSOCK',
      message: 'the guest refuses a connection to port 52',
    });
  });

  test.each(['NO\n', 'OK \n', 'OK 12345678901234567890', '\n'])(
    'fails when the answer is %j',
    async (answer) => {
      await play((socket) => socket.write(answer));
      await expect(host.connect(52)).rejects.toMatchObject({ code: 'ERR_VSOCK' });
    },
  );

  test('waits for a device that does not listen yet', async () => {
    const connecting = host.connect(52);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await play((socket) => socket.write('OK 1\n'));
    sockets.push(await connecting);
  });

  test('can be aborted, before and while it waits', async () => {
    await play(() => undefined);
    const aborted = { code: 'ERR_ABORTED' };
    await expect(host.connect(1, { signal: AbortSignal.abort() })).rejects.toMatchObject(aborted);
    const signal = AbortSignal.timeout(20);
    await expect(host.connect(1, { signal })).rejects.toMatchObject(aborted);
  });

  test('can be aborted while no device listens', async () => {
    const signal = AbortSignal.timeout(30);
    await expect(host.connect(1, { signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  test.each([-1, 2 ** 32 - 1, 1.5, NaN])('port %d is refused', async (port) => {
    await expect(host.connect(port)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    await expect(host.listen(port)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });
});

describe('listening for the guest', () => {
  test('is a server at PATH_port for this user only, and ends with the VM', async () => {
    const server = await host.listen(52);
    expect(statSync(`${file}_52`).mode & 0o777).toBe(0o600);
    await expect(host.listen(52)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    const guest = connect(`${file}_52`);
    sockets.push(guest);
    const [socket] = (await once(server, 'connection')) as [Socket];
    sockets.push(socket);
    const closed = new Promise((resolve) => server.once('close', resolve));
    host.end();
    socket.destroy();
    await closed;
    expect(statSync(`${file}_52`, { throwIfNoEntry: false })).toBeUndefined();
  });
});
