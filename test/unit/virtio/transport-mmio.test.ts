/** The MMIO transport, register by register. */
import { MmioInterrupt, MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { ALL_STEPS, BASE, MmioBench } from './mmio-bench.js';
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

/** Started, with a chain that nobody has been told of and an interrupt that waits. */
function busy(): MmioBench<EchoDevice> {
  const bench = started();
  bench.rings[0]!.send(ROOM);
  bench.device.context.configChanged();
  return bench;
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
    const bench = busy();
    const before = bench.registers.save();
    for (let offset = 0; offset < 0x100; offset++) {
      for (const size of [1, 2] as const) {
        expect(bench.get(offset, size)).toBe(0);
        for (const value of [0, 1, 0xffff]) bench.set(offset, value, size);
      }
    }
    expect(bench.registers.save()).toEqual(before);
    expect(bench.rings[0]!.take()).toEqual([]);
  });

  test('A2: misaligned accesses read 0 and write nothing', () => {
    const bench = busy();
    const before = bench.registers.save();
    for (let offset = 0x01; offset < 0xfc; offset++) {
      if (offset % 4 === 0) continue;
      expect(bench.get(offset)).toBe(0);
      for (const value of [0, 1, 0xffff_ffff]) bench.set(offset, value);
    }
    expect(bench.registers.save()).toEqual(before);
    expect(bench.rings[0]!.take()).toEqual([]);
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
