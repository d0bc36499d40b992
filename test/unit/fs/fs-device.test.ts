/** virtio-fs behind the MMIO transport: queues, configuration, resets, and a whole mount. */
import * as fs from 'node:fs';
import { VirtioRegisters } from '../../../src/devices/virtio/device-registers.js';
import { FsDevice, type FsOptions } from '../../../src/devices/virtio/fs/fs.js';
import type { CoreOptions } from '../../../src/devices/virtio/queue-runner.js';
import { LockType, Opcode } from '../../../src/fs/fuse/protocol.js';
import { fuzz } from '../virtio/fuzz.js';
import { RAM_SIZE } from '../virtio/fake-ram.js';
import { ALL_STEPS, MmioBench } from '../virtio/mmio-bench.js';
import { ROOT, encode, header, type Field, type Header } from './fuse-client.js';
import { RealRam } from './real-ram.js';
import { Share } from './share.js';

const REQUEST = 0x40000;
const REPLY = 0x60000;
const HIPRIO = 0;
const QUEUE = 1;

let share: Share;
let bench: MmioBench<FsDevice>;
let ram: RealRam;
beforeEach(() => {
  share = new Share({ locks: 'shared' });
  share.client.call(Opcode.Destroy, {});
  bench = make();
});
afterEach(async () => {
  await bench.device.close();
  share.close();
  ram.close();
});

function make(options: Partial<FsOptions> = {}, core: CoreOptions = {}): MmioBench<FsDevice> {
  const device = new FsDevice({ tag: 'share0', server: share.server, ...options });
  // Rings of 512 entries need more room than the bench gives; a driver may use fewer.
  ram = new RealRam();
  const made = new MmioBench(device, core, ram);
  for (const ring of made.rings) Object.assign(ring, { size: 64 });
  return made.start();
}

let unique = 100n;

/** Puts a request into a queue; where its answer will be. */
function put(
  queue: number,
  opcode: number,
  given: Header,
  fields: Field[],
  slot = 0,
  room = 4096,
): void {
  const body = encode(...fields);
  const at = REQUEST + 0x1000 * slot;
  bench.ram.write(
    at,
    Buffer.concat([header(opcode, body.length, { unique: ++unique, ...given }), body]),
  );
  bench.rings[queue]!.send(
    { address: at, length: 40 },
    { address: at + 40, length: body.length },
    { address: REPLY + 0x1000 * slot, length: Math.min(16, room), writable: true },
    { address: REPLY + 0x1000 * slot + 16, length: Math.max(0, room - 16), writable: true },
  );
}

function send(opcode: number, given: Header, ...fields: Field[]): Buffer {
  put(QUEUE, opcode, given, fields);
  bench.notify(QUEUE);
  const used = bench.rings[QUEUE]!.take();
  expect(used).toHaveLength(1);
  return Buffer.from(bench.ram.read(REPLY, used[0]!.length));
}

const init = (): Buffer =>
  send(Opcode.Init, { nodeId: 0 }, 7, 38, 0, 0x73ff_ffff, 0, new Uint8Array(44));
const create = (name: string): bigint =>
  send(Opcode.Create, { nodeId: ROOT }, 2, 0o644, 0, 0, name).readBigUInt64LE(16 + 128);

test('F-1: configuration space has the tag, and a request queue at least', () => {
  const text = (): string =>
    Buffer.from(Array.from({ length: 36 }, (_, i) => bench.get(0x100 + i, 1))).toString();
  expect(text()).toBe(`share0${'\0'.repeat(30)}`);
  expect(bench.get(0x100 + 36)).toBe(1);
  expect(bench.get(0x100 + 40)).toBe(0);
  const device = new FsDevice({ tag: 'ß'.repeat(18), requestQueues: 4 });
  expect(device.queueSizes).toEqual([128, 512, 512, 512, 512]);
  expect(device.readConfig(36, 4)).toBe(4);
  expect([device.type, device.features]).toEqual([26, []]);
  for (const tag of ['', 'x'.repeat(37), 'ß'.repeat(19), 'a\0b']) {
    expect(() => new FsDevice({ tag })).toThrow(RangeError);
  }
  for (const requestQueues of [0, 17, NaN]) {
    expect(() => new FsDevice({ tag: 'x', requestQueues })).toThrow(RangeError);
  }
});

