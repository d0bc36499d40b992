import { PortBus } from '../../../src/bus/address-map.js';
import { RegisterBlock } from '../../../src/bus/register-block.js';
import { initialiseCmos } from '../../../src/devices/legacy/rtc-registers.js';
import { Rtc, RTC_PORT, RTC_PORTS } from '../../../src/devices/legacy/rtc.js';
import { copyOf, FakeClock, FakeDoorbell, FakeLine, randomNumbers } from './harness.js';

const [A, B, C, D, CENTURY] = [0x0a, 0x0b, 0x0c, 0x0d, 0x32];
/** Seconds, minutes, hours, day of the week, day, month, year, century. */
const TIME = [0, 2, 4, 6, 7, 8, 9, CENTURY];
const GIB = 2 ** 30;
const MIB = 2 ** 20;

class Bench {
  readonly irq = new FakeLine();
  readonly doorbell = new FakeDoorbell();
  readonly bus = new PortBus();
  readonly rtc: Rtc;

  constructor(
    readonly clock = new FakeClock(),
    readonly block = Bench.fresh(),
  ) {
    this.rtc = new Rtc(block, this.irq, clock, this.doorbell);
    this.bus.add(RTC_PORT, RTC_PORTS, this.rtc, 1);
  }
  static fresh(): RegisterBlock {
    const block = RegisterBlock.standalone(Rtc.REGISTER_BYTES);
    initialiseCmos(block, { memoryBelow4G: 3 * GIB, memoryAbove4G: 5 * GIB, cpus: 4 });
    return block;
  }
  get(index: number): number {
    this.bus.write(RTC_PORT, 1, index);
    return this.bus.read(RTC_PORT + 1, 1);
  }
  put(index: number, value: number): this {
    this.bus.write(RTC_PORT, 1, index);
    this.bus.write(RTC_PORT + 1, 1, value);
    return this;
  }
  get time(): number[] {
    return TIME.map((index) => this.get(index));
  }
}

describe('time', () => {
  test('is BCD and 24 hours as a BIOS leaves it', () => {
    // Tuesday, 3 February 2026, 04:05:06
    expect(new Bench().time).toEqual([0x06, 0x05, 0x04, 3, 0x03, 0x02, 0x26, 0x20]);
  });

  test('is binary with DM', () => {
    const bench = new Bench(new FakeClock(Date.UTC(1999, 11, 31, 23, 59, 58))).put(B, 0x06);
    expect(bench.time).toEqual([58, 59, 23, 6, 31, 12, 99, 19]);
  });

  test.each([
    [0, 0x12],
    [1, 0x01],
    [11, 0x11],
    [12, 0x92],
    [13, 0x81],
    [23, 0x91],
  ])('hour %i in 12 hours', (hour, expected) => {
    const bench = new Bench(new FakeClock(Date.UTC(2026, 0, 1, hour))).put(B, 0x00);
    expect(bench.get(4)).toBe(expected);
    // Written back, it is the same hour.
    bench.put(4, expected).put(B, 0x02);
    expect(bench.get(4)).toBe(Math.floor(hour / 10) * 16 + (hour % 10));
  });

  test('goes on with the clock', () => {
    const bench = new Bench();
    bench.clock.time += 86_400_000 + 3_661_000;
    expect(bench.time).toEqual([0x07, 0x06, 0x05, 4, 0x04, 0x02, 0x26, 0x20]);
  });

  test('stands still while SET is 1, and goes on from what the guest has set', () => {
    const bench = new Bench().put(B, 0x82);
    bench.clock.time += 5000;
    expect(bench.get(0)).toBe(0x06);
    const values = [0x50, 0x59, 0x23, 7, 0x31, 0x12, 0x99, 0x19];
    TIME.forEach((index, i) => bench.put(index, values[i]!));
    expect(bench.time).toEqual(values);
    bench.put(B, 0x02);
    bench.clock.time += 10_000;
    // The day of the week follows from the date.
    expect(bench.time).toEqual([0x00, 0x00, 0x00, 7, 0x01, 0x01, 0x00, 0x20]);
  });

  test('UIP is up at the end of each second, unless the clock stands', () => {
    const bench = new Bench();
    expect(bench.get(A)).toBe(0x26);
    bench.clock.time += 999;
    expect(bench.get(A)).toBe(0xa6);
    bench.put(B, 0x82);
    expect(bench.get(A)).toBe(0x26);
  });
});

describe('ports', () => {
  test('the index port is write-only', () => {
    const bench = new Bench();
    bench.bus.write(RTC_PORT, 1, 0x05);
    expect(bench.bus.read(RTC_PORT, 1)).toBe(0xff);
  });

  test('G4: indexes from 0x80 on mask the NMI and name the same bytes', () => {
    const bench = new Bench();
    for (let index = 0x80; index < 0x100; index++) {
      if (index === 0x8a || index === 0x8c) continue;
      expect(bench.get(index)).toBe(bench.get(index & 0x7f));
    }
    bench.put(0xc0, 0x99);
    expect(bench.get(0x40)).toBe(0x99);
  });

  test('register D says that the RAM is valid, C and D cannot be written', () => {
    const bench = new Bench().put(C, 0xff).put(D, 0x00);
    expect([bench.get(C), bench.get(D)]).toEqual([0, 0x80]);
  });

  test('G4: any value in any byte, and time goes on being read', () => {
    const bench = new Bench();
    const random = randomNumbers(3);
    for (let i = 0; i < 50_000; i++) {
      const [index, value] = [random() & 0xff, random() & 0xff];
      if (index % 2 === 0) bench.put(index, value);
      else if (bench.get(index) > 0xff) throw new Error(`index ${index} reads more than a byte`);
      bench.clock.time += random() % 2000;
      if (i % 100 === 0) expect(bench.rtc.poll()).toBeGreaterThan(0);
    }
  });
});

