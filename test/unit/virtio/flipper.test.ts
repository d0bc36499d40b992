/** C18: a second thread rewrites rings and requests while they are read, in memory of the real kind. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { DescriptorFlag } from '../../../src/devices/virtio/constants.js';
import { DescriptorChain } from '../../../src/devices/virtio/queue/descriptor-chain.js';
import { GuestRam } from '../../../src/devices/virtio/queue/guest-ram.js';
import {
  QueueRegisters,
  QueueWord,
  queueRegisterBytes,
} from '../../../src/devices/virtio/queue/queue-registers.js';
import { SplitQueue } from '../../../src/devices/virtio/queue/split-queue.js';
import {
  BlockRequestType as T,
  BlockStatus as S,
} from '../../../src/devices/virtio/block/block-layout.js';
import { GuestMemory } from '../../../src/memory/guest-memory.js';
import { CAPACITY, DiskBench, HeldBackend, USUAL } from './block/disk-bench.js';
import { FakeRam, WINDOW } from './fake-ram.js';

const ADDON = path.join(__dirname, '../../../build/Release/vexit.node');
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 2) / 4;
const RAM = 0x100000;
const SIZE = 16;
const [TABLE, DRIVER, DEVICE, INDIRECT] = [0x1000, 0x2000, 0x3000, 0x4000] as const;

/** Each flips one 32-bit word between something good and something bad. */
const FIELDS: readonly [string, number, number, number][] = [
  ['addr (low)', TABLE, 0x8000, RAM],
  ['addr (high)', TABLE + 4, 0, 1],
  ['len', TABLE + 8, 64, 0xffff_ffff],
  ['flags and next', TABLE + 12, DescriptorFlag.Write, 0xffff_0001],
  ['a loop', TABLE + 12, DescriptorFlag.Write, 1],
  ['the length of a table', TABLE + 16 + 8, 32, 0x10_0010],
  ['the address of a table', TABLE + 16, INDIRECT, RAM - 16],
  ['addr in a table', INDIRECT, 0x8000, 0xd000_0050],
  ['flags in a table', INDIRECT + 12, 0, DescriptorFlag.Indirect],
  ['the index of the available ring', DRIVER, 0x0002_0000, 0x8000_0000],
];
/** Both sides of a field have to have been seen: the other thread may not get a processor at once. */
const LONGEST_MS = 60_000;

const FLIPPER = `
  const { workerData, parentPort } = require('node:worker_threads');
  const { addon, id, size, field, good, bad, stop } = workerData;
  const words = new Uint32Array(require(addon).memoryWrap(id, 0, size));
  parentPort.postMessage('running');
  while (Atomics.load(stop, 0) === 0) {
    for (let i = 0; i < 1000; i++) { words[field / 4] = bad; words[field / 4] = good; }
  }`;

const describeWithAddon = existsSync(ADDON) ? describe : describe.skip;