test('F-3: READ and WRITE go between guest memory and the file', () => {
  init();
  const handle = create('file');
  const data = Buffer.alloc(3000, 'abc');
  send(Opcode.Write, {}, handle, 0n, 3000, 0, 0n, 0, 0, data);
  expect(fs.readFileSync(share.at('file')).equals(data)).toBe(true);
  const answer = send(Opcode.Read, {}, handle, 1n, 2000, 0, 0n, 0, 0);
  expect(answer.readUInt32LE(0)).toBe(2016);
  expect(answer.subarray(16).equals(data.subarray(1, 2001))).toBe(true);
  // There is no DAX window to map anything into.
  expect(send(Opcode.SetupMapping, {}, handle, 0n, 4096n, 0n, 0n).readInt32LE(4)).toBe(-38);
  expect(bench.core.sharedMemory(0)).toBeUndefined();
});

test('memory of bulk I/O is reported: a page in its turn for all of them, and nothing of the rest', () => {
  init();
  const [page, pages] = [4096, 16];
  const handle = create('file');
  const reported: number[][] = [];
  const { ram: seen } = bench.core;
  jest
    .spyOn(seen, 'transferred')
    .mockImplementation((...piece) => void reported.push(piece as number[]));
  const transfer = (opcode: number, size: number): number[][] => {
    reported.length = 0;
    const body = encode(handle, 0n, size, 0, 0n, 0, 0);
    const write = opcode === Opcode.Write;
    bench.ram.write(
      REQUEST,
      Buffer.concat([header(opcode, body.length + (write ? size : 0), { unique: ++unique }), body]),
    );
    const data = Array.from({ length: size / page }, (_, i) => ({
      address: REQUEST + page * (i + 1),
      length: page,
      writable: !write,
    }));
    const head = { address: REQUEST, length: 40 + body.length };
    const reply = { address: REPLY, length: write ? 24 : 16, writable: true };
    bench.rings[QUEUE]!.send(head, ...(write ? [...data, reply] : [reply, ...data]));
    bench.notify(QUEUE);
    expect(bench.rings[QUEUE]!.take()).toHaveLength(1);
    expect(bench.ram.read(REPLY, 8)[4]).toBe(0);
    return [...reported];
  };
  expect(transfer(Opcode.Write, pages * page)).toEqual([[REQUEST + page, page, pages]]);
  expect(transfer(Opcode.Read, pages * page)).toEqual([[REQUEST + 2 * page, page, pages]]);
  expect(transfer(Opcode.Write, pages * page)).toEqual([[REQUEST + 3 * page, page, pages]]);
  expect(transfer(Opcode.Write, 4 * page)).toEqual([]);
  expect(transfer(Opcode.Read, 4 * page)).toEqual([]);
});

test('a request in one descriptor, and an answer in many', () => {
  init();
  fs.writeFileSync(share.at('file'), 'text');
  const body = encode('file');
  bench.ram.write(REQUEST, Buffer.concat([header(Opcode.Lookup, body.length), body]));
  const pieces = Array.from({ length: 30 }, (_, i) => ({
    address: REPLY + 64 * i,
    length: 5,
    writable: true,
  }));
  bench.rings[QUEUE]!.send({ address: REQUEST, length: 40 + body.length }, ...pieces);
  bench.notify(QUEUE);
  expect(bench.rings[QUEUE]!.take().map(({ length }) => length)).toEqual([144]);
});

