/** Status, negotiation, reset and failure of a device, through its transport. */
import { Feature, Status } from '../../../src/devices/virtio/constants.js';
import { MmioInterrupt, MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { SiteLog } from '../../../src/devices/virtio/site-log.js';
import { ALL_STEPS, MmioBench, RING_BITS } from './mmio-bench.js';
import { EchoDevice } from './test-device.js';

const { Acknowledge, Driver, FeaturesOk, DriverOk, NeedsReset, Failed } = Status;
const ROOM = { address: 0x9000, length: 128, writable: true };
const DATA = { address: 0x8000, length: 16 };

const fresh = (): MmioBench<EchoDevice> => new MmioBench(new EchoDevice());

describe('status', () => {
  test('the sequence of 3.1.1', () => {
    const bench = fresh();
    expect(bench.status).toBe(0);
    expect(bench.negotiate()).toBe(true);
    bench.set(R.Status, ALL_STEPS);
    expect(bench.status).toBe(ALL_STEPS);
    expect(bench.device.events).toContain('driverOk');
  });

  test.each([
    [DriverOk, 0],
    [Driver, 0],
    [FeaturesOk, 0],
    [Acknowledge | FeaturesOk, Acknowledge],
    [Acknowledge | Driver | DriverOk, Acknowledge | Driver],
    [0xffff_ff00, 0],
    [NeedsReset, 0],
    [Acknowledge | 16 | 32, Acknowledge],
  ])('A13: from 0, writing 0x%s gives 0x%s', (value, expected) => {
    const bench = fresh();
    bench.set(R.Status, value);
    expect(bench.status).toBe(expected);
    expect(bench.device.events).not.toContain('driverOk');
  });

  test('A13: bits are cleared by a reset only', () => {
    const bench = fresh().start();
    for (const value of [1, 2, 4, 8, 16]) bench.set(R.Status, value);
    expect(bench.status).toBe(ALL_STEPS);
    expect(bench.device.events.filter((event) => event === 'driverOk')).toHaveLength(1);
  });

  test('A13: after FAILED nothing but a reset helps', () => {
    const bench = fresh();
    bench.negotiate();
    bench.set(R.Status, Failed);
    bench.set(R.Status, ALL_STEPS);
    expect(bench.status).toBe(Failed | Acknowledge | Driver | FeaturesOk);
    bench.set(R.Status, 0);
    expect(bench.status).toBe(0);
    const running = fresh().start();
    running.set(R.Status, Failed);
    running.rings[0]!.send(ROOM);
    running.notify(0);
    expect(running.rings[0]!.take()).toEqual([]);
  });
});

describe('features', () => {
  test('G-5, G-9: offered are the device, VERSION_1 and what rings can do', () => {
    const bench = fresh();
    const offered = [0, 3, 28, 29, 32, 40, 50];
    expect(bench.offered()).toEqual(offered);
    const without = new MmioBench(new EchoDevice(), { withoutFeatures: [Feature.EventIndex] });
    expect(without.offered()).toEqual(offered.filter((bit) => bit !== 29));
  });

  test('G-4: any valid subset is accepted', () => {
    for (const features of [[32], [32, 0], [32, 0, 3, 28, 29, 40, 50], [32, 29]]) {
      expect(fresh().negotiate(features)).toBe(true);
    }
  });

  test.each([
    ['without VERSION_1', [0]],
    ['none at all', []],
    ['one that is not offered', [32, 1]],
    ['one of the next word that is not offered', [32, 33]],
    ['one above 64 that is not offered', [32, 64]],
    ['one without its prerequisite', [32, 3]],
    ['a combination the device refuses', [32, 50]],
  ])('A14: %s is refused', (_, features) => {
    const bench = fresh();
    expect(bench.negotiate(features)).toBe(false);
    bench.set(R.Status, ALL_STEPS);
    expect(bench.status & DriverOk).toBe(0);
  });

  test('A14: bits above 127 are refused, whatever is written later', () => {
    for (const select of [4, 5, 0xffff_ffff]) {
      const bench = fresh();
      bench.set(R.Status, Acknowledge | Driver);
      bench.set(R.DriverFeaturesSel, select);
      bench.set(R.DriverFeatures, 1);
      bench.accept(RING_BITS);
      bench.set(R.Status, ALL_STEPS);
      expect(bench.status).toBe(Acknowledge | Driver);
    }
  });

  test('A14: nothing changes after FEATURES_OK', () => {
    const bench = fresh();
    bench.negotiate();
    bench.accept([0, 3, 32]);
    expect(bench.device.context.hasFeature(0)).toBe(false);
    expect(bench.device.context.hasFeature(Feature.EventIndex)).toBe(true);
  });

  test('G-6: the same features are accepted again after a reset', () => {
    const bench = fresh().start([...RING_BITS, 0, 3]);
    for (let i = 0; i < 3; i++) expect(bench.negotiate([...RING_BITS, 0, 3])).toBe(true);
  });

  test('G-3: a device that offers a feature without its prerequisite is a defect', () => {
    class Broken extends EchoDevice {
      override readonly features = [3];
    }
    expect(() => new MmioBench(new Broken())).toThrow(RangeError);
  });

  test('G-5: a device cannot offer what belongs to rings and transports', () => {
    for (const bit of [24, 33, 34, 40, 43, 44, 49, 128]) {
      class Broken extends EchoDevice {
        override readonly features = [bit];
      }
      expect(() => new MmioBench(new Broken())).toThrow(RangeError);
    }
  });

  test('G-8: configuration can be read before negotiation', () => {
    const bench = fresh();
    bench.device.context.state.set([1, 2, 3, 4]);
    expect(bench.get(R.Config)).toBe(0x0403_0201);
  });
});

describe('requests', () => {
  test('S-2: the answer goes to writable memory only', () => {
    const bench = fresh().start();
    bench.ram.write(
      DATA.address,
      Array.from({ length: 16 }, (_, i) => i + 1),
    );
    bench.rings[0]!.send(DATA, ROOM);
    bench.notify(0);
    expect(bench.rings[0]!.take()).toEqual([{ id: 0, length: 16 }]);
    expect(bench.ram.read(0x9000, 17)).toEqual(
      Uint8Array.from({ length: 17 }, (_, i) => (i < 16 ? i + 1 : 0)),
    );
  });

  test('G-1: nothing is consumed and nobody is notified before DRIVER_OK', () => {
    const bench = fresh();
    bench.negotiate();
    bench.setUpQueue(0);
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    bench.core.serve(0);
    bench.device.context.configChanged();
    expect(bench.rings[0]!.take()).toEqual([]);
    expect(bench.line.calls).toBe(0);
  });

  test('kicks go to the I/O worker, which serves in turns of the budget', () => {
    const kicks: number[] = [];
    const bench = new MmioBench(new EchoDevice(), { kick: (index) => kicks.push(index) }).start();
    for (let i = 0; i < 10; i++) bench.rings[0]!.send(ROOM);
    kicks.length = 0;
    bench.notify(0);
    expect(kicks).toEqual([0]);
    expect(bench.rings[0]!.take()).toEqual([]);
    expect(bench.core.serve(0)).toBe(false);
    expect(bench.rings[0]!.take()).toHaveLength(10);
  });

  test('C23: a turn over budget asks for another', () => {
    class Small extends EchoDevice {
      readonly budget = 4;
    }
    const bench = new MmioBench(new Small(), { kick: () => undefined }).start();
    for (let i = 0; i < 10; i++) bench.rings[0]!.send(ROOM);
    expect([1, 2, 3].map(() => bench.core.serve(0))).toEqual([true, true, false]);
    expect(bench.rings[0]!.take()).toHaveLength(10);
  });

  test('EVENT_IDX keeps the interrupt away that nobody asked for', () => {
    const bench = fresh().start();
    bench.rings[0]!.setUsedEvent(1);
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    expect(bench.acknowledge()).toBe(0);
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    expect(bench.acknowledge()).toBe(MmioInterrupt.UsedBuffer);
  });
});

describe('failure', () => {
  test('G-2: a broken chain means NEEDS_RESET and a configuration interrupt', () => {
    const bench = fresh().start();
    bench.rings[0]!.offer(99);
    bench.notify(0);
    expect(bench.status).toBe(ALL_STEPS | NeedsReset);
    expect(bench.acknowledge()).toBe(MmioInterrupt.ConfigChange);
    expect(bench.lines).toHaveLength(1);
    expect(bench.lines[0]).toMatch(/echo needs a reset: queue 0: chain head 99/);
  });

  test('the other queue stands still too, and a reset makes everything work again', () => {
    const bench = fresh().start();
    bench.rings[0]!.offer(99);
    bench.notify(0);
    bench.rings[1]!.send(ROOM);
    bench.notify(1);
    expect(bench.device.held).toEqual([]);
    bench.start();
    expect(bench.status).toBe(ALL_STEPS);
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    expect(bench.rings[0]!.take()).toHaveLength(1);
  });

  test('a device that throws takes itself down only', () => {
    const bench = fresh().start();
    bench.device.throws = true;
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    expect(bench.needsReset).toBe(true);
    expect(bench.lines[0]).toMatch(/the device has a defect/);
    bench.device.throws = false;
    bench.start();
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    expect(bench.rings[0]!.take()).toHaveLength(1);
  });

  test('K2: ten lines in five seconds from one place, and how many were dropped', () => {
    let now = 0;
    const lines: string[] = [];
    const log = new SiteLog(
      (line) => lines.push(line),
      () => now,
    );
    for (let i = 0; i < 1000; i++) log.warn('one', `one ${i}`);
    log.warn('two', 'two');
    expect(lines).toHaveLength(11);
    now = 5000;
    log.warn('one', 'later');
    expect(lines.slice(11)).toEqual(['one: 990 more lines dropped', 'later']);
  });

  test('K2: a guest that breaks the device again and again writes ten lines', () => {
    const bench = fresh();
    for (let i = 0; i < 200; i++) {
      bench.start();
      bench.rings[0]!.offer(99);
      bench.notify(0);
    }
    expect(bench.lines).toHaveLength(10);
  });

  test('locking the device within a turn is refused: it could wait for a reset for ever', () => {
    const bench = fresh().start();
    bench.device.context.runQueue(0, () => {
      expect(() => bench.device.context.lock()).toThrow();
      bench.device.context.configChanged();
    });
    expect(bench.acknowledge()).toBe(MmioInterrupt.ConfigChange);
  });
});

describe('reset', () => {
  test('G-7: status is 0 and nothing happens until the device is set up again', () => {
    const bench = fresh().start();
    bench.rings[1]!.send(ROOM);
    bench.notify(1);
    bench.device.finish();
    bench.acknowledge();
    bench.set(R.Status, 0);
    expect(bench.status).toBe(0);
    const before = bench.ram.snapshot();
    bench.device.context.configChanged();
    bench.notify(0);
    bench.core.serve(0);
    expect(bench.get(R.InterruptStatus)).toBe(0);
    expect(bench.ram.snapshot()).toBe(before);
  });

  test('A15: with requests in flight it is complete when they have come back', () => {
    const bench = fresh().start();
    for (let i = 0; i < 3; i++) bench.rings[1]!.send(ROOM);
    bench.notify(1);
    bench.set(R.Status, 0);
    expect(bench.status).not.toBe(0);
    bench.set(R.Status, Acknowledge | Driver);
    bench.setUpQueue(0);
    const before = bench.ram.snapshot();
    bench.device.finish();
    expect(bench.status).toBe(0);
    expect(bench.ram.snapshot()).toBe(before);
    expect(bench.get(R.InterruptStatus)).toBe(0);
    expect(bench.start().status).toBe(ALL_STEPS);
  });

  test('A15: 10^5 resets leave nothing behind', () => {
    const bench = fresh();
    for (let i = 0; i < 100_000; i++) bench.set(R.Status, 0);
    expect(bench.lines).toEqual([]);
    expect(bench.start().status).toBe(ALL_STEPS);
  });

  test('stopping a queue with chains in flight gives up on them', () => {
    const bench = fresh().start();
    bench.rings[1]!.send(ROOM);
    bench.notify(1);
    bench.set(R.QueueSel, 1);
    bench.set(R.QueueReady, 0);
    expect(bench.get(R.QueueReady)).toBe(0);
    bench.device.finish();
    expect(bench.rings[1]!.take()).toEqual([]);
    expect(bench.acknowledge()).toBe(0);
  });
});

describe('state', () => {
  test('copied blocks go on in a fresh device in the middle of traffic', () => {
    const bench = fresh().start();
    for (let i = 0; i < 3; i++) bench.rings[1]!.send(ROOM);
    bench.rings[0]!.send(DATA, ROOM);
    bench.notify(1);
    bench.notify(0);
    const device = new EchoDevice();
    const copy = new MmioBench(device, {}, bench.ram);
    copy.registers.restore(bench.registers.save());
    copy.line.level = true;
    device.held.push(...bench.device.held);
    Object.assign(copy.rings[0]!, { availableIndex: 1, usedIndex: 0, nextDescriptor: 2 });
    Object.assign(copy.rings[1]!, { availableIndex: 3, usedIndex: 0, nextDescriptor: 3 });
    expect(copy.acknowledge()).toBe(MmioInterrupt.UsedBuffer);
    device.finish(9);
    expect(copy.rings[1]!.take().map(({ length }) => length)).toEqual([9, 9, 9]);
    copy.rings[0]!.send(DATA, ROOM);
    copy.notify(0);
    expect(copy.rings[0]!.take()).toEqual([
      { id: 0, length: 16 },
      { id: 2, length: 16 },
    ]);
  });

  test('blocks of another device are refused', () => {
    const bench = fresh();
    expect(() => bench.registers.restore([])).toThrow(RangeError);
    const saved = bench.registers.save();
    expect(() => bench.registers.restore([saved[1]!, saved[0]!, saved[2]!])).toThrow(RangeError);
  });
});
