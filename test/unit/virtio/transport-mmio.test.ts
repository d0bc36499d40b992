/** The MMIO transport, register by register. */
import { Feature, Status } from '../../../src/devices/virtio/constants.js';
import { MmioInterrupt, MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { HIGH_RAM, RAM_SIZE } from './fake-ram.js';
import { ALL_STEPS, BASE, MmioBench, RING_BITS } from './mmio-bench.js';
import { EchoDevice } from './test-device.js';

const ROOM = { address: 0x9000, length: 128, writable: true };
const QUEUE_ADDRESSES = [
  ...[R.QueueDescLow, R.QueueDescHigh, R.QueueDriverLow],
  ...[R.QueueDriverHigh, R.QueueDeviceLow, R.QueueDeviceHigh],
];
const READ_ONLY = [
  ...[R.MagicValue, R.Version, R.DeviceId, R.VendorId, R.DeviceFeatures, R.QueueSizeMax],
  ...[R.InterruptStatus, R.ShmLenLow, R.ShmLenHigh, R.ShmBaseLow, R.ShmBaseHigh],
  ...[R.ConfigGeneration],
];
const WRITE_ONLY = [
  ...[R.DeviceFeaturesSel, R.DriverFeatures, R.DriverFeaturesSel, R.QueueSel, R.QueueSize],
  ...[R.QueueNotify, R.InterruptAck, ...QUEUE_ADDRESSES, R.ShmSel],
];

function started(): MmioBench<EchoDevice> {
  return new MmioBench(new EchoDevice()).start();
}

describe('identification', () => {
  test('M-1: magic, version and device id', () => {
    const bench = new MmioBench(new EchoDevice());
    expect(bench.get(R.MagicValue)).toBe(0x74726976);
    expect(bench.get(R.Version)).toBe(2);
    expect(bench.get(R.DeviceId)).toBe(42);
    expect(bench.get(R.VendorId)).toBeGreaterThan(0);
  });

  test('A14: feature words that do not exist read 0', () => {
    const bench = new MmioBench(new EchoDevice());
    for (const select of [2, 4, 0x8000_0000, 0xffff_ffff]) {
      bench.set(R.DeviceFeaturesSel, select);
      expect(bench.get(R.DeviceFeatures)).toBe(0);
    }
  });
});

describe('accesses of any kind', () => {
  test('A1: control registers take 32 bits only', () => {
    const bench = started();
    const before = bench.registers.save();
    for (let offset = 0; offset < 0x100; offset++) {
      for (const size of [1, 2] as const) {
        expect(bench.get(offset, size)).toBe(0);
        bench.set(offset, 0xffff, size);
      }
    }
    expect(bench.registers.save()).toEqual(before);
  });

  test('A2: misaligned accesses read 0 and write nothing', () => {
    const bench = started();
    const before = bench.registers.save();
    for (let offset = 0x01; offset < 0xfc; offset++) {
      if (offset % 4 === 0) continue;
      expect(bench.get(offset)).toBe(0);
      bench.set(offset, 0xffff_ffff);
    }
    expect(bench.registers.save()).toEqual(before);
  });

  test('A3: registers against their direction', () => {
    const bench = started();
    for (const register of WRITE_ONLY) expect(bench.get(register)).toBe(0);
    const before = bench.registers.save();
    for (const register of READ_ONLY) bench.set(register, 0xffff_ffff);
    expect(bench.registers.save()).toEqual(before);
  });

  test('A4: offsets without a register', () => {
    const bench = started();
    const known = new Set<number>([
      ...READ_ONLY,
      ...WRITE_ONLY,
      R.Status,
      R.QueueReady,
      R.QueueReset,
    ]);
    const before = bench.registers.save();
    for (let offset = 0; offset < 0x1000; offset += 4) {
      if (known.has(offset) || (offset >= 0x100 && offset < 0x10c)) continue;
      expect(bench.get(offset)).toBe(0);
      bench.set(offset, 0xffff_ffff);
    }
    expect(bench.registers.save()).toEqual(before);
  });

  test('A5: accesses across the end of the window', () => {
    const bench = started();
    expect(bench.bus.read(BASE + 0xffd, 4)).toBe(0xff00_0000);
    bench.bus.write(BASE + 0xffd, 4, 0xffff_ffff);
    expect(bench.status).toBe(ALL_STEPS);
  });
});

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
    expect(HIGH_RAM).toBe(2 ** 32);
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

describe('notifications', () => {
  test('A12: queues that do not exist, and times when nothing may run (G-1, M-5)', () => {
    const bench = new MmioBench(new EchoDevice());
    const flood = (): void => {
      for (const index of [0, 1, 2, 0xffff, 0x1_0000, 0xffff_ffff]) bench.notify(index);
    };
    flood();
    bench.negotiate();
    bench.setUpQueue(0);
    bench.rings[0]!.send(ROOM);
    flood();
    expect(bench.device.events).toEqual(['reset']);
    expect(bench.rings[0]!.take()).toEqual([]);
    bench.set(R.Status, ALL_STEPS);
    // What was there before DRIVER_OK is served now.
    expect(bench.rings[0]!.take()).toHaveLength(1);
    bench.set(R.Status, 0);
    bench.device.events.length = 0;
    flood();
    expect(bench.device.events).toEqual([]);
    bench.start();
    bench.core.fail('a test');
    bench.device.events.length = 0;
    flood();
    expect(bench.device.events).toEqual([]);
  });

  test('A12, K1: a flood of notifications costs turns and nothing else', () => {
    const bench = started();
    const before = bench.ram.snapshot();
    for (let i = 0; i < 20_000; i++) bench.notify(i & 1);
    expect(bench.ram.snapshot()).toBe(before);
    expect(bench.lines).toEqual([]);
  });

  test('M-2: an event is in InterruptStatus until it is acknowledged', () => {
    const bench = started();
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    expect(bench.line.level).toBe(true);
    expect(bench.get(R.InterruptStatus)).toBe(MmioInterrupt.UsedBuffer);
    bench.device.context.configChanged();
    expect(bench.get(R.InterruptStatus)).toBe(3);
    bench.set(R.InterruptAck, MmioInterrupt.UsedBuffer);
    expect(bench.line.level).toBe(true);
    expect(bench.get(R.InterruptStatus)).toBe(MmioInterrupt.ConfigChange);
    bench.set(R.InterruptAck, MmioInterrupt.ConfigChange);
    expect(bench.line.level).toBe(false);
    expect(bench.line.edges).toBe(1);
  });

  test('A16: acknowledging nothing, or bits that are not defined', () => {
    const bench = started();
    for (const value of [0, 1, 2, 0xffff_fffc, 0xffff_ffff]) bench.set(R.InterruptAck, value);
    expect(bench.line.calls).toBe(0);
    bench.device.context.configChanged();
    bench.set(R.InterruptAck, 0xffff_fffd);
    expect(bench.get(R.InterruptStatus)).toBe(2);
    expect(bench.line.level).toBe(true);
  });

  test('M-3: a reset clears InterruptStatus, the line and every QueueReady', () => {
    const bench = started();
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    bench.set(R.Status, 0);
    expect(bench.get(R.InterruptStatus)).toBe(0);
    expect(bench.line.level).toBe(false);
    for (const index of [0, 1]) {
      bench.set(R.QueueSel, index);
      expect(bench.get(R.QueueReady)).toBe(0);
    }
  });

  test('M-5: a queue that has been stopped is left alone', () => {
    const bench = started();
    bench.set(R.QueueSel, 0);
    bench.set(R.QueueReady, 0);
    bench.rings[0]!.send(ROOM);
    const before = bench.ram.snapshot();
    bench.notify(0);
    expect(bench.ram.snapshot()).toBe(before);
    expect(bench.get(R.QueueReady)).toBe(0);
  });
});

describe('configuration and shared memory', () => {
  test('A17: every width at every offset; behind the end is 0', () => {
    const bench = started();
    for (let i = 0; i < 12; i++) bench.device.context.state[i] = i + 1;
    for (let offset = 0; offset < 32; offset++) {
      for (const size of [1, 2, 4] as const) {
        let expected = 0;
        for (let i = 0; i < size && offset + i < 12; i++) expected += (offset + i + 1) * 256 ** i;
        expect(bench.get(R.Config + offset, size)).toBe(expected);
      }
    }
    expect(bench.get(0xffc)).toBe(0);
  });

  test('A17: writes behind the end and across it do nothing', () => {
    const bench = started();
    const before = bench.registers.save();
    for (const [offset, size] of [
      [12, 4],
      [10, 4],
      [11, 2],
      [0xefc, 4],
    ] as const) {
      bench.core.writeConfig(offset, size, 0xffff_ffff);
    }
    expect(bench.registers.save()).toEqual(before);
  });

  test('A18: writes to read-only configuration do nothing', () => {
    const bench = started();
    bench.set(R.Config, 0x1234_5678);
    expect(bench.get(R.Config)).toBe(0);
    bench.set(R.Config + 8, 0x1234_5678);
    expect(bench.get(R.Config + 8)).toBe(0x1234_5678);
    bench.set(R.Config + 9, 0xff, 1);
    expect(bench.get(R.Config + 8)).toBe(0x1234_ff78);
  });

  test('M-4: ConfigGeneration changes with the configuration', () => {
    const bench = started();
    const before = bench.get(R.ConfigGeneration);
    expect(bench.get(R.ConfigGeneration)).toBe(before);
    bench.device.context.configChanged();
    expect(bench.get(R.ConfigGeneration)).not.toBe(before);
    expect(bench.acknowledge()).toBe(MmioInterrupt.ConfigChange);
  });

  test('A19: unknown shared memory is all ones, known in two halves', () => {
    const bench = started();
    const registers = [R.ShmLenLow, R.ShmLenHigh, R.ShmBaseLow, R.ShmBaseHigh];
    for (const id of [0, 2, 255, 0xffff_ffff]) {
      bench.set(R.ShmSel, id);
      expect(registers.map((register) => bench.get(register))).toEqual(Array(4).fill(0xffff_ffff));
    }
    bench.set(R.ShmSel, 1);
    expect(registers.map((register) => bench.get(register))).toEqual([
      0x1000, 3, 0x3456_7000, 0x12,
    ]);
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