test('F-2: requests that wait do not hold the queue for FORGET and INTERRUPT up', async () => {
  init();
  const handle = create('file');
  const lock = (owner: bigint): Field[] => [
    handle,
    owner,
    0n,
    2n ** 63n - 1n,
    LockType.Write,
    1,
    0,
    0,
  ];
  send(Opcode.SetLk, {}, ...lock(1n));
  for (let i = 0; i < 12; i++) {
    put(QUEUE, Opcode.SetLkW, { unique: BigInt(1000 + i) }, lock(BigInt(2 + i)), i, 16);
  }
  bench.notify(QUEUE);
  expect(bench.rings[QUEUE]!.take()).toEqual([]);
  expect(share.server.waiting).toBe(12);

  put(HIPRIO, Opcode.Forget, { nodeId: 2 }, [1n], 12, 0);
  put(HIPRIO, Opcode.Interrupt, {}, [1003n], 13, 0);
  bench.notify(HIPRIO);
  expect(bench.rings[HIPRIO]!.take().map(({ length }) => length)).toEqual([0, 0]);
  await Promise.resolve();
  expect(bench.rings[QUEUE]!.take().map(({ length }) => length)).toEqual([16]);
  expect(Buffer.from(bench.ram.read(REPLY + 0x3000 + 4, 4)).readInt32LE(0)).toBe(-4);
  expect(share.server.waiting).toBe(11);
  expect(bench.needsReset).toBe(false);
});

test('a lock that is given back answers who waits for it, in the same turn', () => {
  init();
  const handle = create('file');
  const lock = (owner: bigint, type: LockType): Field[] => [handle, owner, 0n, 9n, type, 1, 0, 0];
  send(Opcode.SetLk, {}, ...lock(1n, LockType.Write));
  put(QUEUE, Opcode.SetLkW, {}, lock(2n, LockType.Write), 1, 16);
  bench.notify(QUEUE);
  put(QUEUE, Opcode.SetLk, {}, lock(1n, LockType.Unlock), 2, 16);
  bench.acknowledge();
  bench.rings[QUEUE]!.setUsedEvent(bench.rings[QUEUE]!.usedIndex);
  bench.notify(QUEUE);
  expect(bench.rings[QUEUE]!.take()).toHaveLength(2);
  expect(bench.acknowledge()).toBe(1);
});

test('a reset ends what waits, closes files, and the next driver begins anew', async () => {
  init();
  const handle = create('file');
  const lock = (owner: bigint): Field[] => [handle, owner, 0n, 9n, LockType.Write, 1, 0, 0];
  send(Opcode.SetLk, {}, ...lock(1n));
  put(QUEUE, Opcode.SetLkW, {}, lock(2n), 1, 16);
  bench.notify(QUEUE);
  bench.core.writeStatus(0);
  expect(share.directory.descriptors).toEqual({ nodes: 0, files: 0 });
  expect(share.server.waiting).toBe(0);
  await Promise.resolve();
  expect(bench.status).toBe(0);
  expect(bench.start().status).toBe(ALL_STEPS);
  expect(send(Opcode.GetAttr, { nodeId: ROOT }, 0, 0, 0n).readInt32LE(4)).toBe(-5);
  expect(init().readInt32LE(4)).toBe(0);
  create('file');
});

