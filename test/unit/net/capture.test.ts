/** Captures, read back block by block. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Capture } from '../../../src/net/capture/capture.js';
import { ArrayFrame } from '../../../src/net/net-backend.js';
import { NetworkBench, ping } from './network-bench.js';

interface Block {
  readonly type: number;
  readonly body: Buffer;
}

function readBlocks(file: Buffer): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at < file.length;) {
    const length = file.readUInt32LE(at + 4);
    expect(length % 4).toBe(0);
    expect(file.readUInt32LE(at + length - 4)).toBe(length);
    blocks.push({ type: file.readUInt32LE(at), body: file.subarray(at + 8, at + length - 4) });
    at += length;
  }
  return blocks;
}

let directory: string;
beforeEach(() => (directory = mkdtempSync(`${tmpdir()}/vexit-capture-`)));
afterEach(() => rmSync(directory, { recursive: true }));

test('has both directions of an exchange', async () => {
  const pcap = `${directory}/net.pcapng`;
  const bench = new NetworkBench({ pcap, ipv6: false });
  bench.send(ping());
  const [answer] = bench.frames;
  await bench.network.close();
  const [section, description, request, reply, statistics] = readBlocks(readFileSync(pcap));
  expect(section!.type).toBe(0x0a0d_0d0a);
  expect(section!.body.subarray(0, 8).toString('hex')).toBe('4d3c2b1a01000000');
  expect(description).toMatchObject({ type: 1 });
  expect(description!.body.readUInt16LE(0)).toBe(1);
  const frame = ({ body }: Block): Buffer => body.subarray(20, 20 + body.readUInt32LE(12));
  const direction = ({ body }: Block): number => body.readUInt32LE(body.length - 8);
  expect(frame(request!)).toEqual(ping());
  expect(frame(reply!)).toEqual(answer);
  expect([direction(request!), direction(reply!)]).toEqual([2, 1]);
  const { body } = reply!;
  const time = body.readUInt32LE(4) * 2 ** 32 + body.readUInt32LE(8);
  expect(Math.abs(time / 1000 - Date.now())).toBeLessThan(600_000);
  expect(statistics).toMatchObject({ type: 5 });
});

test('frames beyond its limit are counted, not kept', async () => {
  const path = `${directory}/small.pcapng`;
  const capture = new Capture(path, 1000);
  for (let i = 0; i < 10; i++) capture.fromGuest(new ArrayFrame(Buffer.alloc(301, i)));
  await capture.close();
  const blocks = readBlocks(readFileSync(path));
  expect(blocks.filter(({ type }) => type === 6).length).toBe(2);
  expect(blocks.at(-1)!.body.readUInt32LE(16)).toBe(8);
});

test('a disk that does not keep up costs frames, not memory', async () => {
  const capture = new Capture(`${directory}/flood.pcapng`);
  // All in one turn of the event loop: nothing can be written meanwhile.
  const frame = new ArrayFrame(Buffer.alloc(60_000));
  for (let i = 0; i < 1000; i++) capture.fromGuest(frame);
  expect(capture.dropped).toBeGreaterThan(900);
  await capture.close();
});

test('a file that cannot be made is refused with one line', () => {
  expect(() => new Capture(`${directory}/no/such.pcapng`)).toThrow(
    /^cannot write the capture .*ENOENT/,
  );
});
