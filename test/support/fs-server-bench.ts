/**
 * The FUSE server without a guest: requests lie in guest memory, answers are written there, nothing
 * of virtio but chains is involved. What it prints is time per request, and data per second.
 */
import {
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DescriptorChain } from '../../src/devices/virtio/queue/descriptor-chain.js';
import { GuestRam } from '../../src/devices/virtio/queue/guest-ram.js';
import { Opcode } from '../../src/fs/fuse/protocol.js';
import { FuseRequest, FuseServer, HostDirectory } from '../../src/fs/index.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';

const MIB = 2 ** 20;
const RAM = 8 * MIB;
const REQUEST = 0x1000;
const PAYLOAD = 2 * MIB;
const REPLY = 4 * MIB;
const FILE_SIZE = 64 * MIB;
const MILLISECONDS = Number(process.env.BENCH_MS ?? 500);

const directory = mkdtempSync(path.join(process.argv[2] ?? os.tmpdir(), 'vexit-bench-fs-'));
const memory = GuestMemory.create('bench', [{ start: 0, size: RAM }]);
const ram = new GuestRam(memory);
const bytes = memory.slices(0, RAM)[0]!;
const view = new DataView(bytes.buffer);
const chain = new DescriptorChain(ram, 512, 0);
const server = new FuseServer(new HostDirectory(directory));
let written = 0;
const request = new FuseRequest(chain.readable, chain.writable, (_, length) => (written = length));

function u64(at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** Puts a request into memory: words of 32 bits, then text. */
function put(opcode: number, nodeId: number, words: number[], text = '', payload = 0): number {
  const body = Buffer.from(text === '' ? '' : `${text}\0`);
  const length = 40 + 4 * words.length + body.length;
  bytes.fill(0, REQUEST, REQUEST + 40);
  view.setUint32(REQUEST, length + payload, true);
  view.setUint32(REQUEST + 4, opcode, true);
  u64(REQUEST + 16, nodeId);
  words.forEach((word, i) => view.setUint32(REQUEST + 40 + 4 * i, word, true));
  bytes.set(body, REQUEST + 40 + 4 * words.length);
  return length;
}

/** Sends it, with an answer of up to so many bytes in pages. */
function send(length: number, room: number, payload = 0): number {
  chain.clear();
  chain.readable.append(REQUEST, length);
  for (let at = 0; at < payload; at += 4096) chain.readable.append(PAYLOAD + at, 4096);
  chain.writable.append(REPLY, 16);
  for (let at = 0; at < room; at += 4096) {
    chain.writable.append(REPLY + 4096 + at, Math.min(4096, room - at));
  }
  server.handle(request);
  const error = view.getInt32(REPLY + 4, true);
  if (!request.done) throw new Error('no answer at once');
  return error === 0 ? written : error;
}

function rate(name: string, each: () => number | undefined): void {
  for (let i = 0; i < 2000; i++) each();
  let count = 0;
  let moved = 0;
  const start = process.hrtime.bigint();
  const end = start + BigInt(MILLISECONDS) * 1_000_000n;
  let now = start;
  while (now < end) {
    for (let i = 0; i < 100; i++) moved += each() ?? 0;
    count += 100;
    now = process.hrtime.bigint();
  }
  const seconds = Number(now - start) / 1e9;
  const perOperation = `${((seconds / count) * 1e6).toFixed(2).padStart(9)} us`;
  const throughput = moved > 0 ? `${(moved / seconds / MIB).toFixed(0).padStart(8)} MiB/s` : '';
  console.log(`${name.padEnd(34)}${perOperation}${throughput}`);
}

function nodeId(): number {
  return view.getUint32(REPLY + 4096, true);
}

function lookup(parent: number, name: string): number {
  if (send(put(Opcode.Lookup, parent, [], name), 128) < 0) throw new Error(name);
  return nodeId();
}

send(put(Opcode.Init, 0, [7, 38, MIB, 0x7fff_ffff, 0, ...Array<number>(11).fill(0)]), 64);
writeFileSync(path.join(directory, 'file'), Buffer.alloc(FILE_SIZE, 'x'));
const file = lookup(1, 'file');
send(put(Opcode.Open, file, [2, 0]), 16);
const handle = nodeId();

const getattr = put(Opcode.GetAttr, file, [0, 0, 0, 0]);
rate('GETATTR', () => void send(getattr, 104));
const found = put(Opcode.Lookup, 1, [], 'file');
rate('LOOKUP, there', () => void send(found, 128));
const missing = put(Opcode.Lookup, 1, [], 'none');
rate('LOOKUP, not there', () => void send(missing, 128));
rate('CREATE, RELEASE, UNLINK, FORGET', () => {
  send(put(Opcode.Create, 1, [0o102, 0o644, 0, 0], 'new'), 144);
  const node = nodeId();
  send(put(Opcode.Release, node, [view.getUint32(REPLY + 4096 + 128, true), 0, 0, 0, 0, 0]), 0);
  send(put(Opcode.Unlink, 1, [], 'new'), 0);
  send(put(Opcode.Forget, node, [1, 0]), 0);
  return undefined;
});
for (const size of [4096, 131072, MIB]) {
  const words = (offset: number): number[] => [handle, 0, offset, 0, size, 0, 0, 0, 0, 0];
  let offset = 0;
  const next = (): number => (offset = (offset + size) % FILE_SIZE);
  rate(`READ ${size}`, () => send(put(Opcode.Read, file, words(next())), size) - 16);
  rate(`WRITE ${size}`, () => {
    send(put(Opcode.Write, file, words(next()), '', size), 8, size);
    return size;
  });
}
const fd = openSync(path.join(directory, 'file'), 'r+');
for (const size of [4096, MIB]) {
  let offset = 0;
  const buffer = bytes.subarray(REPLY, REPLY + size);
  const next = (): number => (offset = (offset + size) % FILE_SIZE);
  rate(`for comparison: readSync ${size}`, () => readSync(fd, buffer, 0, size, next()));
  rate(`for comparison: writeSync ${size}`, () => writeSync(fd, buffer, 0, size, next()));
}
rate('for comparison: statSync', () => void statSync(path.join(directory, 'file')));
for (let i = 0; i < 1000; i++) writeFileSync(path.join(directory, `name-${i}`), '');
for (const [name, opcode] of [
  ['READDIR', Opcode.ReadDir],
  ['READDIRPLUS', Opcode.ReadDirPlus],
] as const) {
  send(put(Opcode.OpenDir, 1, [0, 0]), 16);
  const fh = nodeId();
  rate(
    `${name}, 4096 bytes`,
    () => void send(put(opcode, 1, [fh, 0, 0, 0, 4096, 0, 0, 0, 0, 0]), 4096),
  );
}
server.reset();
rmSync(directory, { recursive: true });
