/** The queue registers of the MMIO transport, and queue reset. */
import { Feature, Status } from '../../../src/devices/virtio/constants.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { RAM_SIZE } from './fake-ram.js';
import { ALL_STEPS, MmioBench, RING_BITS } from './mmio-bench.js';
import { EchoDevice } from './test-device.js';

const ROOM = { address: 0x9000, length: 128, writable: true };
const QUEUE_ADDRESSES = [
  ...[R.QueueDescLow, R.QueueDescHigh, R.QueueDriverLow],
  ...[R.QueueDriverHigh, R.QueueDeviceLow, R.QueueDeviceHigh],
];

function started(): MmioBench<EchoDevice> {
  return new MmioBench(new EchoDevice()).start();
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

  test.each([
    ['unaligned descriptors', R.QueueDescLow, 0x1008],
    ['an unaligned available ring', R.QueueDriverLow, 0x2001],
    ['an unaligned used ring', R.QueueDeviceLow, 0x3002],
    ['descriptors behind RAM', R.QueueDescLow, RAM_SIZE],
    ['descriptors across the end of RAM', R.QueueDescLow, RAM_SIZE - 0x80],
    ['an available ring in a virtio window', R.QueueDriverLow, 0xd000_0050],
    ['a used ring that wraps at 2^64', R.QueueDeviceHigh, 0xffff_ffff],
    ['a used ring that ends one byte behind RAM', R.QueueDeviceLow, RAM_SIZE - 0x84],
    ['descriptors that JavaScript rounds', R.QueueDescHigh, 0x0020_0001],
  ])('A8: %s', (_, register, value) => {
    const bench = new MmioBench(new EchoDevice());
    bench.negotiate();
    bench.set(R.QueueSel, 0);
    bench.set(R.QueueSize, 16);
    bench.set(R.QueueDescLow, 0x1000);
    bench.set(R.QueueDriverLow, 0x2000);
    bench.set(R.QueueDeviceLow, 0x3000);
    bench.set(register, value);
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

  test('A9: rings on top of each other harm nobody but the guest', () => {
    const bench = new MmioBench(new EchoDevice());
    bench.start();
    for (let round = 0; round < 3; round++) {
      bench.ram.write(
        0,
        Array.from({ length: 0x1000 }, (_, i) => (i * 31 + round) & 0xff),
      );
      bench.notify(0);
      bench.notify(1);
    }
    expect(bench.start().needsReset).toBe(false);
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
    const half = bench.rings[1]!;
    half.availableIndex = 0;
    bench.setUpQueue(1);
    bench.set(R.QueueSel, 1);
    expect(bench.get(R.QueueReady)).toBe(1);
    half.send(ROOM);
    bench.notify(1);
    bench.device.finish();
    expect(half.take()).toEqual([{ id: 1, length: 5 }]);
  });
});
