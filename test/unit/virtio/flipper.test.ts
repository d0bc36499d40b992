/** C18: a second thread rewrites rings while they are read, in memory of the real kind. */
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
import { GuestMemory } from '../../../src/memory/guest-memory.js';

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
];

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

  test.each(FIELDS)(
    '%s sees what was checked used, and nothing else',
    async (_, field, good, bad) => {
      writeTable();
      const ram = new GuestRam(memory);
      const chain = new DescriptorChain(ram, SIZE, 0);
      const stop = new Int32Array(new SharedArrayBuffer(4));
      const worker = new Worker(FLIPPER, {
        eval: true,
        workerData: { addon: ADDON, id: memory.descriptor.id, size: RAM, field, good, bad, stop },
      });
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      await new Promise((resolve) => worker.once('message', resolve));
      const header = new Uint8Array(64);
      let accepted = 0;
      const end = performance.now() + SECONDS * 1000;
      try {
        let queue = makeQueue(ram);
        let index = 0;
        while (performance.now() < end) {
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
          if (queue.failure === undefined) continue;
          queue = makeQueue(ram);
          index = 0;
        }
      } finally {
        Atomics.store(stop, 0, 1);
        await ended;
      }
      expect(accepted).toBeGreaterThan(0);
    },
  );
});
