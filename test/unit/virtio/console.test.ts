/** Bytes through the ports of virtio-console, with back-pressure both ways. */
import { ControlEvent as Event } from '../../../src/devices/virtio/console/console-protocol.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { RAM_SIZE } from './fake-ram.js';
import { ConsoleBench, MULTIPORT, RING, SINGLE, pattern } from './console-bench.js';

function opened(port: number, features = MULTIPORT): ConsoleBench {
  const bench = new ConsoleBench();
  for (const host of bench.hosts) host.open();
  if (features === SINGLE) bench.start(SINGLE);
  else bench.boot();
  expect(bench.hosts[port]!.guestOpen).toBe(true);
  return bench;
}

describe('guest to host', () => {
  test.each([
    [0, MULTIPORT],
    [1, MULTIPORT],
    [2, MULTIPORT],
    [0, SINGLE],
  ])('port %d carries bytes', (port, features) => {
    const bench = opened(port, features);
    bench.doorbell.rings = 0;
    bench.print(port, pattern(300), 7);
    expect(bench.printed(port)).toBe(1);
    expect(bench.doorbell.rings).toBe(1);
    expect(bench.hosts[port]!.take()).toEqual(pattern(300));
  });

  test('the doorbell rings once until the host has looked', () => {
    const bench = opened(0);
    bench.doorbell.rings = 0;
    for (let i = 0; i < 5; i++) bench.print(0, [i]);
    expect(bench.doorbell.rings).toBe(1);
    const target = new Uint8Array(3);
    expect([bench.hosts[0]!.drain(target), bench.hosts[0]!.drain(target)]).toEqual([3, 2]);
    bench.print(0, [9]);
    expect(bench.doorbell.rings).toBe(2);
    expect([...bench.hosts[0]!.take()]).toEqual([9]);
  });

  test('F10: output stays in the queue while the host is behind, and goes on when it drains', () => {
    const bench = opened(1);
    const all = pattern(5 * RING + 123);
    for (let at = 0; at < all.length; at += 1000) bench.print(1, all.subarray(at, at + 1000));
    expect(bench.hosts[1]!.pending).toBe(RING);
    expect(bench.printed(1)).toBe(1);
    const seen: number[] = [];
    for (let turn = 0; turn < 100 && seen.length < all.length; turn++) {
      seen.push(...bench.hosts[1]!.take());
    }
    expect(Uint8Array.from(seen)).toEqual(all);
    expect(bench.printed(1)).toBe(5);
  });

  test('one chain larger than the ring passes through it', () => {
    const bench = opened(0);
    const all = pattern(20 * RING + 1);
    bench.print(0, all, 5);
    expect(bench.printed(0)).toBe(0);
    const seen: number[] = [];
    const target = new Uint8Array(700);
    for (let turn = 0; turn < 100 && seen.length < all.length; turn++) {
      seen.push(...target.subarray(0, bench.hosts[0]!.drain(target)));
    }
    expect(Uint8Array.from(seen)).toEqual(all);
    expect(bench.printed(0)).toBe(1);
  });

  test('F10: escape sequences are bytes like any others', () => {
    const bench = opened(0);
    const text = Buffer.from('\x1b]0;title\x07\x1b[2J\x00\xff\x9b6n', 'latin1');
    bench.print(0, text);
    expect(Buffer.from(bench.hosts[0]!.take())).toEqual(text);
  });

  test('F10: without the host nobody waits; what is dropped is counted', () => {
    const bench = new ConsoleBench().boot();
    for (let i = 0; i < 10; i++) bench.print(0, pattern(1000));
    expect(bench.printed(0)).toBe(10);
    expect(bench.hosts[0]!.pending).toBe(0);
    expect(bench.hosts[0]!.lostBytes).toBe(10_000);
  });

  test('a host that closes lets go of a guest that waits, and keeps what it has', () => {
    const bench = opened(1);
    bench.print(1, pattern(3000));
    expect(bench.printed(1)).toBe(0);
    bench.hosts[1]!.close();
    expect(bench.printed(1)).toBe(1);
    expect(bench.hosts[1]!.lostBytes).toBe(3000 - RING);
    expect(bench.hosts[1]!.take()).toEqual(pattern(RING));
  });

  test('S-1, C11: empty chains and writable ones are given back', () => {
    const bench = opened(0);
    const ring = bench.rings[1]!;
    ring.send({ address: 0x70000, length: 0 });
    ring.send({ address: 0x80000, length: 64, writable: true });
    bench.print(0, [1, 2]);
    expect(bench.printed(0)).toBe(3);
    expect([...bench.hosts[0]!.take()]).toEqual([1, 2]);
    expect(bench.ram.read(0x80000, 64)).toEqual(new Uint8Array(64));
  });

  test('C17, C18: a chain that is another one when the host has drained', () => {
    const bench = opened(0);
    const ring = bench.rings[1]!;
    bench.print(0, pattern(3000));
    ring.descriptor(ring.availableIndex - 1, 0x70000, 10, 0);
    expect(bench.hosts[0]!.take()).toEqual(pattern(RING));
    expect(bench.printed(0)).toBe(1);
    bench.print(0, [7]);
    expect([...bench.hosts[0]!.take()]).toEqual([7]);
    expect(bench.needsReset).toBe(false);
  });

  test('F10, K3: a gigabyte with a stalled reader leaves the state as large as it was', () => {
    const bench = opened(0);
    const pieces = Array.from({ length: 64 }, () => ({ address: 0, length: RAM_SIZE }));
    for (let i = 0; i < 16; i++) {
      bench.rings[1]!.offer(bench.rings[1]!.indirect(0x90000 + 0x1000 * i, pieces));
    }
    bench.notify(1);
    expect(bench.hosts[0]!.pending).toBe(RING);
    expect(bench.settle().printed(0)).toBe(0);
    bench.hosts[0]!.close();
    expect(bench.settle().printed(0)).toBe(16);
    expect(bench.hosts[0]!.lostBytes).toBe(2 ** 30 - RING);
  });

  test('C23: a host that is as fast as the guest gets it in turns', () => {
    const bench = new ConsoleBench({ ringBytes: 2 ** 20 });
    bench.hosts[0]!.open();
    bench.boot();
    const pieces = Array.from({ length: 64 }, () => ({ address: 0, length: RAM_SIZE }));
    bench.rings[1]!.offer(bench.rings[1]!.indirect(0x90000, pieces));
    bench.notify(1);
    expect(bench.later).toEqual([1]);
    let seen = 0;
    for (let i = 0; i < 1000 && bench.printed(0) === 0; i++) {
      seen += bench.hosts[0]!.take().length;
      bench.settle();
    }
    seen += bench.hosts[0]!.take().length;
    expect(seen).toBe(64 * RAM_SIZE);
  });

  test('a queue that is reset in the middle of a chain begins with the next one', () => {
    const bench = opened(0, [...MULTIPORT]);
    bench.print(0, pattern(3000));
    bench.boot();
    bench.hosts[0]!.take();
    bench.print(0, pattern(100));
    expect(bench.hosts[0]!.take()).toEqual(pattern(100));
  });
});

