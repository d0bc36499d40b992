/** The control queue of virtio-net and the receive filter behind it; F4 of the hostile cases. */
import { NetFeature } from '../../../src/devices/virtio/net/net-layout.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { fuzz } from './fuzz.js';
import { CONTROL, ethernet, frame, MAC_BYTES, NetBench } from './net-bench.js';

const BROADCAST = [255, 255, 255, 255, 255, 255];
const MULTICAST = [1, 0, 0x5e, 0, 0, 1];
const OTHER = [2, 0, 0, 0, 0, 1];
const [OK, ERROR] = [0, 1];
const word = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);

/** Which of these addresses come through. */
function through(bench: NetBench, ...addresses: (readonly number[])[]): boolean[] {
  return addresses.map((address) => {
    const before = bench.device.statistics.rxFiltered;
    bench.backend.port.receive(frame(ethernet(address, 60)));
    return bench.device.statistics.rxFiltered === before;
  });
}

describe('the filter', () => {
  test('lets its own address and all that is for many through, at first', () => {
    const bench = new NetBench().up(...CONTROL);
    expect(through(bench, MAC_BYTES, BROADCAST, MULTICAST, OTHER)).toEqual([
      ...[true, true, true, false],
    ]);
  });

  test('lets everything through when nothing has been negotiated', () => {
    expect(through(new NetBench().up(), OTHER)).toEqual([true]);
  });

  test('follows the modes of the driver', () => {
    const bench = new NetBench().up(...CONTROL);
    const all = [MAC_BYTES, BROADCAST, MULTICAST, OTHER];
    const set = (command: number, on: number): number | undefined =>
      bench.command([0, command, on]);
    expect(set(0, 1)).toBe(OK);
    expect(through(bench, ...all)).toEqual([true, true, true, true]);
    set(0, 0);
    for (const command of [3, 4, 5]) expect(set(command, 1)).toBe(OK);
    expect(through(bench, ...all)).toEqual([false, false, false, false]);
    for (const command of [3, 4, 5]) set(command, 0);
    set(2, 1);
    expect(through(bench, ...all)).toEqual([true, true, true, true]);
    for (const [command, on] of [
      [6, 1],
      [0xff, 1],
      [0, 2],
    ] as const) {
      expect(set(command, on)).toBe(ERROR);
    }
    expect(bench.command([0, 0])).toBe(ERROR);
  });

  test('N-6: follows tables of addresses', () => {
    const bench = new NetBench().up(...CONTROL);
    expect(bench.command([1, 0, ...word(1), ...OTHER, ...word(0)])).toBe(OK);
    expect(through(bench, OTHER, MULTICAST, MAC_BYTES)).toEqual([true, false, true]);
    expect(bench.command([1, 0, ...word(0), ...word(1), ...MULTICAST])).toBe(OK);
    expect(through(bench, OTHER, MULTICAST, [1, 0, 0x5e, 0, 0, 2])).toEqual([false, true, false]);
    expect(bench.command([0, 1, 1])).toBe(OK);
    expect(through(bench, [1, 0, 0x5e, 0, 0, 2])).toEqual([true]);
  });

  test('opens for a table that it cannot hold', () => {
    const bench = new NetBench().up(...CONTROL);
    const many = Array.from({ length: 65 }, (_, i) => [2, 0, 0, 0, 1, i]).flat();
    expect(bench.command([1, 0, ...word(65), ...many, ...word(0)])).toBe(OK);
    expect(through(bench, OTHER, MULTICAST)).toEqual([true, false]);
  });

  test('F4: tables that lie about their length change nothing', () => {
    const bench = new NetBench().up(...CONTROL);
    bench.command([1, 0, ...word(0), ...word(0)]);
    for (const count of [2, 0xffff, 0x2aaaaaab, 0xffffffff]) {
      expect(bench.command([1, 0, ...word(count), ...OTHER])).toBe(ERROR);
      expect(bench.command([1, 0, ...word(0), ...word(count), ...MULTICAST])).toBe(ERROR);
      expect(bench.command([1, 0, ...word(1), ...OTHER, ...word(count)])).toBe(ERROR);
    }
    expect(bench.command([1, 0, ...word(1), ...OTHER])).toBe(ERROR);
    expect(bench.command([1, 0, 0, 0])).toBe(ERROR);
    expect(through(bench, OTHER, MULTICAST)).toEqual([false, false]);
  });

  test('N-6, N-7: has forgotten modes, tables and VLANs after a reset', () => {
    const bench = new NetBench().up(...CONTROL);
    bench.command([1, 0, ...word(1), ...OTHER, ...word(0)]);
    bench.command([2, 0, 5, 0]);
    const tagged = [...MAC_BYTES, ...OTHER, 0x81, 0, 0, 5, 8, 0];
    const isTagWanted = (): boolean => {
      bench.buffers([100]);
      bench.backend.port.receive(frame(tagged));
      return bench.rings[0]!.take().length === 1;
    };
    expect(isTagWanted()).toBe(true);
    expect(through(bench, OTHER)).toEqual([true]);
    bench.command([1, 0, ...word(0), ...word(0)]);
    expect(through(bench, OTHER)).toEqual([false]);
    bench.command([0, 2, 1]);
    expect(through(bench, OTHER)).toEqual([true]);
    bench.command([1, 0, ...word(1), ...OTHER, ...word(0)]);
    bench.up(...CONTROL);
    expect(through(bench, OTHER, MAC_BYTES)).toEqual([false, true]);
    expect(isTagWanted()).toBe(false);
  });

  test('N-7: follows VLANs', () => {
    const bench = new NetBench().up(...CONTROL);
    const tagged = (id: number): number[] => [
      ...MAC_BYTES,
      ...OTHER,
      ...[0x81, 0, 0xe0 | (id >> 8), id & 255],
    ];
    const sees = (id: number): boolean => through(bench, tagged(id))[0]!;
    expect([sees(5), sees(4095)]).toEqual([false, false]);
    expect(bench.command([2, 0, 5, 0])).toBe(OK);
    expect(bench.command([2, 0, 0xff, 0x0f])).toBe(OK);
    expect([sees(5), sees(4095), sees(4)]).toEqual([true, true, false]);
    expect(bench.command([2, 1, 5, 0])).toBe(OK);
    expect(sees(5)).toBe(false);
    expect(bench.command([2, 0, 0, 0x10])).toBe(ERROR);
    expect(bench.command([2, 2, 5, 0])).toBe(ERROR);
    expect(bench.command([2, 0, 5])).toBe(ERROR);
  });
});

