/** The split ring: positions, notifications both ways, batches, state. */
import { constants } from '../../../src/devices/virtio/constants.js';
import { QueueWord } from '../../../src/devices/virtio/queue/queue-registers.js';
import { HIGH_RAM, WINDOW } from './fake-ram.js';
import { Random } from './fuzz.js';
import { QueueBench } from './queue-bench.js';

const BUFFER = { address: 0x8000, length: 64 };
const ROOM = { address: 0x9000, length: 128, writable: true };

describe('a turn', () => {
  test('gives a chain as readable and writable segments and publishes its length (S-7)', () => {
    const bench = new QueueBench();
    const head = bench.driver.send(BUFFER, { address: 0x8100, length: 8 }, ROOM);
    const [chain] = bench.serve();
    expect(chain!.readable).toEqual([BUFFER, { address: 0x8100, length: 8 }]);
    expect(chain!.writable).toEqual([{ address: 0x9000, length: 128 }]);
    expect(bench.driver.take()).toEqual([{ id: head, length: 128 }]);
  });

  test('S-7: nothing is published before its end, and all at once then', () => {
    const bench = new QueueBench();
    for (let i = 0; i < 5; i++) bench.driver.send(ROOM);
    bench.turn(() => {
      while (bench.queue.pop(bench.chain)) bench.queue.push(bench.chain.token, 1);
      expect(bench.driver.deviceIndex).toBe(0);
      // S-7: ids and lengths are there before the index says so.
      expect(bench.ram.get(bench.driver.place.device + 4 + 8 * 4 + 4, 4)).toBe(1);
    });
    expect(bench.driver.deviceIndex).toBe(5);
  });

  test('chains can be pushed in another turn and order', () => {
    const bench = new QueueBench();
    const heads = [1, 2, 3].map(() => bench.driver.send(ROOM));
    const popped = bench.popAll();
    expect(bench.registers.words[QueueWord.InFlight]).toBe(3);
    expect(bench.driver.take()).toEqual([]);
    bench.turn(() => popped.reverse().forEach(({ token }, i) => bench.queue.push(token, i)));
    expect(bench.driver.take()).toEqual([
      { id: heads[2], length: 0 },
      { id: heads[1], length: 1 },
      { id: heads[0], length: 2 },
    ]);
    expect(bench.registers.words[QueueWord.InFlight]).toBe(0);
  });

  test('C23: the budget ends a turn that the driver would not let end', () => {
    const bench = new QueueBench({ size: 2 });
    let popped = 0;
    bench.driver.send(ROOM);
    bench.turn(() => {
      while (bench.queue.pop(bench.chain)) {
        popped++;
        bench.queue.push(bench.chain.token, 0);
        bench.driver.send(ROOM);
      }
    }, 64);
    expect(popped).toBe(64);
    expect(bench.queue.more).toBe(true);
    expect(bench.queue.failure).toBeUndefined();
  });

  test('unpop leaves the chain for the next turn', () => {
    const bench = new QueueBench();
    const head = bench.driver.send(ROOM);
    bench.turn(() => {
      expect(bench.queue.pop(bench.chain)).toBe(true);
      bench.queue.unpop(bench.chain);
    });
    expect(bench.registers.words[QueueWord.InFlight]).toBe(0);
    expect(bench.serve()).toHaveLength(1);
    expect(bench.driver.take()).toEqual([{ id: head, length: 128 }]);
  });

  test('pushing what is not in flight is a defect that throws', () => {
    const bench = new QueueBench();
    bench.turn(() => expect(() => bench.queue.push(3, 0)).toThrow('not in flight'));
  });

  test.each([1, 2, 256, 32768])('C24: a ring of %d entries goes round several times', (size) => {
    const place = { descriptors: 0, driver: 0x80000, device: 0xa0000 };
    const bench = new QueueBench({ size, place, eventIndex: true });
    const rounds = size > 1000 ? 3 : 40;
    for (let round = 0; round < rounds; round++) {
      const heads = Array.from({ length: size }, () => bench.driver.chain([ROOM]));
      bench.driver.offer(...heads);
      expect(bench.serve()).toHaveLength(size);
      expect(bench.driver.take().map(({ id }) => id)).toEqual(heads);
    }
  });

  test('rings across windows, and above 4 GiB', () => {
    const place = {
      descriptors: HIGH_RAM + WINDOW - 64,
      driver: HIGH_RAM + 3 * WINDOW - 10,
      device: HIGH_RAM + 5 * WINDOW - 12,
    };
    const bench = new QueueBench({ size: 8, place, eventIndex: true });
    for (let i = 0; i < 100; i++) {
      const head = bench.driver.send({ address: HIGH_RAM + 0x8000, length: 1, writable: true });
      bench.driver.setUsedEvent(i);
      expect(bench.serve()).toHaveLength(1);
      expect(bench.queue.notify).toBe(true);
      expect(bench.driver.take()).toEqual([{ id: head, length: 1 }]);
    }
  });
});

