/** Raw disks: straight to the file, and what files do that they should not. */
import { readFileSync, statSync, truncateSync } from 'node:fs';
import { allocateHostBytes } from '../../../src/block/host-memory.js';
import { closeRaw, openRaw, type OpenRaw } from '../../../src/block/raw/open-raw.js';
import { RawBackend } from '../../../src/block/raw/raw-backend.js';
import { thrownBy } from '../../support/thrown.js';
import { BackendBench, expectBytes, pattern, scratch } from './backend-bench.js';
import { HostSpace, makeEngine, type EngineOptions } from './test-engine.js';

const SIZE = 256 * 1024;
const files = scratch();
const open: OpenRaw[] = [];
let counter = 0;

afterEach(() => {
  for (const file of open.splice(0)) closeRaw(file);
});

function bench(
  options: EngineOptions = {},
  more: { direct?: boolean; content?: Uint8Array | number; capacity?: number } = {},
): BackendBench & { file: string; engine: ReturnType<typeof makeEngine>['engine'] } {
  const file = files.file(`raw${counter++}`, more.content ?? SIZE);
  const raw = openRaw(file, { direct: more.direct ?? false });
  open.push(raw);
  const { engine, dispatcher, space } = makeEngine(new HostSpace(), options);
  const capacity = more.capacity;
  const described = capacity === undefined ? raw : { ...raw, capacity };
  const backend = new RawBackend(described, engine, dispatcher, space.allocate);
  return Object.assign(new BackendBench(backend, space, () => engine.drain()), { file, engine });
}

describe('reads and writes', () => {
  test('go to the file, as one call each', () => {
    const made = bench();
    expect(made.write(4096, pattern(8192, 1))).toBe(0);
    expectBytes(readFileSync(made.file).subarray(4096, 12288), pattern(8192, 1));
    expectBytes(made.read(4096, 8192), pattern(8192, 1));
    expect(made.engine.operations.map(({ kind }) => kind)).toEqual(['writev', 'readv']);
  });

  test('short transfers are continued where they ended', () => {
    let steps = 0;
    const made = bench({
      fault: ({ length }) => (steps++ % 3 < 2 ? Math.min(length, 700) : undefined),
    });
    expect(made.write(512, pattern(5120, 2))).toBe(0);
    expectBytes(made.read(512, 5120), pattern(5120, 2));
    expect(steps).toBeGreaterThan(4);
  });

  test('EINTR and EAGAIN are tried again, not for ever', () => {
    let left = 5;
    const made = bench({ fault: () => (left-- > 0 ? (left % 2 === 0 ? -4 : -11) : undefined) });
    expect(made.write(0, pattern(512, 3))).toBe(0);
    left = Infinity;
    expect(made.write(0, pattern(512, 3))).toBeLessThan(0);
  });

  test.each([-28, -5, -122])('error %d is the result, once', (error) => {
    const made = bench({ fault: () => error });
    expect(made.write(0, pattern(512, 3))).toBe(error);
    expect(made.read(0, 512)).toBe(error);
    expect(made.flush()).toBe(error);
  });

  test('a write that takes nothing is an error', () => {
    const made = bench({ fault: ({ kind }) => (kind === 'writev' ? 0 : undefined) });
    expect(made.write(0, pattern(512, 3))).toBe(-5);
  });

  test('stable writes are marked, a flush is fdatasync', () => {
    const made = bench();
    made.write(0, pattern(512, 1), true);
    made.write(0, pattern(512, 1), false);
    made.flush();
    expect(made.engine.operations.map(({ kind, dataSync }) => [kind, dataSync])).toEqual([
      ['writev', true],
      ['writev', false],
      ['fdatasync', true],
    ]);
  });
});

describe('the end of the file', () => {
  test('E11, E27: a file that has shrunk gives errors and a log line, and comes back', () => {
    const made = bench({}, { content: pattern(SIZE, 5) });
    truncateSync(made.file, 8192);
    expect(made.read(8192, 512)).toBe(-5);
    expect(made.read(4096, 8192)).toBe(-5);
    expectBytes(made.read(0, 8192), pattern(SIZE, 5).subarray(0, 8192));
    expect(made.lines[0]).toMatch(/raw\d+: it has shrunk from 262144 to 8192 bytes/);
    truncateSync(made.file, SIZE);
    expectBytes(made.read(8192, 512), Buffer.alloc(512));
  });

  test('what is behind the end of the file from the beginning reads as zeroes', () => {
    const made = bench({}, { content: pattern(1024, 6), capacity: 8192 });
    expectBytes(
      made.read(512, 2048),
      Buffer.concat([pattern(1024, 6).subarray(512), Buffer.alloc(1536)]),
    );
    expect(made.write(4096, pattern(512, 7))).toBe(0);
    expectBytes(made.read(2048, 2560), Buffer.concat([Buffer.alloc(2048), pattern(512, 7)]));
  });

  test('resize gives the file another length', async () => {
    const made = bench();
    await made.backend.resize?.(2 * SIZE);
    expect(statSync(made.file).size).toBe(2 * SIZE);
    expect(made.backend.capacity).toBe(2 * SIZE);
    expectBytes(made.read(2 * SIZE - 512, 512), Buffer.alloc(512));
  });
});