test('a reset in another thread is noticed while requests wait', async () => {
  init();
  const handle = create('file');
  const lock = (owner: bigint): Field[] => [handle, owner, 0n, 9n, LockType.Write, 1, 0, 0];
  send(Opcode.SetLk, {}, ...lock(1n));
  put(QUEUE, Opcode.SetLkW, {}, lock(2n), 1, 16);
  bench.notify(QUEUE);
  expect(share.server.waiting).toBe(1);
  // What a vCPU's thread has: the same registers, no server.
  bench.acknowledge();
  const other = new MmioBench(new FsDevice({ tag: 'share0' }), {}, bench.ram, bench.registers);
  other.core.writeStatus(0);
  const before = Buffer.from(bench.ram.read(REPLY, 0x2000));
  for (const end = Date.now() + 5000; share.server.waiting > 0 && Date.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(share.server.waiting).toBe(0);
  expect(share.directory.descriptors).toEqual({ nodes: 0, files: 0 });
  expect(other.status).toBe(0);
  expect(Buffer.from(bench.ram.read(REPLY, 0x2000)).equals(before)).toBe(true);
});

test('closed with requests that wait, the device touches guest memory no more', async () => {
  init();
  const handle = create('file');
  const lock = (owner: bigint): Field[] => [handle, owner, 0n, 9n, LockType.Write, 1, 0, 0];
  send(Opcode.SetLk, {}, ...lock(1n));
  put(QUEUE, Opcode.SetLkW, {}, lock(2n), 1, 16);
  put(QUEUE, Opcode.FSync, {}, [handle, 0n], 2, 16);
  bench.notify(QUEUE);
  expect(share.server.waiting).toBe(2);
  await bench.device.close();
  const used = bench.rings[QUEUE]!.deviceIndex;
  for (const end = Date.now() + 5000; share.server.waiting > 0 && Date.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(bench.rings[QUEUE]!.deviceIndex).toBe(used);
  expect(share.directory.descriptors).toEqual({ nodes: 0, files: 0 });
});

test('F14: chains that are no requests', () => {
  init();
  const ring = bench.rings[QUEUE]!;
  const readable = { address: REQUEST, length: 64 };
  const writable = { address: REPLY, length: 64, writable: true };
  bench.ram.write(REQUEST, header(Opcode.Lookup, 24));
  ring.send(readable);
  ring.send(writable);
  ring.send({ address: REQUEST, length: 0 });
  ring.send({ address: REQUEST, length: 39 }, writable);
  ring.send(readable, { ...writable, length: 15 });
  bench.notify(QUEUE);
  expect(ring.take().map(({ length }) => length)).toEqual([0, 16, 0, 16, 0]);
  expect(bench.needsReset).toBe(false);
});

test('more requests than a turn takes are served in the next ones', () => {
  init();
  for (let i = 0; i < 15; i++) put(QUEUE, Opcode.GetAttr, { nodeId: ROOT }, [0, 0, 0n], i, 120);
  bench.notify(QUEUE);
  put(QUEUE, Opcode.StatFs, { nodeId: ROOT }, [], 15, 96);
  bench.notify(QUEUE);
  expect(bench.rings[QUEUE]!.take()).toHaveLength(16);
});

test('kicked where there is no server, the device needs a reset', () => {
  const registers = VirtioRegisters.standalone(new FsDevice({ tag: 'x' }));
  const other = new MmioBench(new FsDevice({ tag: 'x' }), {}, bench.ram, registers).start();
  other.rings[1]!.send({ address: REQUEST, length: 40 });
  other.notify(1);
  expect(other.needsReset).toBe(true);
});

test('F14, C18: any request in any chain', () => {
  const rounds = fuzz((random) => {
    bench.start();
    init();
    for (let i = 0; i < 200; i++) {
      const queue = random.below(2);
      const opcode = random.pick([1, 2, 3, 4, 5, 8, 9, 10, 14, 15, 16, 22, 27, 28, 31, 35, 42, 44]);
      const at = REQUEST + random.below(0x1000);
      const given = { nodeId: random.below(9), length: 40 + random.below(100) };
      bench.ram.write(at, header(opcode, 0, given));
      for (let word = 0; word < 8; word++) bench.ram.set(at + 40 + 4 * word, 4, random.below(9));
      const pieces = Array.from({ length: 1 + random.below(4) }, (_, piece) => ({
        address:
          piece === 0
            ? at
            : random.chance(97)
              ? BigInt(REPLY + random.below(0x1000))
              : random.address(RAM_SIZE),
        length: piece === 0 ? given.length : random.below(0x800),
        writable: piece > 0,
      }));
      bench.rings[queue]!.send(...pieces);
      bench.notify(queue);
      if (bench.needsReset) bench.start();
    }
    expect(bench.start().status).toBe(ALL_STEPS);
    expect(init().readInt32LE(4)).toBe(0);
  });
  expect(rounds).toBeGreaterThan(0);
});
