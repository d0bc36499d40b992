/** virtio-net: frames both ways, offloads, link, limits; letters and numbers name hostile cases. */
import { GsoType } from '../../../src/net/net-backend.js';
import { HEADER_BYTES, NetFeature } from '../../../src/devices/virtio/net/net-layout.js';
import { NetDevice } from '../../../src/devices/virtio/net/net.js';
import { parseMac } from '../../../src/devices/virtio/net/net-options.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { CONTROL, ethernet, frame, MAC, MAC_BYTES, NetBench, OFFLOADS } from './net-bench.js';

const BROADCAST = [255, 255, 255, 255, 255, 255];
const HEADER = Array.from({ length: HEADER_BYTES }, () => 0);
const { MergeableBuffers, Csum, GuestCsum, HostTso4, GuestTso4, MultiQueue, ControlQueue } =
  NetFeature;

/** Header bytes: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset. */
function header(
  ...[flags, gso, headerLength, size, start, offset]: [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
): number[] {
  const half = (value: number): number[] => [value & 255, value >> 8];
  return [flags, gso, ...half(headerLength), ...half(size), ...half(start), ...half(offset)];
}

describe('configuration', () => {
  test('has the address, the link up, the pairs and the MTU', () => {
    const bench = new NetBench({ mtu: 9000, queuePairs: 4 });
    const bytes = Array.from({ length: 12 }, (_, i) => bench.get(R.Config + i, 1));
    expect(bytes).toEqual([...MAC_BYTES, 1, 0, 4, 0, 0x28, 0x23]);
  });

  test('N-4: offloads are offered as far as the backend takes them', () => {
    const none = new NetBench({ offloads: { csum: false, tso4: false, tso6: false } }).offered();
    for (const bit of [Csum, GuestCsum, HostTso4, GuestTso4]) expect(none).not.toContain(bit);
    const all = new NetBench().offered();
    for (const bit of [Csum, GuestCsum, HostTso4, GuestTso4]) expect(all).toContain(bit);
  });

  test('G-4: segmentation without checksums is not accepted', () => {
    const bench = new NetBench();
    expect(bench.negotiate([...[32], HostTso4])).toBe(false);
    expect(bench.negotiate([...[32], GuestTso4])).toBe(false);
    expect(bench.negotiate([...[32], Csum, HostTso4, GuestCsum, GuestTso4])).toBe(true);
    expect(bench.negotiate([...[32], NetFeature.ControlRx])).toBe(false);
  });

  test.each(['', '52:54:00:12:34', '53:54:00:12:34:56', '00:00:00:00:00:00', '52-54-00-12-34-56'])(
    '%p is not an address for a card',
    (mac) => {
      expect(parseMac(mac)).toBeUndefined();
      expect(() => new NetDevice({ mac, offloads: OFFLOADS })).toThrow(RangeError);
    },
  );

  test('keeps the queues of a pair on one thread, and the control queue with the first', () => {
    expect(new NetDevice({ mac: MAC, offloads: OFFLOADS, queuePairs: 2 }).queueGroups).toEqual([
      0, 0, 1, 1, 0,
    ]);
  });
});

describe('frames from the guest', () => {
  test('go to the backend without their header, in one batch', () => {
    const bench = new NetBench().up();
    bench.backend.flushes = 0;
    bench.send(ethernet(BROADCAST, 60));
    bench.send(ethernet(BROADCAST, 1514));
    expect(bench.backend.sent.map(({ bytes }) => bytes.length)).toEqual([60, 1514]);
    expect(bench.backend.sent[1]!.bytes).toEqual(ethernet(BROADCAST, 1514));
    expect(bench.backend.flushes).toBe(2);
    expect(bench.rings[1]!.take()).toHaveLength(2);
    expect(bench.device.statistics).toMatchObject({ txPackets: 2, txBytes: 1574, txDropped: 0 });
  });

  test('S-1: a header in pieces is a header', () => {
    const bench = new NetBench().up();
    bench.ram.write(0x60000, [...HEADER, ...ethernet(BROADCAST, 64)]);
    bench.rings[1]!.send(
      ...Array.from({ length: 13 }, (_, i) => ({ address: 0x60000 + i, length: 1 })),
      { address: 0x60000 + 13, length: 63 },
    );
    bench.notify(1);
    expect(bench.backend.sent[0]!.bytes).toEqual(ethernet(BROADCAST, 64));
  });

  test('come with what they leave to the host', () => {
    const bench = new NetBench().up(Csum, HostTso4);
    bench.send(ethernet(BROADCAST, 9000), header(1, GsoType.Tcp4, 54, 1448, 34, 16));
    expect(bench.backend.sent[0]!.meta).toEqual({
      ...{ needsCsum: true, csumStart: 34, csumOffset: 16 },
      ...{ gsoType: GsoType.Tcp4, gsoSize: 1448, headerLength: 54 },
    });
  });

  test('F1: shorter than a header, empty or too long, they are dropped and given back', () => {
    const bench = new NetBench().up(Csum, HostTso4);
    bench.rings[1]!.send({ address: 0x60000, length: 11 });
    bench.rings[1]!.send({ address: 0x60000, length: 12 });
    bench.rings[1]!.send({ address: 0x60000, length: 25 });
    bench.rings[1]!.send({ address: 0x60000, length: 12 + 65535 + 19 });
    bench.notify(1);
    expect(bench.rings[1]!.take().map(({ length }) => length)).toEqual([0, 0, 0, 0]);
    expect(bench.backend.sent).toEqual([]);
    expect(bench.device.statistics.txDropped).toBe(4);
    expect(bench.needsReset).toBe(false);
  });

  test.each([
    ['a checksum behind the end', header(1, 0, 0, 0, 60, 0)],
    ['a checksum at 65535 + 65535', header(1, 0, 0, 0, 0xffff, 0xffff)],
    ['segments of no size', header(1, GsoType.Tcp4, 54, 0, 34, 16)],
    ['segments without a checksum', header(0, GsoType.Tcp4, 54, 1448, 0, 0)],
    ['segments of IPv6 that were not negotiated', header(1, GsoType.Tcp6, 54, 1448, 34, 16)],
    ['UFO', header(1, GsoType.Udp, 54, 1448, 34, 6)],
    ['an unknown kind of segments', header(1, 77, 54, 1448, 34, 16)],
  ])('F2: with %s they are dropped', (_, fields) => {
    const bench = new NetBench().up(Csum, HostTso4);
    bench.send(ethernet(BROADCAST, 60), fields);
    expect(bench.backend.sent).toEqual([]);
    expect(bench.device.statistics.txDropped).toBe(1);
    expect(bench.needsReset).toBe(false);
  });

  test('F2: hdr_len says whatever it likes, and a checksum that was not negotiated is refused', () => {
    const bench = new NetBench().up(Csum, HostTso4);
    bench.send(ethernet(BROADCAST, 9000), header(1, GsoType.Tcp4, 0xffff, 1448, 34, 16));
    expect(bench.backend.sent).toHaveLength(1);
    const plain = new NetBench().up();
    plain.send(ethernet(BROADCAST, 60), header(1, 0, 0, 0, 34, 16));
    expect(plain.backend.sent).toEqual([]);
  });

  test('N-2: flags that do not exist, and fields that are not asked for, are nothing', () => {
    const bench = new NetBench().up(Csum);
    const bytes = ethernet(BROADCAST, 60);
    bench.send(bytes, header(0xfe, GsoType.None, 0xffff, 0xffff, 0xffff, 0xffff));
    // What hdr_len says is behind the end of the frame, or before that of its headers.
    for (const length of [0xffff, 1]) bench.send(bytes, header(1, 0, length, 0, 34, 16));
    expect(
      bench.backend.sent.map(({ meta: { needsCsum, gsoType } }) => [needsCsum, gsoType]),
    ).toEqual([
      [false, GsoType.None],
      [true, GsoType.None],
      [true, GsoType.None],
    ]);
    for (const sent of bench.backend.sent) expect(sent.bytes).toEqual(bytes);
    expect(bench.device.statistics.txDropped).toBe(0);
  });

  test('N-1: longer than the MTU without segmentation they are dropped', () => {
    const bench = new NetBench().up(Csum, HostTso4);
    bench.send(ethernet(BROADCAST, 1518));
    bench.send(ethernet(BROADCAST, 1519));
    expect(bench.backend.sent.map(({ bytes }) => bytes.length)).toEqual([1518]);
  });

  test('F3: a writable part is not touched', () => {
    const bench = new NetBench().up();
    bench.ram.write(0x60000, [...HEADER, ...ethernet(BROADCAST, 60)]);
    bench.ram.set(0x70000, 4, 0x12345678);
    bench.rings[1]!.send(
      { address: 0x60000, length: 72 },
      { address: 0x70000, length: 4, writable: true },
    );
    bench.notify(1);
    expect(bench.backend.sent).toHaveLength(1);
    expect(bench.ram.get(0x70000, 4)).toBe(0x12345678);
  });

  test('vanish while the link is down', () => {
    const bench = new NetBench().up(NetFeature.Status);
    bench.device.setLink(false);
    bench.send(ethernet(BROADCAST, 60));
    expect(bench.backend.sent).toEqual([]);
    expect(bench.get(R.Config + 6, 2) & 1).toBe(0);
    expect(bench.acknowledge() & 2).toBe(2);
    bench.device.setLink(true);
    bench.send(ethernet(BROADCAST, 60));
    expect(bench.backend.sent).toHaveLength(1);
  });

  test('wait for their rate', () => {
    const bench = new NetBench({ tx: { bytes: { perSecond: 1000, burst: 200 } } }).up();
    for (let i = 0; i < 5; i++) bench.send(ethernet(BROADCAST, 60));
    expect(bench.backend.sent).toHaveLength(2);
    const [queue, milliseconds] = bench.later[0]!;
    expect(queue).toBe(1);
    expect(milliseconds).toBeGreaterThan(0);
    expect(milliseconds).toBeLessThanOrEqual(72);
  });
});

describe('frames to the guest', () => {
  test('go into one buffer with a header that says nothing', () => {
    const bench = new NetBench().up();
    bench.backend.rooms = 0;
    bench.buffers([1526]);
    expect(bench.backend.rooms).toBe(1);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20), [1, 2, 3]))).toBe(true);
    expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([12 + 23]);
    const expected = [...HEADER.slice(0, 10), 1, 0, ...ethernet(MAC_BYTES, 20), 1, 2, 3];
    expect(bench.received(0, 35)).toEqual(expected);
    expect(bench.device.statistics).toMatchObject({ rxPackets: 1, rxBytes: 23 });
  });

  test('N-3: with MRG_RXBUF they go over buffers, published together', () => {
    const bench = new NetBench().up(MergeableBuffers);
    bench.buffers([32, 13, 100]);
    const payload = Array.from({ length: 50 }, (_, i) => i + 1);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20), payload))).toBe(true);
    expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([32, 13, 37]);
    expect(bench.received(0, 12)).toEqual([...HEADER.slice(0, 10), 3, 0]);
    expect(bench.received(1, 13)).toEqual(payload.slice(0, 13));
    expect(bench.received(2, 37)).toEqual(payload.slice(13));
  });

  test('wait where there are too few buffers, which stay as they were', () => {
    const bench = new NetBench().up(MergeableBuffers);
    bench.buffers([32, 13]);
    const long = frame(ethernet(MAC_BYTES, 60), Array(40).fill(7));
    expect(bench.backend.port.receive(long)).toBe(false);
    expect(bench.rings[0]!.take()).toEqual([]);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20)))).toBe(true);
    bench.backend.rooms = 0;
    bench.buffers([200]);
    expect(bench.backend.rooms).toBe(1);
    expect(bench.backend.port.receive(long)).toBe(true);
    expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([32, 13, 99]);
  });

  test('are dropped where the buffer is too small for ever', () => {
    const bench = new NetBench().up();
    bench.buffers([60]);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 100)))).toBe(true);
    expect(bench.device.statistics.rxDropped).toBe(1);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 40)))).toBe(true);
    expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([52]);
  });

  test('F3: buffers of one byte, of none that can be written, and thousands of them', () => {
    const bench = new NetBench().up(MergeableBuffers);
    bench.buffers([1]);
    bench.rings[0]!.send({ address: 0x50000, length: 100 });
    bench.notify(0);
    for (let i = 0; i < 2; i++) bench.backend.port.receive(frame(ethernet(MAC_BYTES, 60)));
    expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([0, 0]);
    // The first buffer takes the header, the others a byte each: more than one frame may have.
    bench.buffers([12, ...Array<number>(100).fill(1)]);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 100)))).toBe(true);
    expect(bench.device.statistics.rxDropped).toBe(3);
    expect(bench.needsReset).toBe(false);
  });

  test('leave to the guest what it takes', () => {
    const bench = new NetBench().up(GuestCsum, GuestTso4);
    expect(bench.backend.port.offloads).toMatchObject({ csum: true, tso4: true, tso6: false });
    bench.buffers([200]);
    const meta = { needsCsum: true, csumStart: 34, csumOffset: 16, gsoType: GsoType.Tcp4 };
    bench.backend.port.receive(
      frame(ethernet(MAC_BYTES, 60), [], { ...meta, gsoSize: 1448, headerLength: 54 }),
    );
    expect(bench.received(0, 10)).toEqual(header(1, GsoType.Tcp4, 54, 1448, 34, 16));
  });

  test('N-5: are never said to be checked, since nobody here has checked them', () => {
    const bench = new NetBench().up(GuestCsum, GuestTso4);
    bench.buffers([2000, 2000, 2000]);
    const meta = { needsCsum: true, csumStart: 34, csumOffset: 16 };
    const tso = { ...meta, gsoType: GsoType.Tcp4, gsoSize: 1448, headerLength: 54 };
    for (const one of [{}, meta, tso])
      bench.backend.port.receive(frame(ethernet(MAC_BYTES), [], one));
    expect([0, 1, 2].map((i) => bench.received(i, 1)[0])).toEqual([0, 1, 1]);
  });

  test('wait while the machine is paused, and nothing of the guest is touched', async () => {
    const bench = new NetBench().up();
    bench.buffers([100, 100]);
    const before = bench.received(0, 100);
    await bench.device.hold();
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20)))).toBe(false);
    expect(bench.rings[0]!.take()).toEqual([]);
    expect(bench.received(0, 100)).toEqual(before);
    expect(bench.device.statistics).toMatchObject({ rxPackets: 0, rxDropped: 0 });
    bench.device.release();
    // The machine's threads look at every queue then, and the backend is asked again.
    const { rooms } = bench.backend;
    bench.notify(0);
    expect(bench.backend.rooms).toBe(rooms + 1);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20)))).toBe(true);
    expect(bench.rings[0]!.take()).toHaveLength(1);
  });

  test('answered while the guest sends arrive after that turn', () => {
    const bench = new NetBench().up();
    bench.buffers([200, 200]);
    bench.backend.onFrame = ({ port }) => {
      port.receive(frame(ethernet(MAC_BYTES, 20), [9, 9]));
      expect(bench.rings[0]!.take()).toEqual([]);
    };
    bench.send(ethernet(BROADCAST, 60));
    expect(bench.rings[0]!.take().map(({ length }) => length)).toEqual([34]);
  });

  test('answered while the guest has no buffers wait for some, in their order', () => {
    const bench = new NetBench().up();
    bench.buffers([200]);
    const tell = (byte: number): boolean =>
      bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20), [byte]));
    bench.backend.onFrame = () => {
      for (const byte of [1, 2, 3]) expect(tell(byte)).toBe(true);
    };
    bench.send(ethernet(BROADCAST, 60));
    expect(bench.rings[0]!.take()).toHaveLength(1);
    expect(tell(4)).toBe(false);
    bench.backend.onRoom = () => expect(tell(4)).toBe(true);
    bench.buffers([200, 200, 200]);
    expect(bench.rings[0]!.take()).toHaveLength(3);
    expect([0, 1, 2].map((i) => bench.received(i, 33)[32])).toEqual([2, 3, 4]);
    expect(bench.device.statistics).toMatchObject({ rxPackets: 4, rxDropped: 0 });
  });

  test("that waited for buffers when the driver reset the device are nobody's", () => {
    const bench = new NetBench().up();
    bench.buffers([200]);
    bench.backend.onFrame = ({ port }) => {
      for (const byte of [1, 2]) port.receive(frame(ethernet(MAC_BYTES, 20), [byte]));
    };
    bench.send(ethernet(BROADCAST, 60));
    bench.up();
    bench.buffers([200, 200]);
    expect(bench.rings[0]!.take()).toEqual([]);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20)))).toBe(true);
  });

  test.each([
    ['many', 100, 60, 64],
    ['long', 2, 1400, 0],
  ])(
    'that answer while the guest sends are %s: room for them follows',
    (_, count, length, kept) => {
      const bench = new NetBench().up();
      bench.buffers(Array.from({ length: 120 }, () => 1600));
      const answers = Array.from({ length: count }, () => frame(ethernet(MAC_BYTES, length)));
      const give = (): void => {
        while (answers.length > 0 && bench.backend.port.receive(answers[0]!)) answers.shift();
      };
      bench.backend.onRoom = give;
      bench.backend.onFrame = () => {
        give();
        expect(answers).toHaveLength(count - kept);
        // In their order: a short one does not overtake those that wait.
        expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20)))).toBe(false);
      };
      bench.send(ethernet(BROADCAST, 60));
      // A turn's budget may be used up by those that were kept: another one follows.
      for (const [queue] of bench.later.splice(0)) bench.notify(queue);
      expect(bench.rings[0]!.take()).toHaveLength(count);
      expect(bench.device.statistics.rxDropped).toBe(0);
    },
  );

  test('can be delivered in the turn that brings buffers', () => {
    const bench = new NetBench().up();
    bench.backend.onRoom = () => {
      while (bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20))));
    };
    bench.buffers([100, 100, 100]);
    expect(bench.rings[0]!.take()).toHaveLength(3);
  });

  test('wait for their rate, and go on by themselves', () => {
    const bench = new NetBench({ rx: { frames: { perSecond: 100, burst: 2 } } }).up();
    bench.buffers([100, 100, 100]);
    const got = [0, 1, 2].map(() => bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20))));
    expect(got).toEqual([true, true, false]);
    expect(bench.later[0]![0]).toBe(0);
  });

  test('vanish while the link is down', () => {
    const bench = new NetBench().up();
    bench.buffers([100]);
    bench.device.setLink(false);
    expect(bench.backend.port.receive(frame(ethernet(MAC_BYTES, 20)))).toBe(true);
    expect(bench.rings[0]!.take()).toEqual([]);
  });
});

