/** The ring between two threads: alone, and with both at full speed. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { transformSync } from '@swc/core';
import { SharedRing } from '../../../src/devices/virtio/shared-ring.js';
import { fuzz } from './fuzz.js';

const [HEAD, TAIL] = [0, 16] as const;

interface Parts {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly data: Uint8Array<SharedArrayBuffer>;
}

function parts(capacity: number, counter = 0): Parts {
  const words = new Int32Array(new SharedArrayBuffer(256)).fill(counter, 0, 32);
  return { words, data: new Uint8Array(new SharedArrayBuffer(capacity)) };
}

function make(capacity: number, counter = 0): SharedRing {
  const { words, data } = parts(capacity, counter);
  return new SharedRing(words, HEAD, TAIL, data);
}

const bytes = (length: number, first = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => first + i);

describe('one thread', () => {
  test('takes what fits, gives what is there', () => {
    const ring = make(16);
    expect(ring.write(bytes(20))).toBe(16);
    expect(ring.write(bytes(1))).toBe(0);
    expect([ring.length, ring.space]).toEqual([16, 0]);
    const target = new Uint8Array(10);
    expect(ring.read(target)).toBe(10);
    expect(target).toEqual(bytes(10));
    expect(ring.write(bytes(9, 16))).toBe(9);
    expect(ring.read(target)).toBe(10);
    expect(target).toEqual(bytes(10, 10));
    expect(ring.read(target)).toBe(5);
    expect(ring.read(target)).toBe(0);
  });

  test.each([0x7fff_fff8, 0xffff_fff8])('goes on when counters wrap at 0x%s', (counter) => {
    const ring = make(16, counter);
    for (let i = 0; i < 10; i++) {
      expect(ring.write(bytes(11, i))).toBe(11);
      const target = new Uint8Array(11);
      expect(ring.read(target)).toBe(11);
      expect(target).toEqual(bytes(11, i));
    }
  });

  test('pieces from a source and to a sink that stop early', () => {
    const ring = make(16, 12);
    let given = 0;
    const source = {
      read(target: Uint8Array, offset: number, length: number): number {
        const count = Math.min(length, 7 - given);
        for (let i = 0; i < count; i++) target[offset + i] = given++;
        return count;
      },
    };
    expect(ring.fillFrom(source, 3)).toBe(3);
    expect(ring.fillFrom(source, 16)).toBe(4);
    expect(ring.fillFrom(source, 16)).toBe(0);
    const seen: number[] = [];
    const sink = {
      write(from: Uint8Array, offset: number, length: number): number {
        const count = Math.min(length, 6 - seen.length);
        seen.push(...from.subarray(offset, offset + count));
        return count;
      },
    };
    expect(ring.drainTo(sink)).toBe(6);
    expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
    expect(ring.drainTo(sink)).toBe(0);
    expect(ring.length).toBe(1);
  });

  test('I4: any counters stay inside the data', () => {
    fuzz((random) => {
      const { words, data } = parts(64);
      const guard = new Uint8Array(data.buffer);
      const ring = new SharedRing(words, HEAD, TAIL, data.subarray(16, 32));
      guard.fill(0xee);
      words[HEAD] = random.word();
      words[TAIL] = random.word();
      for (let i = 0; i < 20; i++) {
        expect(ring.length).toBeLessThanOrEqual(16);
        if (random.chance(50)) ring.write(new Uint8Array(random.below(40)));
        else expect(ring.read(new Uint8Array(random.below(40)))).toBeLessThanOrEqual(16);
      }
      expect(guard.subarray(0, 16).every((byte) => byte === 0xee)).toBe(true);
      expect(guard.subarray(32).every((byte) => byte === 0xee)).toBe(true);
    });
  });
});

/** Workers of Node.js 20 do not load TypeScript: the class as CommonJS. */
function compiled(): string {
  const file = path.join(__dirname, '../../../src/devices/virtio/shared-ring.ts');
  return transformSync(readFileSync(file, 'utf8'), {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'commonjs' },
  }).code;
}

/**
 * Each byte depends on its place, in steps of a prime: a byte that is lost, doubled or old does not
 * go unseen. Chunks have all sizes; a thread that finds nothing to do sleeps on the other's counter.
 */
const BODY = `
  const { workerData, parentPort } = require('node:worker_threads');
  const { words, data, total, seed } = workerData;
  const ring = new exports.SharedRing(words, ${HEAD}, ${TAIL}, data);
  const table = new Uint8Array(251 * 512);
  for (let i = 0; i < table.length; i++) table[i] = (i % 251) ^ 0x5a;
  let random = seed;
  const size = () => 1 + ((random = (Math.imul(random, 1664525) + 1013904223) >>> 0) % 40000);
  let done = 0, sum = 0;`;
const PRODUCER = `
  while (done < total) {
    const at = done % 251;
    const head = Atomics.load(words, ${HEAD});
    const count = ring.write(table.subarray(at, at + Math.min(size(), total - done)));
    done += count;
    Atomics.notify(words, ${TAIL});
    if (count === 0) Atomics.wait(words, ${HEAD}, head, 100);
  }
  parentPort.postMessage({ done });`;
const CONSUMER = `
  const target = new Uint8Array(40000);
  let wrong = -1;
  while (done < total && wrong < 0) {
    const tail = Atomics.load(words, ${TAIL});
    const count = ring.read(target.subarray(0, size()));
    Atomics.notify(words, ${HEAD});
    if (count === 0) { Atomics.wait(words, ${TAIL}, tail, 100); continue; }
    const at = done % 251;
    if (Buffer.compare(target.subarray(0, count), table.subarray(at, at + count)) !== 0) wrong = done;
    done += count;
  }
  parentPort.postMessage({ done, wrong });`;

describe('two threads', () => {
  test.each([256, 65536])(
    '100 MB through %d bytes arrive whole and in order',
    async (capacity) => {
      const total = capacity < 1024 ? 4_000_000 : 100_000_000;
      const { words, data } = parts(capacity, 0xffff_0000);
      const run = (body: string, seed: number): Promise<unknown> =>
        new Promise((resolve, reject) => {
          const worker = new Worker(`${compiled()}\n${BODY}${body}`, {
            eval: true,
            workerData: { words, data, total, seed },
          });
          worker.once('message', resolve).once('error', reject);
        });
      const results = await Promise.all([run(PRODUCER, 1), run(CONSUMER, 2)]);
      expect(results).toEqual([{ done: total }, { done: total, wrong: -1 }]);
    },
    60_000,
  );
});
