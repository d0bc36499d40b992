/** The queue registers of the MMIO transport, and queue reset. */
import { Feature, Status } from '../../../src/devices/virtio/constants.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { RAM_SIZE } from './fake-ram.js';
import { Random } from './fuzz.js';
import { ALL_STEPS, MmioBench, RING_BITS, placeOf } from './mmio-bench.js';
import { RingDriver, type RingPlace } from './ring-driver.js';
import { EchoDevice } from './test-device.js';

const ROOM = { address: 0x9000, length: 128, writable: true };
const QUEUE_ADDRESSES = [
  ...[R.QueueDescLow, R.QueueDescHigh, R.QueueDriverLow],
  ...[R.QueueDriverHigh, R.QueueDeviceLow, R.QueueDeviceHigh],
];

function started(): MmioBench<EchoDevice> {
  return new MmioBench(new EchoDevice()).start();
}

/** Two queues, each with its used ring where the other one has its descriptors. */
function crossed(): [RingPlace, RingPlace] {
  const [first, second] = [placeOf(0), placeOf(1)];
  return [
    { ...first, device: second.descriptors },
    { ...second, device: first.descriptors },
  ];
}

describe('queue registers', () => {
  test('A6: a queue that does not exist reads 0 and takes nothing', () => {
    const bench = new MmioBench(new EchoDevice());
    bench.negotiate();
    for (const select of [2, 0xffff, 0x1_0000, 0x8000_0000, 0xffff_ffff]) {
      bench.set(R.QueueSel, select);
      const before = bench.registers.save();
      expect(bench.get(R.QueueSizeMax)).toBe(0);
      for (const register of [R.QueueSize, R.QueueReady, R.QueueReset, ...QUEUE_ADDRESSES]) {
        bench.set(register, 1);
      }
      expect(bench.get(R.QueueReady)).toBe(0);
      expect(bench.get(R.QueueReset)).toBe(0);
      expect(bench.registers.save()).toEqual(before);
    }
  });

  test('each queue has its own largest size', () => {
    const bench = new MmioBench(new EchoDevice());
    bench.set(R.QueueSel, 0);
    expect(bench.get(R.QueueSizeMax)).toBe(16);
    bench.set(R.QueueSel, 1);
    expect(bench.get(R.QueueSizeMax)).toBe(8);
  });

  test.each([0, 3, 17, 32, 257, 65535, 65536, 0x8000_0000, 0xffff_ffff])(
    'A7: size %d leaves the queue off and the device in NEEDS_RESET',
    (size) => {
      const bench = new MmioBench(new EchoDevice());
      bench.negotiate();
      bench.setUpQueue(1);
      bench.set(R.QueueSel, 0);
      bench.set(R.QueueSize, size);
      bench.set(R.QueueDescLow, 0x1000);
      bench.set(R.QueueDriverLow, 0x2000);
      bench.set(R.QueueDeviceLow, 0x3000);
      bench.set(R.QueueReady, 1);
      expect(bench.get(R.QueueReady)).toBe(0);
      expect(bench.needsReset).toBe(true);
      expect(bench.start().needsReset).toBe(false);
    },
  );

  const { QueueDescLow, QueueDescHigh, QueueDriverLow, QueueDeviceLow, QueueDeviceHigh } = R;
  test.each<[string, ...[R, number][]]>([
    ['unaligned descriptors', [QueueDescLow, 0x1008]],
    ['an unaligned available ring', [QueueDriverLow, 0x2001]],
    ['an unaligned used ring', [QueueDeviceLow, 0x3002]],
    ['descriptors behind RAM', [QueueDescLow, RAM_SIZE]],
    ['descriptors across the end of RAM', [QueueDescLow, RAM_SIZE - 0x80]],
    ['an available ring in a virtio window', [QueueDriverLow, 0xd000_0050]],
    ['a used ring at the end of 64 bits', [QueueDeviceHigh, 0xffff_ffff]],
    [
      'a used ring that wraps at 2^64',
      [QueueDeviceHigh, 0xffff_ffff],
      [QueueDeviceLow, 0xffff_ff80],
    ],
    ['descriptors that wrap at 2^64', [QueueDescHigh, 0xffff_ffff], [QueueDescLow, 0xffff_ff00]],
    ['a used ring that ends one byte behind RAM', [QueueDeviceLow, RAM_SIZE - 0x84]],
    ['descriptors that JavaScript rounds', [QueueDescHigh, 0x0020_0001]],
  ])('A8: %s', (_, ...writes) => {
    const bench = new MmioBench(new EchoDevice());
    bench.negotiate();
    bench.set(R.QueueSel, 0);
    bench.set(R.QueueSize, 16);
    bench.set(R.QueueDescLow, 0x1000);
    bench.set(R.QueueDriverLow, 0x2000);
    bench.set(R.QueueDeviceLow, 0x3000);
    for (const [register, value] of writes) bench.set(register, value);
    bench.set(R.QueueReady, 1);
    expect(bench.get(R.QueueReady)).toBe(0);
    expect(bench.needsReset).toBe(true);
    bench.set(R.Status, ALL_STEPS);
    const before = bench.ram.snapshot();
    bench.notify(0);
    expect(bench.ram.snapshot()).toBe(before);
  });

  test('A8: address 0 is RAM like any other, and rings may be above 4 GiB', () => {
    const bench = new MmioBench(new EchoDevice());
    bench.negotiate();
    bench.set(R.QueueSel, 0);
    bench.set(R.QueueReady, 1);
    expect(bench.get(R.QueueReady)).toBe(1);
    bench.set(R.QueueSel, 1);
    for (const register of [R.QueueDescHigh, R.QueueDriverHigh, R.QueueDeviceHigh]) {
      bench.set(register, 1);
    }
    bench.set(R.QueueReady, 1);
    expect(bench.get(R.QueueReady)).toBe(1);
    expect(bench.needsReset).toBe(false);
  });

  /** The echo of queue 0 after a new start. */
  function expectEcho(bench: MmioBench<EchoDevice>): void {
    expect(bench.start().needsReset).toBe(false);
    bench.ram.write(0x8000, [1, 2, 3]);
    bench.ram.write(0x9000, [0, 0, 0]);
    bench.rings[0]!.send({ address: 0x8000, length: 3 }, { ...ROOM, length: 3 });
    bench.notify(0);
    expect(bench.rings[0]!.take()).toEqual([expect.objectContaining({ length: 3 })]);
    expect([0, 1, 2].map((i) => bench.ram.get(0x9000 + i, 1))).toEqual([1, 2, 3]);
  }

  const slots = (table: number): number[] => Array.from({ length: 16 }, (_, i) => table + 16 * i);
  const [FIRST, SECOND] = [placeOf(0), placeOf(1)];
  const SAME = { descriptors: 0x10000, driver: 0x10000, device: 0x10000 };

  test.each([
    ['all three of a queue in one place', SAME, SECOND],
    ['all six of two queues', SAME, SAME],
    ['the same three for two queues', FIRST, FIRST],
    ['the used ring of a queue in its descriptors', { ...FIRST, device: 0x10010 }, SECOND],
    ['the used ring of each in the descriptors of the other', ...crossed()],
  ])('A9: rings on top of each other harm nobody but the guest: %s', (_, first, second) => {
    const bench = new MmioBench(new EchoDevice());
    const { ram } = bench;
    const random = new Random(9);
    let served = 0;
    for (let round = 0; round < 200; round++) {
      bench.negotiate();
      // Descriptors that are nearly right, whatever else they are in the same place.
      for (const at of [...slots(FIRST.descriptors), ...slots(SECOND.descriptors)]) {
        ram.set64(at, BigInt(random.below(RAM_SIZE)));
        ram.set(at + 8, 4, random.below(64));
        ram.set(at + 12, 2, random.pick([0, 1, 2, 2]));
        ram.set(at + 14, 2, random.below(8));
      }
      [first, second].forEach((place, i) => {
        bench.setUpQueue(i, new RingDriver(ram, bench.device.queueSizes[i]!, place));
      });
      ram.set(first.driver, 2, 0);
      for (let i = 0; i < 8; i++) ram.set(first.driver + 4 + 2 * i, 2, random.below(8));
      ram.set(first.driver + 2, 2, 1 + random.below(2));
      const before = ram.get(first.device + 2, 2);
      bench.set(R.Status, ALL_STEPS);
      for (let i = 0; i < 4; i++) bench.notify(i % 2);
      if (ram.get(first.device + 2, 2) !== before) served++;
      bench.device.finish();
    }
    expect(served).toBeGreaterThan(0);
    expect(bench.lines.length).toBeLessThan(12 * 10);
    expectEcho(bench);
  });

  test.each([
    ['descriptors', FIRST.descriptors],
    ['available ring', FIRST.driver],
    ['used ring', FIRST.device],
  ])('C19: a device that writes on its own %s harms nobody but the guest', (_, address) => {
    const bench = started();
    const random = new Random(19);
    for (let i = 0; i < 200; i++) {
      bench.ram.write(
        0x8000,
        Array.from({ length: 64 }, () => random.below(16)),
      );
      const room = {
        address: address + random.below(32),
        length: 1 + random.below(63),
        writable: true,
      };
      bench.rings[0]!.send({ address: 0x8000, length: 64 }, room);
      bench.notify(0);
      if (bench.needsReset) bench.start();
    }
    expectEcho(bench);
  });

  test.each([2, 3, 0x100, 0xffff_ffff])('A10: QueueReady = %d does nothing', (value) => {
    const bench = new MmioBench(new EchoDevice());
    bench.negotiate();
    bench.set(R.QueueSel, 0);
    bench.set(R.QueueReady, value);
    expect(bench.get(R.QueueReady)).toBe(0);
    bench.setUpQueue(0);
    bench.set(R.QueueReady, value);
    expect(bench.get(R.QueueReady)).toBe(1);
  });

  test('A11: nothing changes while the queue is ready, nor after DRIVER_OK', () => {
    const bench = new MmioBench(new EchoDevice());
    bench.negotiate();
    bench.setUpQueue(0);
    const poke = (): void => {
      const before = bench.registers.save();
      for (const register of [R.QueueSize, ...QUEUE_ADDRESSES]) bench.set(register, 0x4000);
      expect(bench.registers.save()).toEqual(before);
    };
    poke();
    bench.set(R.Status, ALL_STEPS);
    poke();
    bench.set(R.QueueSel, 1);
    poke();
    bench.set(R.QueueReady, 1);
    expect(bench.get(R.QueueReady)).toBe(0);
  });

  test('queues are not set up before FEATURES_OK', () => {
    const bench = new MmioBench(new EchoDevice());
    bench.set(R.Status, Status.Acknowledge | Status.Driver);
    bench.setUpQueue(0);
    expect(bench.get(R.QueueReady)).toBe(0);
  });
});

