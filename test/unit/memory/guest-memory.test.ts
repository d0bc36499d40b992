import { GuestMemory } from '../../../src/memory/guest-memory';
import * as layout from '../../../src/memory/layout';
import { thrownBy } from '../../support/thrown';

const GIB = 2 ** 30;
const outside = 'is not in RAM';

describe('GuestMemory of 16 MiB', () => {
  const size = 16 * 2 ** 20;
  let memory: GuestMemory;
  beforeAll(() => {
    memory = GuestMemory.create('vexit-test', layout.memoryRegions(size));
  });
  afterAll(() => memory.close());

  test.each([
    [size, 0],
    [size - 1, 1],
    [size - 3, 3],
    [size - 7, 7],
    [-1, -1],
    [2 ** 53, 2 ** 53],
    [NaN, NaN],
  ])('accesses that end beyond RAM fail: %d', (address, lastWidth) => {
    const widths = [1, 2, 4, 8].filter(
      (width) => !(lastWidth > 0 && lastWidth < 8 && width <= lastWidth),
    );
    for (const width of widths) {
      const bits = width * 8;
      const get = { 8: 'getUint8', 16: 'getUint16', 32: 'getUint32', 64: 'getUint64' } as const;
      const set = { 8: 'setUint8', 16: 'setUint16', 32: 'setUint32', 64: 'setUint64' } as const;
      const key = bits as 8 | 16 | 32 | 64;
      expect(() => memory[get[key]](address)).toThrow();
      expect(() => memory[set[key]](address, (key === 64 ? 0n : 0) as never)).toThrow();
    }
    expect(() => memory.read(address, 8)).toThrow(outside);
    expect(() => memory.write(address, new Uint8Array(8))).toThrow(outside);
    expect(() => memory.fill(address, 8)).toThrow(outside);
    expect(() => memory.slices(address, 8)).toThrow(outside);
    expect(() => memory.hostAddress(address, 8)).toThrow(outside);
    expect(memory.contains(address, 8)).toBe(false);
  });

  test('lengths that are negative, endless or not numbers are not in RAM', () => {
    for (const length of [-1, Infinity, NaN, 2 ** 60]) {
      expect(memory.contains(0, length)).toBe(false);
      expect(() => memory.slices(0, length)).toThrow(outside);
    }
    expect(memory.contains(0, size)).toBe(true);
    expect(memory.contains(size, 0)).toBe(true);
    expect(memory.contains(1, size)).toBe(false);
  });

  test('little-endian values and bytes are the same memory', () => {
    memory.setUint64(0x1000, 0x0123456789abcdefn);
    expect(memory.getUint32(0x1000)).toBe(0x89abcdef);
    expect(memory.getUint32(0x1004)).toBe(0x01234567);
    expect(memory.getUint16(0x1001)).toBe(0xabcd);
    expect(memory.getUint8(0x1007)).toBe(0x01);
    expect(Buffer.from(memory.read(0x1000, 8)).toString('hex')).toBe('efcdab8967452301');
    memory.write(size - 2, Uint8Array.of(1, 2));
    expect(memory.getUint16(size - 2)).toBe(0x0201);
    memory.fill(0x1000, 4, 0xff);
    expect(memory.getUint64(0x1000)).toBe(0x01234567ffffffffn);
  });

  test('read gives a copy, slices give the memory', () => {
    const copy = memory.read(0x2000, 4);
    const [slice] = memory.slices(0x2000, 4);
    memory.setUint8(0x2000, 0x77);
    expect(copy[0]).toBe(0);
    expect(slice![0]).toBe(0x77);
  });

  test('another view of the same memory', () => {
    const other = GuestMemory.attach(memory.descriptor);
    memory.setUint32(0x3000, 0xdeadbeef);
    expect(other.getUint32(0x3000)).toBe(0xdeadbeef);
    const slice = other.slices(0x3000, 4)[0]!;
    other.close();
    expect(slice.length).toBe(0);
    expect(() => other.getUint32(0x3000)).toThrow();
    expect(memory.getUint32(0x3000)).toBe(0xdeadbeef);
  });

  test('discarded pages read as zeroes', () => {
    memory.setUint32(0x5000, 1);
    memory.setUint32(0x6000, 2);
    memory.discard(0x5000, 4096);
    expect(memory.getUint32(0x5000)).toBe(0);
    expect(memory.getUint32(0x6000)).toBe(2);
    expect(() => memory.discard(size, 4096)).toThrow();
  });
});