describe('discard and write zeroes', () => {
  const content = pattern(SIZE, 9);

  test.each([true, false])('B-6: zeroes afterwards, with unmap %s', (unmap) => {
    const made = bench({}, { content });
    expect(made.writeZeroes(512, 8192, unmap)).toBe(0);
    expectBytes(
      made.read(0, 9728),
      Buffer.concat([content.subarray(0, 512), Buffer.alloc(8192), content.subarray(8704, 9728)]),
    );
    expect(made.engine.operations[0]!.kind).toBe('fallocate');
  });

  test.each([true, false])('B-6: a file system without it is written to, unmap %s', (unmap) => {
    const made = bench(
      { fault: ({ kind }) => (kind === 'fallocate' ? -95 : undefined) },
      { content: pattern(3 * 2 ** 20, 4) },
    );
    const length = 2.5 * 2 ** 20;
    expect(made.writeZeroes(512, length, unmap)).toBe(0);
    expectBytes(made.read(512, length), Buffer.alloc(length));
    expectBytes(made.read(0, 512), pattern(512, 4));
    const tried = made.engine.operations.filter(({ kind }) => kind === 'fallocate').length;
    expect(made.writeZeroes(0, 512, unmap)).toBe(0);
    expect(made.engine.operations.filter(({ kind }) => kind === 'fallocate')).toHaveLength(tried);
  });

  test('a stable one ends on storage', () => {
    const made = bench({}, { content });
    expect(made.writeZeroes(0, 4096, false, true)).toBe(0);
    expect(made.engine.operations.map(({ kind }) => kind)).toEqual(['fallocate', 'fdatasync']);
  });

  test('a discard that the file system does not know succeeds', () => {
    const made = bench({ fault: () => -95 }, { content });
    expect(made.discard(0, 4096)).toBe(0);
    expect(made.discard(0, 4096)).toBe(0);
    expect(made.engine.operations).toHaveLength(1);
    expectBytes(readFileSync(made.file), content);
  });
});

describe('a full engine', () => {
  test('refuses, says when to try again, and loses nothing', () => {
    const made = bench({ capacity: 2 });
    const bytes = pattern(512, 1);
    const first = made.start((t) => made.backend.write(made.segments(bytes).segments, 0, t, false));
    const second = made.start((t) =>
      made.backend.write(made.segments(bytes).segments, 512, t, false),
    );
    expect(made.backend.flush(99)).toBe(false);
    made.engine.reap(1);
    expect(made.retries).toBe(1);
    const third = made.start((t) => made.backend.flush(t));
    made.engine.drain();
    expect([first, second, third].map(({ result }) => result)).toEqual([0, 0, 0]);
  });

  test('several disks on one engine take turns', () => {
    const { engine, dispatcher, space } = makeEngine(new HostSpace(), { capacity: 1 });
    const benches = [0, 1, 2].map(() => {
      const raw = openRaw(files.file(`raw${counter++}`, SIZE));
      open.push(raw);
      return new BackendBench(new RawBackend(raw, engine, dispatcher, space.allocate), space);
    });
    const ended = [benches[0]!.start((t) => benches[0]!.backend.flush(t))];
    expect(benches[1]!.backend.flush(50)).toBe(false);
    expect(benches[2]!.backend.flush(50)).toBe(false);
    engine.reap(1);
    expect(benches.map(({ retries }) => retries)).toEqual([0, 1, 1]);
    ended.push(benches[2]!.start((t) => benches[2]!.backend.flush(t)));
    engine.drain();
    expect(ended.map(({ result }) => result)).toEqual([0, 0]);
  });
});

describe('O_DIRECT', () => {
  /** Memory with real addresses, as alignment is about them. */
  function directBench(): (BackendBench & { file: string; used(): string[] }) | undefined {
    const file = files.file(`raw${counter++}`, pattern(SIZE, 3));
    let raw: OpenRaw;
    try {
      raw = openRaw(file, { direct: true });
    } catch {
      return undefined; // the file system of the temporary directory has none
    }
    open.push(raw);
    const { engine, dispatcher, space } = makeEngine();
    Object.assign(space, {
      allocate: (length: number) => {
        const host = allocateHostBytes(length);
        space.add(host.address, length, (at, count) => [host.bytes.subarray(at, at + count)]);
        return host;
      },
    });
    const backend = new RawBackend(raw, engine, dispatcher, space.allocate);
    const made = new BackendBench(backend, space, () => engine.drain());
    const used = (): string[] =>
      engine.operations.map(({ fd }) => (fd === raw.fd ? 'direct' : 'buffered'));
    return Object.assign(made, { file, used });
  }

  test('aligned requests go past the page cache, others through it, and they agree', () => {
    const made = directBench();
    if (made === undefined) return;
    // Halves of 8192 bytes begin at 0 and at 4096 + 64: the second piece is not aligned.
    expect(made.write(4096, pattern(8192, 8))).toBe(0);
    expectBytes(made.read(4096, 8192), pattern(8192, 8));
    expect(new Set(made.used())).toEqual(new Set(['buffered']));
    const { memory, segments } = made.segments(new Uint8Array(16384));
    segments.clear();
    segments.append(memory, 0, 8192);
    const ended = made.start((token) => made.backend.read(segments, 4096, token));
    made.flush();
    expect(ended.result).toBe(0);
    expect(made.used()).toContain('direct');
    const bytes = Buffer.alloc(8192);
    segments.copyOut(0, bytes, 0, 8192);
    expectBytes(bytes, pattern(8192, 8));
  });
});

test('a path and a descriptor are all that is needed of a file', () => {
  expect(thrownBy(() => openRaw('/nonexistent/disk'))).toMatchObject({
    code: 'ERR_DISK',
    message: 'disk /nonexistent/disk does not exist',
  });
});
