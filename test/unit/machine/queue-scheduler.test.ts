import { QueueScheduler } from '../../../src/machine/virtio/queue-scheduler.js';

/** A queue with so many turns of work. */
class Work {
  readonly served: number[] = [];
  constructor(private turns: number) {}
  serve(index: number): boolean {
    this.served.push(index);
    this.turns--;
    return this.turns > 0;
  }
  pending(): boolean {
    return false;
  }
  rest(): boolean {
    return false;
  }
}

const quiet = { pending: () => false, rest: () => false };

/** A scheduler whose event loop turns when the test says so. */
function setUp(millisecondsPerLook = 0) {
  let time = 0;
  const later: (() => void)[] = [];
  const scheduler = new QueueScheduler({
    later: (run) => void later.push(run),
    now: () => (time += millisecondsPerLook),
    poll: false,
  });
  return { scheduler, later };
}

describe('the queues of an I/O worker', () => {
  test('are served when they are kicked, until they are empty', () => {
    const { scheduler } = setUp();
    const work = new Work(3);
    const entry = scheduler.add(work, 7);
    scheduler.ready(entry);
    expect(work.served).toEqual([7, 7, 7]);
  });

  test('take turns: one with a lot of work does not keep another waiting', () => {
    const { scheduler } = setUp();
    const order: string[] = [];
    const device = (name: string, turns: number) => ({
      ...quiet,
      serve: () => {
        order.push(name);
        return --turns > 0;
      },
    });
    const busy = scheduler.add(device('busy', 4), 0);
    const quick = scheduler.add(device('quick', 1), 0);
    scheduler.pause();
    scheduler.ready(busy);
    scheduler.ready(quick);
    scheduler.resume();
    expect(order).toEqual(['busy', 'quick', 'busy', 'busy', 'busy']);
  });

  test('leave the event loop its turn after a slice of time', () => {
    const { scheduler, later } = setUp(1);
    const work = new Work(10);
    scheduler.ready(scheduler.add(work, 0));
    expect(work.served.length).toBeLessThan(10);
    for (let i = 0; i < 20 && later.length > 0; i++) later.shift()!();
    expect(work.served).toHaveLength(10);
  });

  test('are asked for one run of the loop, however often they are kicked meanwhile', () => {
    const { scheduler, later } = setUp(5);
    const first = scheduler.add(new Work(100), 0);
    scheduler.ready(first);
    for (let i = 0; i < 50; i++) scheduler.ready(first);
    expect(later).toHaveLength(1);
  });

  test('a queue that kicks itself while it is served is served once more', () => {
    const { scheduler } = setUp();
    let calls = 0;
    const entry: number = scheduler.add(
      {
        ...quiet,
        serve: () => {
          if (++calls === 1) scheduler.ready(entry);
          return false;
        },
      },
      0,
    );
    scheduler.ready(entry);
    expect(calls).toBe(2);
  });

  test('remember kicks while they are paused', () => {
    const { scheduler } = setUp();
    const work = new Work(1);
    const entry = scheduler.add(work, 0);
    scheduler.pause();
    scheduler.ready(entry);
    expect(work.served).toEqual([]);
    scheduler.resume();
    expect(work.served).toEqual([0]);
  });

  test('are all looked at after a restore', () => {
    const { scheduler } = setUp();
    const works = [new Work(1), new Work(1)];
    works.forEach((work) => scheduler.add(work, 0));
    scheduler.readyAll();
    expect(works.map(({ served }) => served.length)).toEqual([1, 1]);
  });
});

/** A driver that makes chains available at given times, and a device that takes them. */
class TimedDriver {
  time = 0;
  kicks = 0;
  served = 0;
  private asked = true;
  private readonly due: number[];
  readonly scheduler = new QueueScheduler({
    later: (run) => this.later.push(run),
    now: () => (this.time += 0.001),
    reap: () => {
      this.reaped++;
      return this.inFlight;
    },
  });
  reaped = 0;
  /** Requests are with the kernel. */
  inFlight = false;
  private readonly later: (() => void)[] = [];
  private readonly entry = this.scheduler.add(this, 0);

  constructor(due: readonly number[]) {
    this.due = [...due];
  }

  pending(): boolean {
    return this.due.length > 0 && this.due[0]! <= this.time;
  }

  serve(_queue: number, polled: boolean): boolean {
    while (this.pending()) {
      this.due.shift();
      this.served++;
    }
    this.asked = !polled;
    return false;
  }

  rest(): boolean {
    this.asked = true;
    return this.pending();
  }

  /** Makes a chain available right after the last watch. */
  followUp(): void {
    this.due.push(this.time);
    this.run();
  }

  /** Lets time pass until every chain has been served, kicking as the driver is asked to. */
  run(): void {
    while (this.due.length > 0 || this.later.length > 0) {
      const run = this.later.shift();
      if (run !== undefined) {
        run();
        continue;
      }
      this.time = Math.max(this.time, this.due[0]!);
      if (!this.asked) throw new Error('a chain waits and nobody looks at it');
      this.kicks++;
      this.scheduler.ready(this.entry);
    }
  }
}

describe('watching queues instead of waiting for kicks', () => {
  test('spares kicks of a driver that is quick to come again', () => {
    const driver = new TimedDriver(Array.from({ length: 1000 }, (_, i) => i * 0.02));
    driver.run();
    expect(driver.served).toBe(1000);
    // The first two: the watch outlives the slices of time.
    expect(driver.kicks).toBe(2);
    expect(driver.reaped).toBeGreaterThan(0);
  });

  test('ends at once while requests are with the kernel', () => {
    const driver = new TimedDriver(Array.from({ length: 1000 }, (_, i) => i * 0.02));
    driver.inFlight = true;
    driver.run();
    expect(driver).toMatchObject({ served: 1000, kicks: 1000 });
    expect(driver.reaped).toBeLessThanOrEqual(1000);
  });

  test('is given up where the driver comes just after it has ended', () => {
    const driver = new TimedDriver([]);
    for (let i = 0; i < 2000; i++) driver.followUp();
    expect(driver.served).toBe(2000);
    // Looks at the queue: no more than a few watches' worth.
    expect(driver.reaped).toBeLessThan(2000);
  });

  test('is not done for a driver that comes seldom', () => {
    const driver = new TimedDriver(Array.from({ length: 100 }, (_, i) => i * 10));
    driver.run();
    expect(driver).toMatchObject({ served: 100, kicks: 100, reaped: 0 });
  });

  test('ends when the driver has become slow', () => {
    const busy = Array.from({ length: 100 }, (_, i) => i * 0.02);
    const idle = Array.from({ length: 100 }, (_, i) => 100 + i * 10);
    const driver = new TimedDriver([...busy, ...idle]);
    driver.run();
    expect(driver.served).toBe(200);
    // The last kicks are answered without a look at the clock.
    expect(driver.kicks).toBeGreaterThanOrEqual(100);
  });

  test('loses no chain that comes at the moment the watch ends', () => {
    for (let step = 0.001; step < 0.14; step += 0.003) {
      const driver = new TimedDriver(Array.from({ length: 200 }, (_, i) => i * step));
      driver.run();
      expect(driver.served).toBe(200);
    }
  });

  test('asks every driver for kicks before a pause', () => {
    const driver = new TimedDriver([0, 0.01, 0.02, 0.03, 0.04]);
    driver.run();
    driver.scheduler.pause();
    expect(driver).toMatchObject({ asked: true });
  });
});