describe('control commands', () => {
  test('F4: unknown classes, no data, no room for the answer', () => {
    const bench = new NetBench().up(...CONTROL);
    expect(bench.command([6, 0])).toBe(ERROR);
    expect(bench.command([0xff, 0xff, 1, 2, 3])).toBe(ERROR);
    expect(bench.command([0])).toBe(ERROR);
    expect(bench.command([0, 0, 1], 2, 0)).toBeUndefined();
    expect(bench.needsReset).toBe(false);
    expect(through(bench, OTHER)).toEqual([false]);
  });

  test('need their feature', () => {
    const bench = new NetBench({ queuePairs: 2 }).up(NetFeature.ControlQueue);
    for (const command of [
      ...[
        [0, 0, 1],
        [1, 0, ...word(0), ...word(0)],
        [1, 1, ...OTHER],
        [2, 0, 1, 0],
      ],
      ...[
        [3, 0],
        [4, 0, 1, 0],
        [5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      ],
    ]) {
      expect(bench.command(command)).toBe(ERROR);
    }
  });

  test('N-6: set the address', () => {
    const bench = new NetBench().up(...CONTROL, NetFeature.ControlMac);
    expect(bench.command([1, 1, ...OTHER])).toBe(OK);
    expect(bench.device.address).toBe('02:00:00:00:00:01');
    expect(bench.command([1, 1, ...OTHER, 7])).toBe(ERROR);
    expect(bench.command([1, 1, 2, 0])).toBe(ERROR);
    expect(through(bench, OTHER, MAC_BYTES)).toEqual([true, false]);
  });

  test('N-8: acknowledge an announcement once', () => {
    const { ControlQueue, GuestAnnounce, Status } = NetFeature;
    const bench = new NetBench().up(ControlQueue, GuestAnnounce, Status);
    expect(bench.command([3, 0])).toBe(ERROR);
    bench.device.announce();
    expect(bench.get(R.Config + 6, 2)).toBe(3);
    expect(bench.acknowledge() & 2).toBe(2);
    expect(bench.command([3, 0])).toBe(OK);
    expect(bench.get(R.Config + 6, 2)).toBe(1);
  });

  test('switch offloads that have been negotiated', () => {
    const { ControlQueue, ControlGuestOffloads, GuestCsum, GuestTso4 } = NetFeature;
    const bench = new NetBench().up(ControlQueue, ControlGuestOffloads, GuestCsum, GuestTso4);
    expect(bench.command([5, 0, ...word(2), ...word(0)])).toBe(OK);
    expect(bench.backend.port.offloads).toMatchObject({ csum: true, tso4: false, tso6: false });
    expect(bench.command([5, 0, ...word(2 | (1 << 8)), ...word(0)])).toBe(ERROR);
    expect(bench.command([5, 0, ...word(2), ...word(1)])).toBe(ERROR);
    expect(bench.command([5, 0, ...word(2)])).toBe(ERROR);
  });

  test('F4, N-10: there is no RSS and no hash, and commands about them are errors', () => {
    const bench = new NetBench({ queuePairs: 2 });
    const [hashReport, rss] = [57, 60];
    expect(bench.device.features).not.toContain(hashReport);
    expect(bench.device.features).not.toContain(rss);
    bench.up(...CONTROL, NetFeature.MultiQueue);
    // CVE-2024-6505: a table that names queues which are not there.
    const table = [...word(0xff), 1, 0, ...word(0), 0xff, 0xff, 0xff, 0xff, 2, 0, 0];
    for (const command of [1, 2]) expect(bench.command([4, command, ...table], 4)).toBe(ERROR);
    expect(bench.needsReset).toBe(false);
    expect(bench.command([4, 0, 2, 0], 4)).toBe(OK);
  });

  test('F4: random ones break nothing', () => {
    const bench = new NetBench({ queuePairs: 2 }).up(...bench0().device.features);
    fuzz((random) => {
      const bytes = Array.from({ length: random.below(40) }, () => random.below(256));
      if (random.chance(90)) bytes[0] = random.below(6);
      if (random.chance(90)) bytes[1] = random.below(6);
      bench.command(bytes, 4, random.below(3));
      bench.backend.port.receive(frame(bytes.slice(0, 20), bytes));
    });
    expect(bench.needsReset).toBe(false);
    expect(bench.command([0, 0, 1], 4)).toBe(OK);
  });
});

function bench0(): NetBench {
  return new NetBench({ queuePairs: 2 });
}
