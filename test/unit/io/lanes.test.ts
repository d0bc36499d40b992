/** Buffered writes that wait in the kernel: one thread of the pool makes those of a file. */
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, statSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { EngineBench, VARIANTS, segments } from './engine-bench.js';

const EFBIG = -27;
const ECANCELED = -125;
const EXT4_MAGIC = 0xef53;

const THREADS = VARIANTS.find(({ kind }) => kind === 'threads')!;

const isExt4 = ({ directory }: EngineBench): boolean => statfsSync(directory).type === EXT4_MAGIC;
const threadNames = (): string[] =>
  readdirSync('/proc/self/task').map((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim();
    } catch {
      return ''; // it has ended
    }
  });
const threadsEnd = async (): Promise<void> => {
  for (let i = 0; i < 200 && threadNames().includes('vexit-io'); i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(threadNames()).not.toContain('vexit-io');
};
const drain = async ({ engine }: EngineBench): Promise<void> => {
  while (engine.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
};

test('registering a file writes nothing', () => {
  const bench = new EngineBench(THREADS);
  const content = randomBytes(10_000);
  const file = path.join(bench.directory, 'a');
  writeFileSync(file, content);
  const { mtimeNs, ctimeNs } = statSync(file, { bigint: true });
  bench.open('a', 'r+');
  expect(readFileSync(file).equals(content)).toBe(true);
  if (isExt4(bench)) expect(statSync(file, { bigint: true })).toMatchObject({ mtimeNs, ctimeNs });
  return bench.close();
});

describe('lanes', () => {
  let bench: EngineBench;
  beforeEach(() => {
    bench = new EngineBench(THREADS, { entries: 256 });
  });
  afterEach(() => bench.close());

  test('many writes of a file take one thread, and all arrive', async () => {
    const { engine, memory } = bench;
    const { file } = bench.open('a');
    memory.bytes.set(randomBytes(2 ** 20));
    await threadsEnd(); // those of the test before
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 256; i++) {
        const piece = segments([memory.address + i * 4096, 4096]);
        expect(engine.writev(file, piece, i * 4096, i)).toBe(true);
      }
      expect(engine.writev(file, segments([memory.address, 1]), 0, 999)).toBe(false);
      engine.submitAndReap();
      await drain(bench);
    }
    if (isExt4(bench)) expect(threadNames().filter((name) => name === 'vexit-io').length).toBe(1);
    expect(bench.completions.length).toBe(4 * 256);
    expect(bench.completions.every(({ result }) => result === 4096)).toBe(true);
    const written = readFileSync(path.join(bench.directory, 'a'));
    expect(written.equals(memory.bytes.subarray(0, 2 ** 20))).toBe(true);
  });

  test('each write has its own result, and files do not wait for each other', async () => {
    const { engine, memory } = bench;
    const files = ['a', 'b', 'c'].map((name) => bench.open(name).file);
    const list = segments([memory.address, 100], [memory.address + 5000, 200]);
    for (let i = 0; i < 192; i++) {
      // Behind what ext4 and others can hold.
      const offset = i % 7 === 3 ? 2 ** 53 - 2 ** 12 : i * 300;
      expect(engine.writev(files[i % 3]!, list, offset, i)).toBe(true);
    }
    engine.submit();
    await drain(bench);
    const results = bench.completions.toSorted((a, b) => a.token - b.token);
    const ext4 = isExt4(bench);
    const wanted = (i: number): number => (ext4 && i % 7 === 3 ? EFBIG : 300);
    expect(results).toEqual(
      Array.from({ length: 192 }, (_, i) => ({ token: i, result: wanted(i) })),
    );
  });

  test('a file that is taken out while its writes wait is written nevertheless', async () => {
    const { engine, memory } = bench;
    const { file, fd } = bench.open('a');
    for (let i = 0; i < 128; i++)
      engine.writev(file, segments([memory.address, 4096]), i * 4096, i);
    engine.unregister(file);
    await drain(bench);
    expect(bench.size(fd)).toBe(128 * 4096);
    expect(bench.completions.every(({ result }) => result === 4096)).toBe(true);
  });

  test('a flush covers the writes that have completed', async () => {
    const { memory } = bench;
    const { file } = bench.open('a');
    const piece = segments([memory.address, 4096]);
    expect(await bench.run((io, token) => io.writev(file, piece, 0, token))).toBe(4096);
    expect(await bench.run((io, token) => io.fdatasync(file, token))).toBe(0);
    expect(await bench.run((io, token) => io.writev(file, piece, 0, token, true))).toBe(4096);
  });

  test('within a completion nothing is delivered', async () => {
    let depth = 0;
    let deepest = 0;
    const nested = new EngineBench(THREADS, {
      entries: 64,
      onCompletion: (token) => {
        depth++;
        deepest = Math.max(deepest, depth);
        const { engine, memory } = nested;
        if (token < 100) {
          engine.readv(files[0]!, segments([memory.address, 512]), 0, token + 100);
          engine.writev(files[1]!, segments([memory.address, 512]), 0, token + 200);
        }
        expect(engine.submitAndReap()).toBe(0);
        expect(engine.reap()).toBe(0);
        depth--;
      },
    });
    const files = ['a', 'b'].map((name) => nested.open(name).file);
    const { engine, memory } = nested;
    const piece = segments([memory.address, 512]);
    engine.writev(files[0]!, piece, 0, 500);
    engine.submit();
    await drain(nested);
    for (let i = 0; i < 20; i++) {
      if (i % 2 === 0) engine.readv(files[0]!, piece, 0, i);
      else engine.writev(files[1]!, piece, 0, i);
    }
    engine.submitAndReap();
    await drain(nested);
    expect(deepest).toBe(1);
    const tokens = nested.completions.map(({ token }) => token).sort((a, b) => a - b);
    const wanted = Array.from({ length: 20 }, (_, i) => [i, 100 + i, 200 + i]).flat();
    expect(tokens).toEqual([...wanted, 500].sort((a, b) => a - b));
    await nested.close();
  });

  test('closing completes every write of a lane once', async () => {
    const { engine, memory } = bench;
    const { file } = bench.open('a');
    const megabyte = segments([memory.address, 2 ** 20]);
    for (let i = 0; i < 200; i++) engine.writev(file, megabyte, (i % 8) * 2 ** 20, i);
    engine.submit();
    await engine.close();
    const tokens = bench.completions.map(({ token }) => token).sort((a, b) => a - b);
    expect(tokens).toEqual(Array.from({ length: 200 }, (_, i) => i));
    for (const { result } of bench.completions) expect([2 ** 20, ECANCELED]).toContain(result);
  });
});

test('the threads of an engine that is closed end', async () => {
  const bench = new EngineBench(THREADS);
  const { file } = bench.open('a');
  const piece = segments([bench.memory.address, 4096]);
  await bench.run((io, token) => io.writev(file, piece, 0, token));
  await bench.close();
  await threadsEnd();
});
