/** Consuming the bytes of a chain: framing does not matter, and nothing outside it is touched. */
import { GuestRam, RamCursor } from '../../../src/devices/virtio/queue/guest-ram.js';
import {
  IOVEC_WORDS,
  ReadableSegments,
  WritableSegments,
} from '../../../src/devices/virtio/queue/segments.js';
import { FakeRam, HIGH_RAM, RAM_SIZE, WINDOW } from './fake-ram.js';

function readable(ram: FakeRam, pieces: readonly [number, number][]): ReadableSegments {
  const segments = new ReadableSegments(new RamCursor(new GuestRam(ram), 0), 64);
  for (const [address, length] of pieces) segments.append(address, length);
  return segments;
}

function writable(ram: FakeRam, pieces: readonly [number, number][]): WritableSegments {
  const segments = new WritableSegments(new RamCursor(new GuestRam(ram), 0), 64);
  for (const [address, length] of pieces) segments.append(address, length);
  return segments;
}

const bytes = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

describe('reading', () => {
  test('S-1: a header in sixteen pieces is the same header', () => {
    const ram = new FakeRam();
    const header = bytes(16);
    const pieces = Array.from(header, (byte, i): [number, number] => {
      ram.write(0x8000 + 3 * i, [byte]);
      return [0x8000 + 3 * i, 1];
    });
    const target = new Uint8Array(16);
    expect(readable(ram, pieces).read(target)).toBe(16);
    expect(target).toEqual(header);
  });

  test.each([1, 63, 64, 65, 1000, 2 * WINDOW])('%d bytes across windows', (length) => {
    const ram = new FakeRam();
    const data = bytes(length);
    ram.write(WINDOW - 33, data);
    const segments = readable(ram, [[WINDOW - 33, length]]);
    const target = new Uint8Array(length + 2);
    expect(segments.read(target, 1, length)).toBe(length);
    expect(target.subarray(1, length + 1)).toEqual(data);
    expect(target[0]).toBe(0);
    expect(target[length + 1]).toBe(0);
    expect(segments.length).toBe(0);
    expect(segments.count).toBe(0);
  });

  test('asking for more than there is gives what there is', () => {
    const segments = readable(new FakeRam(), [
      [0x8000, 3],
      [0x9000, 4],
    ]);
    expect(segments.read(new Uint8Array(100))).toBe(7);
    expect(segments.read(new Uint8Array(100))).toBe(0);
  });
});

describe('writing', () => {
  test.each([1, 64, 65, 5000])('%d bytes in pieces, and not one more', (length) => {
    const ram = new FakeRam();
    const at = HIGH_RAM + WINDOW - 20;
    const segments = writable(ram, [
      [at, 30],
      [0x100, length],
    ]);
    const data = bytes(30 + length);
    expect(segments.write(data)).toBe(30 + length);
    expect(ram.read(at, 30)).toEqual(data.subarray(0, 30));
    expect(ram.read(0x100, length)).toEqual(data.subarray(30));
    expect(ram.get(at - 1, 1) + ram.get(at + 30, 1) + ram.get(0xff, 1)).toBe(0);
    expect(ram.get(0x100 + length, 1)).toBe(0);
    expect(segments.write(data)).toBe(0);
  });

  test('filling in place goes piece by piece up to the limit', () => {
    const ram = new FakeRam();
    const segments = writable(ram, [
      [WINDOW - 8, 16],
      [0x100, 100],
    ]);
    const sizes: number[] = [];
    const filled = segments.fill(20, (piece) => {
      sizes.push(piece.length);
      piece.fill(0xaa);
    });
    expect(filled).toBe(20);
    expect(sizes).toEqual([8, 8, 4]);
    expect(segments.length).toBe(96);
    expect(segments.address(0)).toBe(0x104);
    expect(ram.get(0x103, 1)).toBe(0xaa);
    expect(ram.get(0x104, 1)).toBe(0);
  });
});

describe('positions', () => {
  const pieces: [number, number][] = [
    [0x1000, 10],
    [0x2000, 20],
    [0x3000, 30],
  ];

  test.each([
    [0, 0x1000, 60],
    [9, 0x1009, 51],
    [10, 0x2000, 50],
    [45, 0x300f, 15],
  ])('skip %d', (count, address, left) => {
    const segments = readable(new FakeRam(), pieces);
    expect(segments.skip(count)).toBe(count);
    expect(segments.address(0)).toBe(address);
    expect(segments.length).toBe(left);
  });

  test('skipping more than there is stops at the end', () => {
    const segments = readable(new FakeRam(), pieces);
    expect(segments.skip(1e9)).toBe(60);
    expect(segments.count).toBe(0);
    expect(() => segments.address(0)).toThrow(RangeError);
  });

  test.each([
    [0, []],
    [10, [10]],
    [11, [10, 1]],
    [59, [10, 20, 29]],
    [60, [10, 20, 30]],
    [61, [10, 20, 30]],
  ])('truncate to %d', (length, sizes) => {
    const segments = readable(new FakeRam(), pieces);
    segments.truncate(length);
    expect(Array.from({ length: segments.count }, (_, i) => segments.size(i))).toEqual(sizes);
    expect(segments.length).toBe(Math.min(length, 60));
  });

  test('skip, then truncate', () => {
    const segments = readable(new FakeRam(), pieces);
    segments.skip(15);
    segments.truncate(20);
    expect([segments.address(0), segments.size(0), segments.address(1), segments.size(1)]).toEqual([
      0x2005, 15, 0x3000, 5,
    ]);
  });

  test('iovecs carry host addresses, as many as fit', () => {
    const segments = readable(new FakeRam(), [
      [HIGH_RAM + 0x1234, 0x5678],
      [0x2000, 1],
    ]);
    const words = new Uint32Array(3 * IOVEC_WORDS);
    expect(segments.iovecs(words, IOVEC_WORDS)).toBe(2);
    expect([...words.subarray(4, 8)]).toEqual([0x1234, 0x7f01, 0x5678, 0]);
    expect([...words.subarray(8, 12)]).toEqual([0x2000, 0x7f00, 1, 0]);
    expect(segments.iovecs(words, 7)).toBe(1);
    expect(segments.length).toBe(0x5679);
  });

  test('pieces that adjoin are one iovec', () => {
    const segments = readable(new FakeRam(), [
      [0x2000, 0x1000],
      [0x3000, 0x1000],
      [0x4000, 8],
      [0x4007, 1],
      [0x1fff, 1],
      [0x2000, 1],
    ]);
    segments.skip(0x10);
    const words = new Uint32Array(3 * IOVEC_WORDS);
    expect(segments.iovecs(words)).toBe(3);
    expect([...words.subarray(0, 3)]).toEqual([0x2010, 0x7f00, 0x1ff8]);
    expect([...words.subarray(4, 7)]).toEqual([0x4007, 0x7f00, 1]);
    expect([...words.subarray(8, 11)]).toEqual([0x1fff, 0x7f00, 2]);
    expect(segments.iovecs(words, 2 * IOVEC_WORDS)).toBe(1);
    expect(words[10]).toBe(0x1ff8);
  });

  test('pieces on both sides of a hole are two iovecs, though they adjoin on the host', () => {
    class Folded extends FakeRam {
      override hostAddress(address: number): bigint {
        return super.hostAddress(address < HIGH_RAM ? address : address - HIGH_RAM + RAM_SIZE);
      }
    }
    const segments = readable(new Folded(), [
      [RAM_SIZE - 4, 4],
      [HIGH_RAM, 4],
    ]);
    expect(segments.iovecs(new Uint32Array(2 * IOVEC_WORDS))).toBe(2);
  });
});