describe('GuestMemory of 5 GiB', () => {
  const high = layout.MMIO_HOLE_END;
  let memory: GuestMemory;
  beforeAll(() => {
    memory = GuestMemory.create('vexit-test', layout.memoryRegions(5 * GIB));
  });
  afterAll(() => memory.close());

  test('two regions around the hole', () => {
    expect(memory.size).toBe(5 * GIB);
    expect(memory.lowEnd).toBe(layout.MMIO_HOLE_START);
    expect(memory.contains(layout.MMIO_HOLE_START - 1, 1)).toBe(true);
    expect(memory.contains(layout.MMIO_HOLE_START - 1, 2)).toBe(false);
    expect(memory.contains(high - 1, 1)).toBe(false);
    expect(memory.contains(high - 1, 2)).toBe(false);
    expect(memory.contains(high, 2 * GIB)).toBe(true);
    expect(memory.contains(high, 2 * GIB + 1)).toBe(false);
    for (const address of [layout.MMIO_HOLE_START, 0xd000_0000, high - 1, high + 2 * GIB]) {
      expect(() => memory.getUint8(address)).toThrow(outside);
    }
    expect(() => memory.getUint64(layout.MMIO_HOLE_START - 4)).toThrow(outside);
  });

  test('a range over a window is cut, and read and written whole', () => {
    for (const border of [GIB, 2 * GIB, high + GIB]) {
      const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
      memory.write(border - 2500, bytes);
      expect(memory.slices(border - 2500, 5000).map(({ length }) => length)).toEqual([2500, 2500]);
      expect(memory.read(border - 2500, 5000)).toEqual(bytes);
      memory.fill(border - 1, 2, 0xee);
      expect(memory.getUint8(border - 1)).toBe(0xee);
      expect(memory.getUint8(border)).toBe(0xee);
    }
  });

  test('a value over a window', () => {
    // Naturally aligned values never lie over one; others do.
    memory.write(GIB - 2, Uint8Array.of(1, 2, 3, 4));
    expect(Buffer.from(memory.read(GIB - 2, 4)).readUInt32LE()).toBe(0x04030201);
  });

  test('memory above 4 GiB is not the memory below', () => {
    memory.setUint32(0x1000, 1);
    memory.setUint32(high + 0x1000, 2);
    expect(memory.getUint32(0x1000)).toBe(1);
    expect(memory.hostAddress(high, 8) - memory.hostAddress(0, 8)).toBe(BigInt(3 * GIB));
  });
});

test('memory no host can map is an error that says so', () => {
  const create = (): unknown => GuestMemory.create('vexit-test', [{ start: 0, size: 2 ** 50 }]);
  expect(thrownBy(create)).toMatchObject({ code: 'ERR_MEMORY' });
});

test.each([
  [16 * 2 ** 20, [[0, 16 * 2 ** 20]]],
  [3 * GIB - 4096, [[0, 3 * GIB - 4096]]],
  [3 * GIB, [[0, 3 * GIB]]],
  [3 * GIB + 4095, [[0, 3 * GIB]]],
  [
    3 * GIB + 4096,
    [
      [0, 3 * GIB],
      [4 * GIB, 4096],
    ],
  ],
])('regions of %d bytes', (bytes, expected) => {
  expect(layout.memoryRegions(bytes)).toEqual(expected.map(([start, size]) => ({ start, size })));
});