describe('pairs of queues', () => {
  test('are used as far as the driver has asked for', () => {
    const bench = new NetBench({ queuePairs: 2 }).up(ControlQueue, MultiQueue);
    bench.send(ethernet(BROADCAST, 60), [], 3);
    expect(bench.backends[1]!.sent).toEqual([]);
    expect(bench.command([4, 0, 2, 0], 4)).toBe(0);
    bench.notify(3);
    bench.send(ethernet(BROADCAST, 60), [], 3);
    expect(bench.backends[1]!.sent).toHaveLength(2);
    for (const pairs of [0, 3, 0x8000]) {
      expect(bench.command([4, 0, pairs & 255, pairs >> 8], 4)).toBe(1);
    }
  });

  test('N-9: the first one receives after the start, and none beyond what was asked for', () => {
    const bench = new NetBench({ queuePairs: 3 }).up(ControlQueue, MultiQueue);
    for (const queue of [0, 2, 4]) bench.buffers([100, 100], queue);
    const offer = (): boolean[] =>
      bench.backends.map(({ port }, pair) => {
        port.receive(frame(ethernet(MAC_BYTES, 20)));
        return bench.rings[2 * pair]!.take().length === 1;
      });
    expect(offer()).toEqual([true, false, false]);
    expect(bench.command([4, 0, 2, 0], 6)).toBe(0);
    expect(offer()).toEqual([true, true, false]);
    bench.up(ControlQueue, MultiQueue);
    for (const queue of [0, 2, 4]) bench.buffers([100], queue);
    expect(offer()).toEqual([true, false, false]);
  });

  test('are one without MQ, and the control queue is the third', () => {
    const bench = new NetBench({ queuePairs: 2 }).up(...CONTROL);
    expect(bench.command([0, 0, 1])).toBe(0);
    bench.send(ethernet(BROADCAST, 60), [], 3);
    expect(bench.backends[1]!.sent).toEqual([]);
  });
});

test('G-7: a reset brings address, link and offloads back, and the counters stay', () => {
  const bench = new NetBench().up(...CONTROL, NetFeature.ControlMac, GuestCsum);
  bench.command([1, 1, 2, 0, 0, 0, 0, 9]);
  expect(bench.device.address).toBe('02:00:00:00:00:09');
  bench.send(ethernet(BROADCAST, 60));
  bench.up();
  expect(bench.device.address).toBe(MAC);
  expect(bench.backend.port.offloads.csum).toBe(false);
  expect(bench.device.statistics.txPackets).toBe(1);
});

test('closes its backends', async () => {
  const bench = new NetBench({ queuePairs: 2 });
  await bench.device.close();
  expect(bench.backends.map(({ closed }) => closed)).toEqual([true, true]);
});
