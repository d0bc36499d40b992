/** Random rings: valid chains come through exactly, all others without harm. */
import { DescriptorFlag } from '../../../src/devices/virtio/constants.js';
import { QueueWord } from '../../../src/devices/virtio/queue/queue-registers.js';
import { HIGH_RAM, RAM_SIZE } from './fake-ram.js';
import { fuzz, type Random } from './fuzz.js';
import { QueueBench, type Popped } from './queue-bench.js';
import type { Buffer as Piece } from './ring-driver.js';

const SIZES = [1, 2, 4, 16, 64] as const;
const TABLE = 0x8000;
const MAXIMUM = 64;

function randomBuffers(random: Random, most: number): Piece[] {
  const readable = random.below(most + 1);
  return Array.from({ length: Math.max(1, most) }, (_, i) => {
    const length = random.chance(10) ? 0 : 1 + random.below(0x1000);
    const high = random.chance(20) ? HIGH_RAM : 0;
    const address = high + random.below(RAM_SIZE - length);
    return { address, length, writable: i >= readable };
  });
}

/** What a device sees of valid buffers. */
function expected(buffers: readonly Piece[]): Omit<Popped, 'token'> {
  const list = (writable: boolean): Popped['readable'] =>
    buffers
      .filter((buffer) => buffer.length > 0 && buffer.writable === writable)
      .map(({ address, length }) => ({ address: Number(address), length }));
  return { readable: list(false), writable: list(true) };
}

describe('valid chains', () => {
  test('come through as they are, whatever the framing', () => {
    const rounds = fuzz((random) => {
      const size = random.pick(SIZES);
      const bench = new QueueBench({ size, maximumSize: MAXIMUM, eventIndex: random.chance(50) });
      for (let i = 0; i < 20; i++) {
        const indirect = random.chance(50);
        const buffers = randomBuffers(random, 1 + random.below(indirect ? MAXIMUM : size));
        const { driver } = bench;
        const head = indirect
          ? driver.indirect(
              TABLE + random.below(64),
              buffers,
              random.pick([0, DescriptorFlag.Write]),
            )
          : driver.chain(buffers);
        driver.offer(head);
        const [chain] = bench.serve();
        const { token, ...seen } = chain!;
        expect(token & 0xffff).toBe(head);
        expect(seen).toEqual(expected(buffers));
        const length = seen.writable.reduce((sum, segment) => sum + segment.length, 0);
        expect(driver.take()).toEqual([{ id: head, length }]);
      }
    });
    expect(rounds).toBeGreaterThan(1);
  });
});

/** A descriptor of anything, mostly close to something that works. */
function randomDescriptor(bench: QueueBench, random: Random, table: number, index: number): void {
  const length = random.chance(70) ? random.below(0x2000) : random.word();
  const flags = random.chance(80) ? random.below(8) : random.word() & 0xffff;
  const next = random.chance(80) ? random.below(MAXIMUM) : random.word() & 0xffff;
  const address = random.chance(20) ? BigInt(TABLE) : random.address(RAM_SIZE);
  const bytes = random.chance(30) ? 16 * random.below(8) : length;
  bench.driver.descriptor(index, address, bytes, flags, next, table);
}

function inRam({ address, length }: { address: number; length: number }): boolean {
  const end = address + length;
  const low = address >= 0 && end <= RAM_SIZE;
  return length > 0 && (low || (address >= HIGH_RAM && end <= HIGH_RAM + RAM_SIZE));
}

describe('any ring', () => {
  test('gives chains inside RAM or fails, and nothing but the used ring is written', () => {
    fuzz((random) => {
      const size = random.pick(SIZES);
      const bench = new QueueBench({
        size,
        maximumSize: MAXIMUM,
        eventIndex: random.chance(50),
        indirect: random.chance(80),
      });
      const { driver, ram, registers } = bench;
      for (let i = 0; i < size; i++) randomDescriptor(bench, random, driver.place.descriptors, i);
      for (let i = 0; i < 16; i++) randomDescriptor(bench, random, TABLE, i);
      for (let turn = 0; turn < 8; turn++) {
        const count = random.chance(90) ? random.below(size + 1) : random.below(0x10000);
        for (let i = 0; i < Math.min(count, size); i++) {
          const head = random.chance(90) ? random.below(size) : random.word() & 0xffff;
          ram.set(driver.place.driver + 4 + 2 * random.below(size), 2, head);
        }
        driver.availableIndex = (driver.availableIndex + count) & 0xffff;
        driver.setAvailableIndex(driver.availableIndex);
        driver.setUsedEvent(random.word() & 0xffff);
        driver.setAvailableFlags(random.word() & 0xffff);
        const before = ram.read(0, 0x10000);
        const chains = random.chance(80) ? bench.serve(100) : bench.popAll(100);
        const after = ram.read(0, 0x10000);
        const used = driver.place.device;
        before.fill(0, used, used + 6 + 8 * size);
        after.fill(0, used, used + 6 + 8 * size);
        expect(Buffer.compare(before, after)).toBe(0);
        expect(registers.words[QueueWord.InFlight]).toBeLessThanOrEqual(size);
        for (const { readable, writable } of chains) {
          const segments = [...readable, ...writable];
          expect(segments.length).toBeLessThanOrEqual(MAXIMUM);
          expect(segments.every(inRam)).toBe(true);
        }
        if (bench.queue.failure !== undefined) break;
      }
    });
  });

  test('I4: any register block fails or works, and memory outside RAM stays out of reach', () => {
    fuzz((random) => {
      const bench = new QueueBench({ size: 16, maximumSize: MAXIMUM });
      bench.driver.send({ address: 0x9000, length: 8, writable: true });
      const { words, block } = bench.registers;
      for (let i = 0; i < 4; i++) words[random.below(QueueWord.Count)] = random.word();
      for (let i = 0; i < 4; i++) block.bytes[random.below(block.bytes.length)] = random.below(256);
      for (let turn = 0; turn < 4; turn++) {
        const chains = bench.serve(100);
        expect(chains.flatMap(({ writable }) => writable).every(inRam)).toBe(true);
      }
      bench.registers.reset();
      expect(words[QueueWord.Size]).toBe(MAXIMUM);
    });
  });
});
