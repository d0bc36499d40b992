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
}

/** A scheduler whose event loop turns when the test says so. */
function setUp(millisecondsPerLook = 0) {
  let time = 0;
  const later: (() => void)[] = [];
  const scheduler = new QueueScheduler(
    (run) => void later.push(run),
    () => (time += millisecondsPerLook),
  );
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
