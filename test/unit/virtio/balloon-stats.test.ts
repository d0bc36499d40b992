/** Statistics of the balloon's guest, and the balloon's state. */
import { ConfigField, STATS_LIMIT } from '../../../src/devices/virtio/balloon/balloon-layout.js';
import { BalloonDevice } from '../../../src/devices/virtio/balloon/balloon.js';
import { MmioInterrupt, MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { FakeDoorbell } from '../devices/harness.js';
import { ALL, BUFFER, PAGE, STATS, bench, sendStatistics } from './balloon-bench.js';
import { HIGH_RAM, RAM_SIZE } from './fake-ram.js';
import { MmioBench, RING_BITS } from './mmio-bench.js';

describe('statistics', () => {
  const ENTRIES: [number, bigint][] = [
    [5, 1n << 40n],
    [4, 12345n],
    [0xffff, 1n],
    [9, 0xffff_ffff_ffff_ffffn],
  ];

  test('L-1: any order, unknown tags ignored; the buffer stays until it is asked for', () => {
    const doorbell = new FakeDoorbell();
    const made = bench(ALL, new BalloonDevice({ statisticsDoorbell: doorbell }));
    sendStatistics(made, ENTRIES);
    expect(doorbell.rings).toBe(1);
    expect(made.device.statistics).toEqual({
      totalMemory: 2 ** 40,
      freeMemory: 12345,
      hugePageFailures: 2 ** 64,
    });
    expect(made.rings[STATS]!.take()).toEqual([]);
    made.device.requestStatistics();
    expect(made.rings[STATS]!.take()).toEqual([{ id: 0, length: 0 }]);
    expect(made.acknowledge()).toBe(MmioInterrupt.UsedBuffer);
    sendStatistics(made, [[4, 99n]]);
    expect(made.device.statistics).toEqual({ freeMemory: 99 });
  });

  test.each([true, false])(
    'the driver is told to kick for the next buffer (EVENT_IDX %s)',
    (event) => {
      const features = event ? ALL : ALL.filter((bit) => bit !== 29);
      const made = bench(features);
      const ring = made.rings[STATS]!;
      for (let round = 1; round <= 3; round++) {
        sendStatistics(made, ENTRIES);
        made.device.requestStatistics();
        if (event) expect(ring.availableEvent).toBe(round);
        else expect(ring.usedFlags).toBe(0);
      }
    },
  );

  test.each([1, 6, 9])('F12: %d bytes that are no whole entry are ignored', (cut) => {
    const made = bench();
    sendStatistics(made, [[4, 5n]], cut);
    expect(made.device.statistics).toEqual({ freeMemory: 5 });
  });

  test('F12: a buffer as long as memory is read up to a bound', () => {
    const made = bench();
    const entry = (at: number, tag: number, value: bigint): void => {
      made.ram.set(HIGH_RAM + at, 2, tag);
      made.ram.set64(HIGH_RAM + at + 2, value);
    };
    // Tags from 0xff00 on are unknown.
    for (let i = 0; i < STATS_LIMIT; i++) entry(10 * i, 0xff00 + i, 1n);
    entry(10 * (STATS_LIMIT - 1), 4, 5n);
    entry(10 * STATS_LIMIT, 5, 6n);
    made.rings[STATS]!.send({ address: HIGH_RAM, length: RAM_SIZE });
    made.notify(STATS);
    expect(made.device.statistics).toEqual({ freeMemory: 5 });
    expect(made.needsReset).toBe(false);
  });

  test('F12: two buffers at once, an empty one and a writable one', () => {
    const made = bench();
    sendStatistics(made, ENTRIES);
    made.rings[STATS]!.send({ address: BUFFER, length: 10 });
    made.rings[STATS]!.send({ address: BUFFER, length: 0 });
    made.rings[STATS]!.send({ address: BUFFER, length: 10, writable: true });
    made.notify(STATS);
    made.device.requestStatistics();
    expect(made.rings[STATS]!.take()).toHaveLength(4);
    expect(made.needsReset).toBe(false);
  });

  test('nothing is asked of a driver without statistics', () => {
    const made = bench([...RING_BITS]);
    made.device.requestStatistics();
    expect(made.device.statistics).toEqual({});
  });
});

describe('state', () => {
  test('target, size and statistics are in the block', () => {
    const made = bench();
    made.device.setTarget(7 * PAGE);
    made.set(R.Config + ConfigField.Actual, 6);
    sendStatistics(made, [[4, 5n]]);
    const copy = new MmioBench(new BalloonDevice(), {}, made.ram);
    copy.registers.restore(made.registers.save());
    expect(copy.device.target).toBe(7 * PAGE);
    expect(copy.device.actual).toBe(6 * PAGE);
    expect(copy.device.statistics).toEqual({ freeMemory: 5 });
    copy.device.requestStatistics();
    expect(copy.rings[STATS]!.take()).toHaveLength(1);
  });
});
