import { MemoryBus, PortBus } from '../../../src/bus/address-map';
import type { AccessSize, BusDevice } from '../../../src/bus/device';

/** Remembers accesses; reads give the offset in every byte. */
class Recorder implements BusDevice {
  readonly calls: string[] = [];
  read(offset: number, size: AccessSize): number {
    this.calls.push(`r${size}@${offset}`);
    let value = 0;
    for (let i = 0; i < size; i++) value += (offset + i) * 2 ** (8 * i);
    return value;
  }
  write(offset: number, size: AccessSize, value: number): void {
    this.calls.push(`w${size}@${offset}=${value.toString(16)}`);
  }
  /** The accesses since the last call. */
  take(): string[] {
    return this.calls.splice(0);
  }
}

describe.each([
  { name: 'PortBus', make: () => new PortBus(), base: 0x300 },
  { name: 'MemoryBus', make: () => new MemoryBus(), base: 0xd000_0000 },
])('$name', ({ make, base }) => {
  test('nobody answers with ones and swallows writes', () => {
    const bus = make();
    expect(bus.read(base, 1)).toBe(0xff);
    expect(bus.read(base, 2)).toBe(0xffff);
    expect(bus.read(base, 4)).toBe(0xffff_ffff);
    bus.write(base, 4, 0xffff_ffff);
  });

  test('an access of the device’s width arrives whole, wider ones in pieces', () => {
    const bus = make();
    const bytes = new Recorder();
    const words = new Recorder();
    bus.add(base, 8, bytes, 1);
    bus.add(base + 16, 8, words, 2);
    expect(bus.read(base + 4, 4)).toBe(0x07060504);
    expect(bytes.take()).toEqual(['r1@4', 'r1@5', 'r1@6', 'r1@7']);
    expect(bus.read(base + 16, 4)).toBe(0x03020100);
    expect(words.take()).toEqual(['r2@0', 'r2@2']);
    bus.write(base + 16, 4, 0xfedcba98);
    expect(words.take()).toEqual(['w2@0=ba98', 'w2@2=fedc']);
    bus.write(base, 2, 0xabcd);
    expect(bytes.take()).toEqual(['w1@0=cd', 'w1@1=ab']);
  });

  test('unaligned accesses become aligned ones', () => {
    const bus = make();
    const device = new Recorder();
    bus.add(base, 16, device, 4);
    expect(bus.read(base + 1, 4)).toBe(0x04030201);
    expect(device.take()).toEqual(['r1@1', 'r2@2', 'r1@4']);
    bus.write(base + 3, 2, 0xbeef);
    expect(device.take()).toEqual(['w1@3=ef', 'w1@4=be']);
    expect(bus.read(base + 8, 4)).toBe(0x0b0a0908);
    expect(device.take()).toEqual(['r4@8']);
  });

  test('an access over the end of a device takes the neighbour’s bytes, or ones', () => {
    const bus = make();
    const first = new Recorder();
    const second = new Recorder();
    bus.add(base, 4, first, 4);
    bus.add(base + 4, 4, second, 1);
    expect(bus.read(base + 2, 4)).toBe(0x01000302);
    expect(bus.read(base + 7, 4)).toBe(0xffff_ff03);
    expect(bus.read(base - 2, 4)).toBe(0xffff_ffff);
    first.take();
    second.take();
    bus.write(base + 3, 4, 0x44332211);
    expect(first.take()).toEqual(['w1@3=11']);
    expect(second.take()).toEqual(['w1@0=22', 'w1@1=33', 'w1@2=44']);
    bus.write(base + 7, 2, 0x2211);
    expect(second.take()).toEqual(['w1@3=11']);
  });

  test('ranges may touch but not overlap', () => {
    const bus = make();
    bus.add(base, 8, new Recorder(), 1);
    for (const [start, length] of [
      [base, 8],
      [base - 1, 2],
      [base + 7, 1],
      [base - 4, 100],
      [base + 2, 2],
    ] as const) {
      expect(() => bus.add(start, length, new Recorder(), 1)).toThrow(RangeError);
    }
    bus.add(base - 8, 8, new Recorder(), 1);
    bus.add(base + 8, 8, new Recorder(), 1);
  });

  test('many devices added in any order are all found', () => {
    const bus = make();
    const devices = new Map<number, Recorder>();
    for (let i = 0; i < 100; i++) {
      const at = base + ((i * 37) % 100) * 4;
      const device = new Recorder();
      devices.set(at, device);
      bus.add(at, 3, device, 1);
    }
    for (const [at, device] of devices) {
      bus.write(at + 2, 1, 1);
      expect(device.take()).toEqual(['w1@2=1']);
      expect(bus.read(at + 3, 1)).toBe(0xff);
    }
  });
});

test('the end of the port space', () => {
  const bus = new PortBus();
  expect(() => bus.add(0xffff, 2, new Recorder(), 1)).toThrow(RangeError);
  const device = new Recorder();
  bus.add(0xffff, 1, device, 1);
  expect(bus.read(0xffff, 4)).toBe(0xffff_ff00);
  expect(device.take()).toEqual(['r1@0']);
});

test('the port bus says when it is full', () => {
  const bus = new PortBus();
  for (let i = 0; i < 254; i++) bus.add(i, 1, new Recorder(), 1);
  expect(() => bus.add(1000, 1, new Recorder(), 1)).toThrow(RangeError);
});