describe('host to guest', () => {
  test.each([
    [0, MULTIPORT],
    [1, MULTIPORT],
    [2, MULTIPORT],
    [0, SINGLE],
  ])('port %d carries bytes', (port, features) => {
    const bench = opened(port, features);
    bench.listen(port, 4);
    expect(bench.hosts[port]!.receive(pattern(100))).toBe(100);
    expect(bench.typed(port)).toEqual([...pattern(100)]);
  });

  test('F10: input waits for buffers, and the rest is not taken from the host', () => {
    const bench = opened(1);
    expect(bench.hosts[1]!.receive(pattern(2 * RING))).toBe(RING);
    expect(bench.hosts[1]!.receiveSpace()).toBe(0);
    expect(bench.hosts[1]!.receive(pattern(1))).toBe(0);
    expect(bench.typed(1)).toEqual([]);
    bench.doorbell.rings = 0;
    bench.listen(1, 4);
    expect(bench.doorbell.rings).toBe(0);
    bench.listen(1, 4);
    expect(bench.doorbell.rings).toBe(1);
    expect(bench.typed(1)).toEqual([...pattern(512)]);
    expect(bench.hosts[1]!.receive(pattern(RING, RING))).toBe(512);
  });

  test('input from before the guest has opened the port waits', () => {
    const bench = new ConsoleBench();
    expect(bench.hosts[1]!.receive(pattern(10))).toBe(10);
    bench.boot();
    bench.listen(1);
    expect(bench.typed(1)).toEqual([...pattern(10)]);
    bench.say(1, Event.PortOpen, 0);
    bench.listen(1);
    bench.hosts[1]!.receive(pattern(5));
    expect(bench.settle().typed(1)).toEqual([]);
    bench.say(1, Event.PortOpen, 1);
    expect(bench.typed(1)).toEqual([...pattern(5)]);
  });

  test('CVE-2020-27174: a host that is faster than the guest is told to wait', () => {
    const bench = opened(0);
    let taken = 0;
    for (let i = 0; i < 10_000; i++) taken += bench.hosts[0]!.receive(pattern(100));
    expect(taken).toBe(RING);
    const seen: number[] = [];
    for (let i = 0; i < 100 && seen.length < RING; i++) {
      seen.push(...bench.listen(0, 2).typed(0));
    }
    expect(seen).toHaveLength(RING);
  });

  test('S-1, C11: buffers in pieces, empty ones and readable ones', () => {
    const bench = opened(0);
    const ring = bench.rings[0]!;
    ring.send({ address: 0x80000, length: 64 });
    ring.send({ address: 0x80000, length: 0, writable: true });
    ring.send(
      { address: 0x80100, length: 1, writable: true },
      { address: 0x80200, length: 9, writable: true },
    );
    bench.hosts[0]!.receive(pattern(8));
    expect(ring.take().map(({ length }) => length)).toEqual([0, 0, 8]);
    expect(bench.ram.read(0x80200, 8)).toEqual(Uint8Array.of(...pattern(7, 1), 0));
    expect(bench.ram.read(0x80000, 64)).toEqual(new Uint8Array(64));
  });

  test('bytes keep their order through a ring that wraps, in any sizes', () => {
    const bench = opened(2);
    const seen: number[] = [];
    let sent = 0;
    for (let i = 0; i < 500; i++) {
      sent += bench.hosts[2]!.receive(pattern(1 + ((i * 37) % 200), sent));
      bench.listen(2, 2, 1 + ((i * 13) % 100));
      seen.push(...bench.typed(2));
    }
    expect(sent).toBeGreaterThan(5 * RING);
    expect(Uint8Array.from(seen)).toEqual(pattern(sent).subarray(0, seen.length));
    expect(seen.length).toBeGreaterThanOrEqual(sent - RING);
  });
});

