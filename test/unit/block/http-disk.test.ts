/** The backend that docs/devices/block.md shows: it is this one, and it works. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import {
  BlockRequestType as T,
  BlockStatus as S,
} from '../../../src/devices/virtio/block/block-layout.js';
import { DiskBench, USUAL } from '../virtio/block/disk-bench.js';
import { pattern } from './backend-bench.js';
import { httpDisk } from './http-disk.js';

const content = pattern(256 * 1024, 1);
let server: Server;
let url = '';
let requests = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    requests++;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (request.method === 'HEAD' || from === undefined || to === undefined) {
      response.writeHead(200, { 'content-length': content.length, 'accept-ranges': 'bytes' });
      response.end();
      return;
    }
    // Something breaks at the end of the disk.
    if (Number(to) === content.length - 1) {
      response.writeHead(500).end();
      return;
    }
    const body = content.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, { 'content-length': body.length });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test('the documentation shows the file that is tested', () => {
  const page = readFileSync(path.join(__dirname, '../../../docs/devices/block.md'), 'utf8');
  const code = /```ts\n(.*?)```/s.exec(page)?.[1];
  expect(code).toBe(readFileSync(path.join(__dirname, 'http-disk.ts'), 'utf8'));
});

test('blocks come over HTTP, and a failure is an I/O error for its request', async () => {
  const backend = await httpDisk(url);
  const made = new DiskBench(backend, { readOnly: backend.readOnly });
  made.start(USUAL);
  const last = content.length / 512 - 1;
  const sent = [0, 100, last].map((sector) => made.send(T.In, sector, { room: 512 }));
  while (!made.device.drained) await new Promise((resolve) => setImmediate(resolve));
  expect(sent.map((one) => made.statusOf(one))).toEqual([S.Ok, S.Ok, S.IoError]);
  const bytes = Buffer.from(made.ram.read(sent[1]!.data, 512));
  expect(bytes.equals(content.subarray(51200, 51712))).toBe(true);
  expect(requests).toBe(4);
});