describeWithAddon('a thread that flips', () => {
  let memory: GuestMemory;
  beforeEach(() => {
    memory = GuestMemory.create('virtio-test', [{ start: 0, size: RAM }]);
  });
  afterEach(() => memory.close());

  function makeQueue(ram: GuestRam): SplitQueue {
    const registers = new QueueRegisters(RegisterBlock.standalone(queueRegisterBytes(SIZE)), SIZE);
    const { words } = registers;
    words[QueueWord.Size] = SIZE;
    words[QueueWord.Indirect] = 1;
    words[QueueWord.Ready] = 1;
    words[QueueWord.DescriptorLow] = TABLE;
    words[QueueWord.DriverLow] = DRIVER;
    words[QueueWord.DeviceLow] = DEVICE;
    return new SplitQueue(registers, ram, 0, 0);
  }

  function writeTable(): void {
    const put = (at: number, address: number, length: number, flags: number): void => {
      memory.setUint64(at, BigInt(address));
      memory.setUint32(at + 8, length);
      memory.setUint32(at + 12, flags);
    };
    put(TABLE, 0x8000, 64, DescriptorFlag.Write);
    put(TABLE + 16, INDIRECT, 32, DescriptorFlag.Indirect);
    put(INDIRECT, 0x8000, 64, 0);
    for (let i = 0; i < SIZE; i++) memory.setUint16(DRIVER + 4 + 2 * i, i % 2);
  }

  /** Calls `look` while a field flips, for a while and until it says that it has seen enough. */
  async function whileFlipping(
    [field, good, bad]: readonly [number, number, number],
    look: () => boolean,
  ): Promise<void> {
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(FLIPPER, {
      eval: true,
      workerData: { addon: ADDON, id: memory.descriptor.id, size: RAM, field, good, bad, stop },
    });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    await new Promise((resolve) => worker.once('message', resolve));
    const start = performance.now();
    try {
      for (;;) {
        const enough = look();
        const time = performance.now() - start;
        if (enough && time > SECONDS * 1000) return;
        if (time > LONGEST_MS) throw new Error('only one side of the field has been seen');
      }
    } finally {
      Atomics.store(stop, 0, 1);
      await ended;
    }
  }

  test.each(FIELDS)(
    '%s sees what was checked used, and nothing else',
    async (_, field, good, bad) => {
      writeTable();
      const ram = new GuestRam(memory);
      const chain = new DescriptorChain(ram, SIZE, 0);
      const header = new Uint8Array(64);
      let accepted = 0;
      let refused = 0;
      let queue = makeQueue(ram);
      let index = 0;
      await whileFlipping([field, good, bad], () => {
        index = (index + 2) & 0xffff;
        memory.setUint16(DRIVER + 2, index);
        queue.begin(true, 64);
        while (queue.pop(chain)) {
          accepted++;
          for (const side of [chain.readable, chain.writable]) {
            for (let i = 0; i < side.count; i++) {
              expect(side.address(i) + side.size(i)).toBeLessThanOrEqual(RAM);
            }
          }
          queue.push(chain.token, chain.writable.write(header));
        }
        queue.end();
        if (queue.failure !== undefined) {
          refused++;
          queue = makeQueue(ram);
          index = 0;
        }
        return accepted > 0 && refused > 0;
      });
    },
    2 * LONGEST_MS,
  );

  const HEADER = 0x40000;
  const SECTORS = CAPACITY / 512;
  test.each([
    ['type of a request', HEADER, T.In, 0xffff_ffff],
    ['sector, which is the last one or behind it', HEADER + 8, SECTORS - 1, SECTORS],
    ['upper half of the sector', HEADER + 12, 0, 0x8000_0000],
  ] as const)(
    'the %s is read once: what was checked is done',
    async (_, field, good, bad) => {
      const ram = new FakeRam(WINDOW, (start) => memory.slices(start, WINDOW)[0]!);
      const backend = new HeldBackend(CAPACITY);
      const made = new DiskBench(backend, {}, { ram });
      made.start(USUAL);
      made.header(HEADER, T.In, 0);
      let [done, refused] = [0, 0];
      await whileFlipping([field, good, bad], () => {
        made.sendPieces(
          { address: HEADER, length: 16 },
          { address: HEADER + 0x100, length: 513, writable: true },
        );
        const asked = backend.calls.splice(0);
        made.finish();
        const status = ram.get(HEADER + 0x300, 1);
        const [length] = made.used();
        if (status === S.Ok) done++;
        else refused++;
        // Nothing was begun that was refused, and what was begun lies on the disk.
        if (asked.length !== (status === S.Ok ? 1 : 0)) throw new Error(`status ${status}`);
        if (status === S.Ok && length !== 513) throw new Error(`${length} bytes`);
        for (const { name, offset } of asked) {
          if (name !== 'read' || offset > CAPACITY - 512) throw new Error(`${name} at ${offset}`);
        }
        return done > 0 && refused > 0;
      });
      expect(made.needsReset).toBe(false);
    },
    2 * LONGEST_MS,
  );
});