describe('state', () => {
  test('a copy goes on in the middle of a chain, with input and messages that wait', () => {
    const bench = opened(1);
    bench.hosts[0]!.resize(100, 40);
    bench.heard();
    bench.print(1, pattern(3000));
    bench.hosts[1]!.receive(pattern(20));
    const saved = bench.registers.save();

    const copy = new ConsoleBench({}, bench.ram);
    copy.registers.restore(saved);
    copy.rings.forEach((ring, i) => {
      const { availableIndex, usedIndex } = bench.rings[i]!;
      Object.assign(ring, { availableIndex, usedIndex, nextDescriptor: availableIndex });
    });
    const seen: number[] = [];
    for (let i = 0; i < 10; i++) seen.push(...copy.hosts[1]!.take());
    expect(Uint8Array.from(seen)).toEqual(pattern(3000));
    copy.listen(1);
    expect(copy.typed(1)).toEqual([...pattern(20)]);
    expect(copy.get(R.Config)).toBe(0x0028_0064);
    expect(copy.hosts[1]!.guestOpen).toBe(true);
  });

  test('I4: a restored state can hold anything', () => {
    const bench = opened(0);
    bench.registers.state.fill(0xff);
    bench.print(0, pattern(10));
    bench.hosts[0]!.receive(pattern(10));
    bench.listen(0).settle();
    expect(bench.hosts[0]!.take().length).toBeLessThanOrEqual(RING + 1024);
    bench.heard();
    bench.registers.state.fill(0);
    for (const host of bench.hosts) host.open();
    bench.boot().print(0, pattern(10));
    expect(bench.hosts[0]!.take()).toEqual(pattern(10));
  });
});
