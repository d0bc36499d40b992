/** virtio-balloon: memory goes back to the host, and only what is the guest's to give. */
import { BalloonFeature, ConfigField } from '../../../src/devices/virtio/balloon/balloon-layout.js';
import { BalloonDevice } from '../../../src/devices/virtio/balloon/balloon.js';
import { MmioInterrupt, MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import {
  ALL,
  BUFFER,
  DEFLATE,
  INFLATE,
  PAGE,
  REPORTING,
  bench,
  sendPages,
  sendStatistics,
} from './balloon-bench.js';
import { HIGH_RAM, RAM_SIZE } from './fake-ram.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

const { StatsQueue, DeflateOnOom, FreePageHint, PagePoison, PageReporting, MustTellHost } =
  BalloonFeature;

describe('features and configuration', () => {
  test('G-5: offered is what works; hints and MUST_TELL_HOST are not (L-2)', () => {
    const offered = new MmioBench(new BalloonDevice()).offered();
    for (const bit of [StatsQueue, DeflateOnOom, PagePoison, PageReporting]) {
      expect(offered).toContain(bit);
    }
    expect(offered).not.toContain(FreePageHint);
    expect(offered).not.toContain(MustTellHost);
    const options = { statistics: false, freePageReporting: false, deflateOnOom: false };
    expect(new MmioBench(new BalloonDevice(options)).offered()).toEqual([28, 29, 32, 40]);
  });

  test('a target is a configuration change', () => {
    const made = bench();
    const generation = made.get(R.ConfigGeneration);
    made.device.setTarget(5 * PAGE + 1);
    expect(made.get(R.Config + ConfigField.NumPages)).toBe(5);
    expect(made.device.target).toBe(5 * PAGE);
    expect(made.get(R.ConfigGeneration)).not.toBe(generation);
    expect(made.acknowledge()).toBe(MmioInterrupt.ConfigChange);
  });

  test.each([
    [-1, 0],
    [1e18, 2 * RAM_SIZE],
    [NaN, 0],
  ])('F12: a target of %d bytes becomes %d', (bytes, expected) => {
    const made = bench();
    made.device.setTarget(bytes);
    expect(made.device.target).toBe(expected);
  });

  test('A18, F12: the driver writes `actual` and `poison_val` only, any value', () => {
    const made = bench();
    made.device.setTarget(PAGE);
    for (let offset = 0; offset < 16; offset += 4) made.set(R.Config + offset, 0xffff_ffff);
    expect(made.get(R.Config + ConfigField.NumPages)).toBe(1);
    expect(made.device.actual).toBe(0xffff_ffff * PAGE);
    expect(made.get(R.Config + ConfigField.FreePageHintCommand)).toBe(0);
    expect(made.get(R.Config + ConfigField.PoisonValue)).toBe(0xffff_ffff);
    made.set(R.Config + ConfigField.Actual + 1, 0, 1);
    expect(made.get(R.Config + ConfigField.Actual)).toBe(0xffff_00ff);
  });

  test('a reset keeps what the host wants and forgets what the driver said', () => {
    const made = bench();
    made.device.setTarget(3 * PAGE);
    made.set(R.Config + ConfigField.Actual, 3);
    sendStatistics(made, [[4, 1n]]);
    made.set(R.Status, 0);
    expect(made.device.target).toBe(3 * PAGE);
    expect(made.device.actual).toBe(0);
    expect(made.device.statistics).toEqual({});
  });
});

describe('inflate and deflate', () => {
  test('L-4: pages are given back before the request is, neighbours together', () => {
    const made = bench();
    made.ram.set(0x55 * PAGE, 4, 0x1234_5678);
    sendPages(made, INFLATE, [0x52, 0x50, 0x51, 0x55, 0x100000]);
    expect(made.ram.discarded).toEqual([
      { address: 0x50 * PAGE, length: 3 * PAGE },
      { address: 0x55 * PAGE, length: PAGE },
      { address: HIGH_RAM, length: PAGE },
    ]);
    expect(made.rings[INFLATE]!.take()).toEqual([{ id: 0, length: 0 }]);
    expect(made.ram.get(0x55 * PAGE, 4)).toBe(0);
  });

  test.each([
    ['outside RAM', RAM_SIZE / PAGE],
    ['in a virtio window', 0xd0000],
    ['that overflow when shifted', 0xffff_ffff],
    ['with the sign bit', 0x8000_0000],
  ])('F12: page numbers %s are passed over', (_, number) => {
    const made = bench();
    sendPages(made, INFLATE, [number, 0x50, number]);
    expect(made.ram.discarded).toEqual([{ address: 0x50 * PAGE, length: PAGE }]);
    expect(made.rings[INFLATE]!.take()).toHaveLength(1);
    expect(made.needsReset).toBe(false);
    expect(made.lines).toEqual(['balloon: 2 pages outside RAM']);
  });

  test('F12: the same page twice is one page', () => {
    const made = bench();
    sendPages(made, INFLATE, [0, 0x50, 0, 0x50, 0x50, 1]);
    expect(made.ram.discarded.slice(1)).toEqual([{ address: 0x50 * PAGE, length: PAGE }]);
    expect(made.ram.discarded[0]).toEqual({ address: 0, length: 2 * PAGE });
  });

  test('F12: pages of the rings and of the buffer itself harm the guest only', () => {
    const made = bench();
    sendPages(made, INFLATE, [...Array(RAM_SIZE / PAGE).keys()]);
    expect(made.start(ALL).needsReset).toBe(false);
    sendPages(made, INFLATE, [0x50]);
    expect(made.rings[INFLATE]!.take()).toHaveLength(1);
  });

  test.each([
    ['the descriptor table', 0],
    ['the available ring', 1],
    ['the used ring', 2],
  ])('C22: a driver that balloons %s away stands still or needs a reset', (_, area) => {
    const made = bench();
    const { place } = made.rings[INFLATE]!;
    const page = [place.descriptors, place.driver, place.device][area]! / PAGE;
    sendPages(made, INFLATE, [page]);
    for (let i = 0; i < 200; i++) sendPages(made, INFLATE, [0x50]);
    expect(made.lines.length).toBeLessThan(12);
    expect(made.start(ALL).needsReset).toBe(false);
    sendPages(made, INFLATE, [0x50]);
    expect(made.rings[INFLATE]!.take()).toHaveLength(1);
  });

  test.each([
    [0, 0],
    [1, 0],
    [3, 0],
    [5, 1],
    [1023, 255],
  ])('F12: %d bytes of page numbers are %d', (length, pages) => {
    const made = bench();
    for (let i = 0; i < 256; i++) made.ram.set(BUFFER + 4 * i, 4, HIGH_RAM / PAGE + (i % 256));
    made.rings[INFLATE]!.send({ address: BUFFER, length });
    made.notify(INFLATE);
    expect(made.ram.discarded).toEqual(
      pages === 0 ? [] : [{ address: HIGH_RAM, length: pages * PAGE }],
    );
    expect(made.rings[INFLATE]!.take()).toHaveLength(1);
    expect(made.needsReset).toBe(false);
  });

  test('F12: of more than 256 page numbers the first 256 count', () => {
    const made = bench();
    sendPages(
      made,
      INFLATE,
      Array.from({ length: 2000 }, (_, i) => (i < 256 ? 0x60 : 0x61)),
    );
    expect(made.ram.discarded).toEqual([{ address: 0x60 * PAGE, length: PAGE }]);
    expect(made.rings[INFLATE]!.take()).toHaveLength(1);
  });

  test('S-2: writable buffers are not read as page numbers', () => {
    const made = bench();
    made.ram.set(BUFFER, 4, 0x50);
    made.rings[INFLATE]!.send({ address: BUFFER, length: 4, writable: true });
    made.notify(INFLATE);
    expect(made.ram.discarded).toEqual([]);
  });

  test('F12: deflating what was never inflated is acknowledged', () => {
    const made = bench();
    made.ram.set(0x50 * PAGE, 4, 7);
    sendPages(made, DEFLATE, [0x50, 0xffff_ffff]);
    expect(made.rings[DEFLATE]!.take()).toEqual([{ id: 0, length: 0 }]);
    expect(made.ram.get(0x50 * PAGE, 4)).toBe(7);
    expect(made.ram.discarded).toEqual([]);
  });
});

describe('free page reporting', () => {
  const report = (
    made: MmioBench<BalloonDevice>,
    queue: number,
    ranges: [number, number][],
  ): void => {
    made.rings[queue]!.send(
      ...ranges.map(([address, length]) => ({ address, length, writable: true })),
    );
    made.notify(queue);
  };

  test('whole pages of what is reported are given back', () => {
    const made = bench();
    report(made, REPORTING, [
      [0x50 * PAGE, 4 * PAGE],
      [0x60 * PAGE + 1, 2 * PAGE],
      [0x70 * PAGE, PAGE - 1],
      [HIGH_RAM, RAM_SIZE],
    ]);
    expect(made.ram.discarded).toEqual([
      { address: 0x50 * PAGE, length: 4 * PAGE },
      { address: 0x61 * PAGE, length: PAGE },
      { address: HIGH_RAM, length: RAM_SIZE },
    ]);
    expect(made.rings[REPORTING]!.take()).toHaveLength(1);
  });

  test('F12: a range that is partly outside RAM means NEEDS_RESET and no discard', () => {
    const made = bench();
    report(made, REPORTING, [[RAM_SIZE - PAGE, 2 * PAGE]]);
    expect(made.ram.discarded).toEqual([]);
    expect(made.needsReset).toBe(true);
  });

  test.each([
    ['the third queue when there are no statistics', [...RING_BITS, PageReporting], 2],
    ['the fourth with statistics, as Linux counts', ALL, 3],
    ['the fifth, as the specification counts', ALL, 4],
  ])('is %s', (_, features, queue) => {
    const made = bench(features);
    report(made, queue, [[0x50 * PAGE, PAGE]]);
    expect(made.ram.discarded).toHaveLength(1);
  });

  test('a queue of a feature that was not negotiated is left alone', () => {
    const made = bench([...RING_BITS]);
    for (const queue of [2, 3, 4]) {
      report(made, queue, [[0x50 * PAGE, PAGE]]);
      expect(made.rings[queue]!.take()).toEqual([]);
    }
    expect(made.ram.discarded).toEqual([]);
  });

  test.each([
    [0, 1],
    [0xaaaa_aaaa, 0],
  ])('L-3: with PAGE_POISON and poison_val %d there are %d discards', (poison, discards) => {
    const made = bench([...ALL, PagePoison]);
    made.set(R.Config + ConfigField.PoisonValue, poison);
    made.ram.set(0x50 * PAGE, 4, poison);
    report(made, REPORTING, [[0x50 * PAGE, PAGE]]);
    expect(made.ram.discarded).toHaveLength(discards);
    expect(made.ram.get(0x50 * PAGE, 4)).toBe(poison);
    expect(made.rings[REPORTING]!.take()).toHaveLength(1);
  });
});