describe('used buffer notifications', () => {
  test('S-5: without EVENT_IDX flags decide and used_event is ignored', () => {
    const bench = new QueueBench();
    bench.driver.setUsedEvent(0x1234);
    bench.driver.send(ROOM);
    bench.serve();
    expect(bench.queue.notify).toBe(true);
    bench.driver.setAvailableFlags(1);
    bench.driver.send(ROOM);
    bench.serve();
    expect(bench.queue.notify).toBe(false);
  });

  test('S-6: with EVENT_IDX the event decides and bit 0 of flags is ignored (C20, C21)', () => {
    const bench = new QueueBench({ eventIndex: true });
    bench.driver.setAvailableFlags(1);
    bench.driver.setUsedEvent(0);
    const notified = Array.from({ length: 4 }, () => {
      bench.driver.send(ROOM);
      bench.serve();
      return bench.queue.notify;
    });
    expect(notified).toEqual([true, false, false, false]);
  });

  test.each([
    // used index before and after, used_event, and whether that is passed
    [0, 1, 0, true],
    [0, 1, 1, false],
    [0, 4, 3, true],
    [0, 4, 4, false],
    [5, 8, 4, false],
    [0xfffe, 2, 0xffff, true],
    [0xfffe, 2, 1, true],
    [0xfffe, 2, 2, false],
    [0xfffe, 2, 0xfffd, false],
  ])('one decision for a batch: %d to %d with event %d', (before, after, event, expected) => {
    const bench = new QueueBench({ eventIndex: true });
    const { words } = bench.registers;
    words[QueueWord.NextUsed] = before;
    words[QueueWord.NextAvailable] = before;
    bench.driver.availableIndex = before;
    bench.driver.setUsedEvent(event);
    const count = (after - before) & 0xffff;
    bench.driver.offer(...Array.from({ length: count }, () => bench.driver.chain([ROOM])));
    bench.serve();
    expect(bench.driver.deviceIndex).toBe(after);
    expect(bench.queue.notify).toBe(expected);
  });

  test.each([false, true])('C20: any used_event, any flags (EVENT_IDX: %p)', (eventIndex) => {
    const bench = new QueueBench({ eventIndex });
    const random = new Random(20);
    let used = 0;
    const notified = [0, 0];
    for (let i = 0; i < 2000; i++) {
      const event = random.chance(50) ? (used + random.below(6) - 3) & 0xffff : random.below(65536);
      const flags = random.chance(50) ? random.below(2) : random.below(65536);
      // Fields that are the device's to write, and mean nothing to it.
      bench.ram.set(bench.driver.place.device + 4 + 8 * bench.driver.size, 2, random.below(65536));
      bench.driver.setUsedEvent(event);
      bench.driver.setAvailableFlags(flags);
      const count = 1 + random.below(5);
      for (let n = 0; n < count; n++) bench.driver.send(ROOM);
      expect(bench.serve()).toHaveLength(count);
      // vring_need_event of 2.7.10.1: the event is among those that have been used now.
      const passed = ((used + count - event - 1) & 0xffff) < count;
      used = (used + count) & 0xffff;
      expect(bench.queue.notify).toBe(eventIndex ? passed : (flags & 1) === 0);
      notified[Number(bench.queue.notify)]!++;
    }
    expect(bench.queue.failure).toBeUndefined();
    expect(Math.min(...notified)).toBeGreaterThan(200);
  });

  test.each([false, true])('C21: flags that change all the time (EVENT_IDX: %p)', (eventIndex) => {
    const bench = new QueueBench({ eventIndex });
    const answered: number[] = [];
    const sent: number[] = [];
    for (let i = 0; i < 500; i++) {
      sent.push(bench.driver.send(ROOM), bench.driver.send(ROOM));
      let flag = i & 1;
      bench.turn(() => {
        while (bench.queue.pop(bench.chain)) {
          bench.driver.setAvailableFlags(flag);
          flag ^= 1;
          bench.queue.push(bench.chain.token, 0);
          bench.driver.setAvailableFlags(flag);
        }
      });
      // What they are at the end of the turn counts, for all that it has used.
      if (!eventIndex) expect(bench.queue.notify).toBe(flag === 0);
      answered.push(...bench.driver.take().map(({ id }) => id));
    }
    expect(answered).toEqual(sent);
    expect(bench.queue.failure).toBeUndefined();
  });

  test('a turn that pushes nothing notifies of nothing', () => {
    const bench = new QueueBench();
    bench.turn(() => undefined);
    expect(bench.queue.notify).toBe(false);
  });
});