describe('what firmware reads', () => {
  test('memory sizes, processors and boot order', () => {
    const bench = new Bench();
    const word = (index: number) => bench.get(index) + 256 * bench.get(index + 1);
    expect(word(0x15)).toBe(640);
    expect(word(0x17)).toBe(0xffff);
    expect(word(0x34)).toBe((3 * GIB - 16 * MIB) / 65_536);
    expect(word(0x5b) + 65_536 * bench.get(0x5d)).toBe((5 * GIB) / 65_536);
    expect(bench.get(0x5f)).toBe(3);
    expect(bench.get(0x3d)).toBe(0x02);
    let sum = 0;
    for (let index = 0x10; index < 0x2e; index++) sum += bench.get(index);
    expect(bench.get(0x2e) * 256 + bench.get(0x2f)).toBe(sum);
  });

  test('a small machine and another boot order', () => {
    const block = RegisterBlock.standalone(Rtc.REGISTER_BYTES);
    const memoryBelow4G = 16 * MIB;
    initialiseCmos(block, { memoryBelow4G, memoryAbove4G: 0, cpus: 1, bootOrder: [3, 2, 4] });
    const bench = new Bench(new FakeClock(), block);
    expect(bench.get(0x30) + 256 * bench.get(0x31)).toBe(15 * 1024);
    expect(bench.get(0x34) + 256 * bench.get(0x35)).toBe(0);
    expect([bench.get(0x3d), bench.get(0x38)]).toEqual([0x23, 0x41]);
  });
});

describe('interrupts', () => {
  test('flags are set by what has passed, and reading register C clears them', () => {
    const bench = new Bench();
    bench.get(C);
    bench.clock.time += 1000;
    expect(bench.get(C)).toBe(0x50);
    expect(bench.get(C)).toBe(0);
  });

  test('update-ended comes at the next second', () => {
    const bench = new Bench();
    bench.clock.time += 300;
    expect(bench.rtc.poll()).toBe(Infinity);
    bench.put(B, 0x12);
    expect(bench.doorbell.rings).toBe(1);
    expect(bench.rtc.poll()).toBe(700);
    bench.clock.time += 700;
    bench.rtc.poll();
    expect(bench.irq.level).toBe(true);
    expect(bench.get(C) & 0x90).toBe(0x90);
    expect(bench.irq.level).toBe(false);
    expect(bench.rtc.poll()).toBe(1000);
  });

  test('the next one waits until the guest has read register C', () => {
    const bench = new Bench().put(B, 0x12);
    bench.rtc.poll();
    bench.clock.time += 1000;
    expect(bench.rtc.poll()).toBe(Infinity);
    bench.get(C);
    expect(bench.rtc.poll()).toBe(1000);
  });

  test.each([
    ['exact', [0x10, 0x07, 0x05], (3600 + 124) * 1000],
    ['every minute', [0x10, 0xff, 0xff], 4_000],
    ['every second', [0xff, 0xff, 0xff], 1_000],
    ['in the past of today', [0x06, 0x05, 0x04], 86_400_000],
  ])('an alarm: %s', (_name, [seconds, minutes, hours], wait) => {
    const bench = new Bench();
    bench.put(1, seconds!).put(3, minutes!).put(5, hours!).put(B, 0x22);
    expect(bench.rtc.poll()).toBe(wait);
    bench.clock.time += wait - 1;
    bench.rtc.poll();
    expect(bench.irq.level).toBe(false);
    bench.clock.time += 1;
    bench.rtc.poll();
    expect(bench.irq.level).toBe(true);
    expect(bench.get(C) & 0xa0).toBe(0xa0);
  });

  test('an alarm that no time matches never comes', () => {
    const bench = new Bench().put(1, 0x77).put(B, 0x22);
    expect(bench.rtc.poll()).toBe(Infinity);
  });

  test('the periodic interrupt has the rate of register A', () => {
    const bench = new Bench().put(A, 0x2f).put(B, 0x42);
    expect(bench.rtc.poll()).toBe(500);
    bench.put(A, 0x26);
    expect(bench.rtc.poll()).toBeCloseTo(0.976_562_5);
    bench.put(A, 0x20);
    expect(bench.rtc.poll()).toBe(Infinity);
  });
});

describe('state', () => {
  test('a time the guest has set and a raised interrupt survive a save and restore', () => {
    const bench = new Bench().put(9, 0x30).put(B, 0x12);
    bench.rtc.poll();
    bench.clock.time += 1000;
    bench.rtc.poll();
    const restored = new Bench(bench.clock, copyOf(bench.block));
    restored.irq.level = true;
    expect(restored.get(9)).toBe(0x30);
    expect(restored.get(C) & 0x90).toBe(0x90);
    expect(restored.irq.level).toBe(false);
  });

  test('I4: a restored block full of garbage is harmless', () => {
    const random = randomNumbers(11);
    for (let round = 0; round < 300; round++) {
      const block = RegisterBlock.standalone(Rtc.REGISTER_BYTES);
      for (let i = 0; i < block.bytes.length; i++) block.bytes[i] = random() & 0xff;
      const rtc = new Rtc(block, { set: () => undefined }, new FakeClock());
      for (let index = 0; index < 128; index++) {
        rtc.write(0, 1, index);
        expect(rtc.read(1)).toBeLessThanOrEqual(255);
        rtc.write(1, 1, random() & 0xff);
      }
      expect(rtc.poll()).toBeGreaterThanOrEqual(0);
    }
  });
});
