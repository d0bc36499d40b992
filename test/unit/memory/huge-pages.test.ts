import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { GuestMemory } from '../../../src/memory/guest-memory';
import { HUGE_PAGE, HugePages } from '../../../src/memory/huge-pages';
import * as layout from '../../../src/memory/layout';

const WORTH = 8 * HUGE_PAGE;
const EINVAL = -22;
const ENODATA = -61;

/** Records what is asked for, and answers when told to. */
class Collapser {
  readonly offsets: number[] = [];
  private answer: ((result: number) => void) | undefined;

  readonly collapse = (offset: number, done: (result: number) => void): void => {
    this.offsets.push(offset);
    this.answer = done;
  };

  done(result = 0): void {
    this.answer!(result);
  }
}

describe('HugePages', () => {
  let collapser: Collapser;
  let pages: HugePages;
  const transfer = (offset: number, length: number, bytes: number): void => {
    for (let done = 0; done < bytes; done += length) pages.transferred(offset, length);
  };
  beforeEach(() => {
    collapser = new Collapser();
    pages = new HugePages(8 * HUGE_PAGE + 4096, collapser.collapse);
  });

  test('a chunk is collapsed when it has carried eight times its size, not before', () => {
    transfer(3 * HUGE_PAGE + 65536, 2 ** 20, WORTH - 2 ** 20);
    expect(collapser.offsets).toEqual([]);
    pages.transferred(3 * HUGE_PAGE, 2 ** 20);
    expect(collapser.offsets).toEqual([3 * HUGE_PAGE]);
  });

  test('a transfer over several chunks counts for each with what it has of it', () => {
    transfer(HUGE_PAGE / 2, 2 * HUGE_PAGE, 2 * WORTH);
    expect(collapser.offsets).toEqual([HUGE_PAGE]);
    collapser.done();
    transfer(HUGE_PAGE / 2, 2 * HUGE_PAGE, 2 * WORTH);
    // One at a time: the third has to ask again.
    expect(collapser.offsets).toEqual([HUGE_PAGE, 0]);
    collapser.done();
    pages.transferred(2 * HUGE_PAGE, 4096);
    expect(collapser.offsets).toEqual([HUGE_PAGE, 0, 2 * HUGE_PAGE]);
  });

  test('a piece that stands for others counts for them', () => {
    pages.transferred(2 * HUGE_PAGE + 8192, 4096, WORTH / 4096 - 1);
    expect(collapser.offsets).toEqual([]);
    pages.transferred(2 * HUGE_PAGE, 2048, 2);
    expect(collapser.offsets).toEqual([2 * HUGE_PAGE]);
  });

  test.each([0, ENODATA])('the next attempt takes eight times as much, after %d', (result) => {
    transfer(0, HUGE_PAGE, WORTH);
    collapser.done(result);
    transfer(0, HUGE_PAGE, 8 * WORTH - HUGE_PAGE);
    expect(collapser.offsets).toHaveLength(1);
    pages.transferred(0, HUGE_PAGE);
    expect(collapser.offsets).toEqual([0, 0]);
  });

  test('nothing is tried any more where the kernel cannot do it', () => {
    transfer(0, HUGE_PAGE, WORTH);
    collapser.done(EINVAL);
    transfer(HUGE_PAGE, HUGE_PAGE, 100 * WORTH);
    expect(collapser.offsets).toEqual([0]);
  });

  test('what is behind the last whole chunk is left alone', () => {
    transfer(8 * HUGE_PAGE, 4096, 2 * WORTH);
    expect(collapser.offsets).toEqual([]);
  });
});

const [major, minor] = release().split('.').map(Number) as [number, number];
const collapses = major > 6 || (major === 6 && minor >= 1) ? describe : describe.skip;

collapses('huge pages of guest memory (Linux 6.1)', () => {
  const size = 16 * 2 ** 20;
  let memory: GuestMemory;
  beforeEach(() => {
    memory = GuestMemory.create('vexit-huge', layout.memoryRegions(size));
  });
  afterEach(() => memory.close());

  /** KiB of the mapping that huge pages map, or that are there at all. */
  const inSmaps = (field: 'ShmemPmdMapped' | 'Rss'): number => {
    const [, rest] = readFileSync('/proc/self/smaps', 'utf8').split('memfd:vexit-huge');
    return Number(new RegExp(`${field}: *(\\d+) kB`).exec(rest!)![1]);
  };
  const transferAll = (): void => {
    for (let i = 0; i < 8; i++) memory.transferred(2 * HUGE_PAGE, HUGE_PAGE);
  };
  const until = async (condition: () => boolean): Promise<void> => {
    for (let i = 0; i < 500 && !condition(); i++) await new Promise((go) => setTimeout(go, 10));
    expect(condition()).toBe(true);
  };

  test('memory that is there becomes one, keeps its contents and can be given back', async () => {
    for (let at = 0; at < HUGE_PAGE; at += 4096) memory.setUint32(2 * HUGE_PAGE + at, at);
    expect(inSmaps('ShmemPmdMapped')).toBe(0);
    transferAll();
    await until(() => inSmaps('ShmemPmdMapped') === 2048);
    expect(inSmaps('Rss')).toBe(2048);
    memory.discard(2 * HUGE_PAGE + 4096, 8192);
    for (let at = 0; at < HUGE_PAGE; at += 4096) {
      const given = at === 4096 || at === 8192;
      expect(memory.getUint32(2 * HUGE_PAGE + at)).toBe(given ? 0 : at);
    }
    memory.discard(2 * HUGE_PAGE, HUGE_PAGE);
    expect(inSmaps('Rss')).toBe(0);
  });

  test('memory the guest has not touched is not taken', async () => {
    memory.fill(2 * HUGE_PAGE, HUGE_PAGE - 4096, 1);
    transferAll();
    await new Promise((go) => setTimeout(go, 300));
    expect(inSmaps('ShmemPmdMapped')).toBe(0);
    expect(inSmaps('Rss')).toBe(2044);
  });

  test('memory is closed while a page is being made', () => {
    memory.fill(2 * HUGE_PAGE, HUGE_PAGE, 1);
    transferAll();
    expect(() => memory.close()).not.toThrow();
  });
});
