/** virtio-vsock with a bare-metal guest that echoes: by library calls and by Firecracker's protocol. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { VirtualMachine } from 'vexit';
import { describeKvm } from '../support/kvm';
import { Guest, checkLeaks, until } from '../support/run-guest';

const BYTES = Buffer.from(
  Uint8Array.from({ length: 60_000 }, (_, i) => (i * 7 + (i >>> 8)) & 0xff),
);

/** Sends the bytes, ends, and gives what comes back. */
async function roundTrip(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (bytes) => chunks.push(bytes));
  socket.end(BYTES);
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

describeKvm('virtio-vsock', () => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'vsock-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  checkLeaks();

  test.each([1, 3])(
    'carries streams of library calls both ways, with %i I/O threads',
    async (ioThreads) => {
      await using guest = await Guest.create('vsock', { vsock: true, rng: true, ioThreads });
      const { vsock } = guest.vm;
      expect(vsock!.guestCid).toBe(3);
      const server = await vsock!.listen(52, { allowHalfOpen: true });
      const connected = once(server, 'connection') as Promise<[Socket]>;
      await guest.vm.start();
      const [socket] = await connected;
      expect((await roundTrip(socket)).equals(BYTES)).toBe(true);
      await guest.shows('waiting');
      const again = once(server, 'connection') as Promise<[Socket]>;
      const stream = await vsock!.connect(1234, { allowHalfOpen: true });
      expect((await roundTrip(stream)).equals(BYTES)).toBe(true);
      // The guest connects, and resets the device: the stream ends.
      const [last] = await again;
      last.resume();
      await once(last, 'end');
      await guest.shows('done');
      guest.send('.');
      const { report, values } = await guest.ended();
      expect(report.reason).toBe('power-off');
      expect(values('cid')).toEqual(['3']);
      // Nobody listens on port 53: a reset.
      expect(values('answer')).toEqual(['3', '2', '2']);
      expect(values('out')).toEqual([BYTES.length.toString(16)]);
      expect(values('in')).toEqual([BYTES.length.toString(16)]);
      expect(values('port')).toEqual(['4d2']);
      expect(existsSync(vsock!.path)).toBe(false);
      expect(existsSync(path.dirname(vsock!.path))).toBe(false);
    },
  );

  test("works with programs that know Firecracker's sockets", async () => {
    const file = path.join(directory, 'vm.sock');
    const server = createServer({ allowHalfOpen: true });
    server.listen(`${file}_52`);
    await once(server, 'listening');
    const connected = once(server, 'connection') as Promise<[Socket]>;
    await using guest = await Guest.create('vsock', { vsock: { cid: 77, path: file } });
    await guest.vm.start();
    const [socket] = await connected;
    expect((await roundTrip(socket)).equals(BYTES)).toBe(true);
    await guest.shows('waiting');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const program = connect({ path: file, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    program.on('data', (bytes) => chunks.push(bytes));
    program.write('CONNECT 1234\n');
    program.end(BYTES);
    await once(program, 'end');
    const all = Buffer.concat(chunks);
    const line = all.indexOf(10) + 1;
    expect(all.toString('latin1', 0, line)).toBe('OK 1073741824\n');
    expect(all.subarray(line).equals(BYTES)).toBe(true);
    await guest.vm.stop();
    server.close();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('works with a client script that was written for Firecracker', async () => {
    const file = path.join(directory, 'script.sock');
    const script = path.join(__dirname, '../support/vsock-client.py');
    const client = spawn('python3', [script, file, '1234', '52'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let said = '';
    client.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    const ended = once(client, 'close') as Promise<[number]>;
    try {
      await until('the script listens', () => said.includes('listening'));
      await using guest = await Guest.create('vsock', { vsock: { path: file } });
      await guest.vm.start();
      await guest.shows('waiting');
      client.stdin.end('go on\n');
      expect(await ended).toEqual([0, null]);
      expect(said).toBe('listening\nfrom the guest: True\nanswer: OK True\nto the guest: True\n');
    } finally {
      client.kill();
    }
  });

  test('connecting can be aborted, and needs a VM that runs', async () => {
    await using guest = await Guest.create('hello16', { bootProtocol: 'flat', vsock: true });
    const { vsock } = guest.vm;
    await expect(vsock!.connect(1)).rejects.toMatchObject({ code: 'ERR_STATE' });
    await expect(vsock!.connect(-1)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    const other = await Guest.create('vsock', { vsock: true });
    await other.vm.start();
    // Nobody listens on port 52, so the guest waits for an answer that is a reset, and does nothing.
    const signal = AbortSignal.timeout(300);
    await expect(other.vm.vsock!.connect(9, { signal })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    await other[Symbol.asyncDispose]();
    await expect(other.vm.vsock!.connect(9)).rejects.toMatchObject({ code: 'ERR_STATE' });
  });

  test('a path that cannot be is refused before the VM is made', async () => {
    const make = (file: string) =>
      VirtualMachine.create({ firmware: __filename, vsock: { path: file } });
    const taken = path.join(directory, 'file');
    writeFileSync(taken, '');
    for (const file of [taken, '/nonexistent/v', path.join(directory, 'x'.repeat(100)), '']) {
      await expect(make(file)).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    }
    const used = createServer();
    const file = path.join(directory, 'used');
    used.listen(file);
    await once(used, 'listening');
    await expect(make(file)).rejects.toMatchObject({
      message: `${file} is in use by another program`,
    });
    used.close();
    rmSync(taken);
    await until('the socket is gone', () => readdirSync(directory).length === 0);
  });
});