describe('queue reset', () => {
  test('A20: without RING_RESET the register does nothing', () => {
    const bench = started();
    bench.set(R.QueueSel, 0);
    bench.set(R.QueueReset, 1);
    expect(bench.get(R.QueueReset)).toBe(0);
    expect(bench.get(R.QueueReady)).toBe(1);
  });

  test('M-6, G-11: a reset queue is off, and can be set up again with another size', () => {
    const bench = new MmioBench(new EchoDevice()).start([...RING_BITS, Feature.RingReset]);
    bench.rings[1]!.send(ROOM);
    bench.notify(1);
    expect(bench.device.held).toHaveLength(1);
    bench.set(R.QueueSel, 1);
    bench.set(R.QueueReset, 1);
    expect(bench.get(R.QueueReset)).toBe(1);
    expect(bench.get(R.QueueReady)).toBe(0);
    const before = bench.ram.snapshot();
    bench.device.finish();
    expect(bench.get(R.QueueReset)).toBe(0);
    expect(bench.ram.snapshot()).toBe(before);
    expect(bench.acknowledge()).toBe(0);
    expect(bench.device.events).toContain('queueReset 1');

    bench.ram.write(bench.rings[1]!.place.descriptors, new Uint8Array(0x3000));
    const half = new RingDriver(bench.ram, bench.rings[1]!.size / 2, placeOf(1));
    bench.setUpQueue(1, half);
    bench.set(R.QueueSel, 1);
    expect(bench.get(R.QueueReady)).toBe(1);
    // Twice around the smaller ring: a device that counts with the old size loses its place.
    for (let i = 0; i < 2 * half.size; i++) {
      half.send(ROOM);
      bench.notify(1);
      bench.device.finish();
      expect(half.take()).toEqual([{ id: i % half.size, length: 5 }]);
    }
    expect(bench.needsReset).toBe(false);
  });
});
