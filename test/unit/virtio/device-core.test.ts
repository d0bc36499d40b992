/** Requests, failure, reset and state of a device, through its transport. */
import { Worker } from 'node:worker_threads';
import { Status } from '../../../src/devices/virtio/constants.js';
import { MmioInterrupt, MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { QueueWord } from '../../../src/devices/virtio/queue/queue-registers.js';
import { SiteLog } from '../../../src/devices/virtio/site-log.js';
import { ALL_STEPS, MmioBench } from './mmio-bench.js';
import { EchoDevice } from './test-device.js';

const { Acknowledge, Driver, NeedsReset } = Status;
const ROOM = { address: 0x9000, length: 128, writable: true };
const DATA = { address: 0x8000, length: 16 };

const fresh = (): MmioBench<EchoDevice> => new MmioBench(new EchoDevice());

describe('requests', () => {
  test('S-2: the answer goes to writable memory only', () => {
    const bench = fresh().start();
    bench.ram.write(
      DATA.address,
      Array.from({ length: 16 }, (_, i) => i + 1),
    );
    bench.rings[0]!.send(DATA, ROOM);
    const { place, size } = bench.rings[0]!;
    const untouched = (): Uint8Array[] => [
      bench.ram.read(place.descriptors, 16 * size),
      bench.ram.read(place.driver, 6 + 2 * size),
      bench.ram.read(DATA.address, DATA.length),
    ];
    const before = untouched();
    bench.notify(0);
    expect(untouched()).toEqual(before);
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

  test('a turn that the device asks for at once is a kick, one for later is a timer', () => {
    jest.useFakeTimers();
    try {
      const kicked: number[] = [];
      const bench = new MmioBench(new EchoDevice(), { kick: (index) => kicked.push(index) });
      bench.start();
      kicked.length = 0;
      bench.device.context.processLater(1, 0);
      expect(kicked).toEqual([1]);
      bench.device.context.processLater(0, 5);
      expect(kicked).toEqual([1]);
      jest.advanceTimersByTime(5);
      expect(kicked).toEqual([1, 0]);
    } finally {
      jest.useRealTimers();
    }
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

  test.each(['before', 'after'] as const)('a device that throws %s it takes a chain', (when) => {
    const bench = fresh().start();
    bench.device.throws = when;
    bench.rings[0]!.send(ROOM);
    bench.notify(0);
    expect(bench.needsReset).toBe(true);
    expect(bench.lines[0]).toMatch(/the device has a defect/);
    bench.device.throws = undefined;
    bench.start();
    expect(bench.status).toBe(ALL_STEPS);
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
    bench.rings[0]!.send(DATA, ROOM);
    bench.rings[1]!.send(ROOM);
    const before = bench.ram.snapshot();
    bench.device.context.configChanged();
    for (const index of [0, 1]) {
      bench.notify(index);
      bench.core.serve(index);
    }
    expect(bench.device.held).toEqual([]);
    expect(bench.get(R.InterruptStatus)).toBe(0);
    expect(bench.ram.snapshot()).toBe(before);
  });

  test('the thread that serves the queues hears that the device does not run', () => {
    const bench = new MmioBench(new EchoDevice(), { kick: () => undefined }).start();
    bench.core.serve(0);
    expect(bench.device.events).not.toContain('halted');
    bench.set(R.Status, 0);
    bench.device.events.length = 0;
    expect(bench.core.serve(0)).toBe(false);
    expect(bench.device.events).toEqual(['halted']);
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

  test('A15: the thread that resets blocks until another one has finished', async () => {
    const bench = new MmioBench(new EchoDevice(), { drainMilliseconds: 20_000 }).start();
    bench.rings[1]!.send(ROOM);
    bench.notify(1);
    const { words } = bench.registers.queues[1]!;
    // Stands for an I/O worker whose request ends a little later.
    const code = `const { workerData } = require('node:worker_threads');
      while (Atomics.load(workerData.words, workerData.word) === 0) ;
      Atomics.wait(workerData.words, workerData.word, 1, 50);
      Atomics.sub(workerData.words, workerData.word, 1);
      Atomics.notify(workerData.words, workerData.word);`;
    const worker = new Worker(code, {
      eval: true,
      workerData: { words, word: QueueWord.Draining },
    });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    await new Promise((resolve) => worker.once('online', resolve));
    const start = performance.now();
    bench.set(R.Status, 0);
    expect(bench.status).toBe(0);
    expect(performance.now() - start).toBeLessThan(15_000);
    await ended;
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