describe('available buffer notifications', () => {
  test('S-8: without EVENT_IDX flags are 1 while the device has work, then 0', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.turn(() => {
      bench.queue.pop(bench.chain);
      expect(bench.driver.usedFlags).toBe(constants.USED_NO_NOTIFY);
      bench.queue.push(bench.chain.token, 0);
      bench.queue.pop(bench.chain);
    });
    expect(bench.driver.usedFlags).toBe(0);
  });

  test('S-8: with EVENT_IDX flags stay 0 and avail_event follows', () => {
    const bench = new QueueBench({ eventIndex: true });
    for (let i = 1; i <= 20; i++) {
      bench.driver.send(ROOM);
      bench.serve();
      expect(bench.driver.usedFlags).toBe(0);
      expect(bench.driver.availableEvent).toBe(i);
    }
  });

  test.each([false, true])('a chain that comes just before kicks are on is not lost', (event) => {
    const bench = new QueueBench({ eventIndex: event });
    bench.driver.send(ROOM);
    bench.turn(() => {
      while (bench.queue.pop(bench.chain)) bench.queue.push(bench.chain.token, 0);
      bench.driver.send(ROOM);
    });
    expect(bench.queue.more).toBe(true);
    expect(bench.serve()).toHaveLength(1);
    expect(bench.queue.more).toBe(false);
  });

  test('a device that leaves chains waiting gets no turn for them', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.driver.send(ROOM);
    bench.turn(() => {
      bench.queue.pop(bench.chain);
      bench.queue.push(bench.chain.token, 0);
    });
    expect(bench.queue.more).toBe(false);
  });

  test.each([false, true])(
    'chains that were too few are no reason for a turn; the next one is (EVENT_IDX: %p)',
    (eventIndex) => {
      const bench = new QueueBench({ eventIndex });
      bench.driver.send(ROOM);
      bench.driver.send(ROOM);
      const wantsThree = (): void => {
        const tokens: number[] = [];
        while (tokens.length < 3 && bench.queue.pop(bench.chain)) tokens.push(bench.chain.token);
        if (tokens.length === 3) return;
        for (const token of tokens.reverse()) {
          bench.chain.token = token;
          bench.queue.unpop(bench.chain);
        }
      };
      bench.turn(wantsThree);
      expect(bench.queue.more).toBe(false);
      expect(bench.driver.usedFlags).toBe(0);
      if (eventIndex) expect(bench.driver.availableEvent).toBe(2);
      bench.queue.begin(true, 64);
      wantsThree();
      bench.queue.end(true);
      bench.queue.rest();
      expect(bench.queue.more).toBe(false);
      if (eventIndex) expect(bench.driver.availableEvent).toBe(2);
      bench.driver.send(ROOM);
      bench.turn(wantsThree);
      expect(bench.queue.inFlight).toBe(3);
    },
  );

  test('a turn that only pushes leaves kicks as they are', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    const [chain] = bench.popAll();
    expect(bench.driver.usedFlags).toBe(0);
    bench.turn(() => bench.queue.push(chain!.token, 0));
    expect(bench.driver.usedFlags).toBe(0);
  });

  test('S-9: spurious turns change nothing', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.serve();
    const before = bench.ram.snapshot();
    for (let i = 0; i < 10; i++) expect(bench.serve()).toEqual([]);
    expect(bench.ram.snapshot()).toBe(before);
  });
});

describe('a queue that is watched instead of kicked', () => {
  /** One turn that takes everything and does not ask for kicks. */
  const polledTurn = (bench: QueueBench): void => {
    bench.queue.begin(true, 64);
    while (bench.queue.pop(bench.chain)) bench.queue.push(bench.chain.token, 0);
    bench.queue.end(true);
  };

  test.each([false, true])('tells of chains and asks for kicks at rest only', (eventIndex) => {
    const bench = new QueueBench({ eventIndex });
    bench.driver.send(ROOM);
    polledTurn(bench);
    const asked = (): boolean =>
      eventIndex ? bench.driver.availableEvent === 1 : bench.driver.usedFlags === 0;
    expect(asked()).toBe(false);
    expect(bench.driver.take()).toHaveLength(1);
    expect(bench.queue.pending()).toBe(false);
    bench.queue.rest();
    expect(asked()).toBe(true);
    expect(bench.queue.more).toBe(false);
    bench.driver.send(ROOM);
    expect(bench.queue.pending()).toBe(true);
  });

  test('sees at rest what came after the last look', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    polledTurn(bench);
    bench.driver.send(ROOM);
    bench.queue.rest();
    expect(bench.queue.more).toBe(true);
    expect(bench.serve()).toHaveLength(1);
  });

  test('asks for kicks at rest, whatever was pushed in between', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.queue.begin(true, 64);
    bench.queue.pop(bench.chain);
    bench.queue.pop(bench.chain);
    bench.queue.end(true);
    expect(bench.driver.usedFlags).toBe(constants.USED_NO_NOTIFY);
    bench.turn(() => bench.queue.push(bench.registers.words[QueueWord.Epoch]! * 2 ** 16, 0));
    bench.queue.rest();
    expect(bench.driver.usedFlags).toBe(0);
  });

  test('is no work while the device leaves its chains for later', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.driver.send(ROOM);
    bench.queue.begin(true, 64);
    bench.queue.pop(bench.chain);
    bench.queue.unpop(bench.chain);
    bench.queue.end(true);
    expect(bench.queue.pending()).toBe(false);
    bench.queue.rest();
    expect(bench.queue.more).toBe(false);
    bench.driver.send(ROOM);
    expect(bench.queue.pending()).toBe(true);
    bench.queue.begin(true, 64);
    bench.queue.end(true);
    expect(bench.queue.pending()).toBe(false);
  });

  test('has nothing pending while it is not ready, wherever its rings are said to be', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.registers.words[QueueWord.DriverHigh] = 0x7fff_ffff;
    expect(bench.queue.pending()).toBe(false);
    bench.queue.rest();
    expect(bench.queue.failure).toBeDefined();
    bench.registers.words[QueueWord.Ready] = 0;
    expect(bench.queue.pending()).toBe(false);
    bench.queue.rest();
    expect(bench.queue.failure).toBeUndefined();
  });
});

describe('state', () => {
  test('a copy of the block goes on where the queue was, chains in flight included', () => {
    const bench = new QueueBench({ eventIndex: true });
    for (let i = 0; i < 3; i++) bench.driver.send(ROOM);
    const popped = bench.popAll();
    const copy = new QueueBench({ eventIndex: true });
    copy.registers.block.restore(bench.registers.block.save());
    copy.ram.write(0, bench.ram.read(0, 0x10000));
    copy.driver.availableIndex = bench.driver.availableIndex;
    copy.turn(() => {
      for (const { token } of popped) copy.queue.push(token, 7);
    });
    expect(copy.driver.take().map(({ length }) => length)).toEqual([7, 7, 7]);
    copy.driver.send(ROOM);
    expect(copy.serve()).toHaveLength(1);
  });

  test('G-11: tokens from before a reset are drained, not published', () => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.driver.send(ROOM);
    const popped = bench.popAll();
    const before = bench.ram.snapshot();
    bench.registers.reset();
    expect(bench.registers.words[QueueWord.Draining]).toBe(2);
    expect(bench.registers.words[QueueWord.Size]).toBe(bench.registers.maximumSize);
    for (const { token } of popped) bench.turn(() => bench.queue.push(token, 1));
    expect(bench.registers.words[QueueWord.Draining]).toBe(0);
    expect(bench.ram.snapshot()).toBe(before);
  });

  test.each([
    [QueueWord.Size, 0],
    [QueueWord.Size, 3],
    [QueueWord.Size, 65535],
    [QueueWord.Size, -1],
    [QueueWord.DescriptorLow, 0x1008],
    [QueueWord.DriverLow, 0x7fff_fffe],
    [QueueWord.DeviceHigh, -1],
  ])('I4: a restored block with word %d = %d fails, without touching memory', (word, value) => {
    const bench = new QueueBench();
    bench.driver.send(ROOM);
    bench.registers.words[word] = value;
    const before = bench.ram.snapshot();
    expect(bench.serve()).toEqual([]);
    expect(bench.queue.failure).toBeDefined();
    expect(bench.ram.snapshot()).toBe(before);
  });
});
