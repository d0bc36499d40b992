/** virtio-net over a real TAP device, on a bridge with another one. */
import { GsoType } from '../../../src/net/net-backend.js';
import { TAP_OFFLOADS, TapNetwork } from '../../../src/net/tap/tap-network.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { HEADER_BYTES, NetFeature, RxCommand } from '../../../src/devices/virtio/net/net-layout.js';
import { canUseTap } from '../../support/tap-guest.js';
import { TapPair, type WireFrame } from '../../support/tap-pair.js';
import { RealRam } from '../fs/real-ram.js';
import { ethernet, MAC_BYTES, NetBench } from './net-bench.js';

const usable = canUseTap();
const describeTap = usable ? describe : describe.skip;
if (!usable) console.warn('skipped: no TAP devices or network namespaces here');

const BROADCAST = [255, 255, 255, 255, 255, 255];
const FAR_MAC = [0x52, 0x54, 0, 9, 9, 9];
const OTHER_MAC = [0x52, 0x54, 0, 1, 1, 1];
const { MergeableBuffers, Csum, GuestCsum, HostTso4, GuestTso4, ControlQueue, ControlRx } =
  NetFeature;
const OFFLOADED = [Csum, GuestCsum, HostTso4, GuestTso4];
const [RX, TX] = [0, 1];

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

/** A device on a TAP, set up by a driver with these features. */
class TapBench extends NetBench {
  private constructor(
    readonly wire: TapPair,
    queues: number,
    readonly real: RealRam,
  ) {
    const networks = wire.tap.fds.map((_, i) => new TapNetwork('tap', wire.tap.fds, i));
    const options = { queuePairs: queues, offloads: TAP_OFFLOADS };
    super(options, { networks, ram: real, now: () => performance.now() });
  }

  static open(features: readonly number[] = [MergeableBuffers], queues = 1): TapBench {
    const wire = TapPair.open(queues);
    const bench = new TapBench(wire, queues, new RealRam());
    closing.push(() => {
      void bench.device.close();
      wire.close();
      bench.real.close();
    });
    return bench.up(...features);
  }

  /** Carries out what the device wants done later, as an I/O worker does. */
  turn(): void {
    for (const [queue, milliseconds] of this.later.splice(0)) {
      if (milliseconds === 0) this.notify(queue);
      else setTimeout(() => this.notify(queue), milliseconds);
    }
  }

  async until(holds: () => boolean): Promise<void> {
    const end = Date.now() + 20_000;
    while (!holds()) {
      if (Date.now() > end) throw new Error('not within 20 s');
      this.turn();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** The next frames on the wire. */
  async onWire(count: number): Promise<WireFrame[]> {
    const frames: WireFrame[] = [];
    await this.until(() => frames.push(...this.wire.take()) >= count);
    return frames;
  }

  /** The next used entries of a queue. */
  async used(count: number, queue = RX): Promise<{ id: number; length: number }[]> {
    const entries: { id: number; length: number }[] = [];
    await this.until(() => entries.push(...this.rings[queue]!.take()) >= count);
    return entries;
  }
}

/** An IPv4 packet with TCP in a frame: 54 bytes of headers, the checksum left to do. */
function tcpFrame(to: readonly number[], from: readonly number[], payload: number): number[] {
  const total = 40 + payload;
  const ip = [
    0x45,
    0,
    total >> 8,
    total & 255,
    0,
    1,
    0x40,
    0,
    64,
    6,
    0,
    0,
    10,
    9,
    0,
    1,
    10,
    9,
    0,
    2,
  ];
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += ip[i]! * 256 + ip[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  ip[10] = ~(sum >> 8) & 255;
  ip[11] = ~sum & 255;
  const tcp = [4, 0, 5, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 255, 255, 0, 0, 0, 0];
  const data = Array.from({ length: payload }, (_, i) => i % 251);
  return [...to, ...from, 8, 0, ...ip, ...tcp, ...data];
}

/** Header of such a frame as long segments. */
const TCP_GSO = [1, GsoType.Tcp4, 54, 0, 1460 & 255, 1460 >> 8, 34, 0, 16, 0];

describeTap('frames from the guest', () => {
  test('are on the wire as they were, in order', async () => {
    const bench = TapBench.open();
    const sizes = [60, 61, 1514, 333];
    for (const size of sizes) bench.send(ethernet(BROADCAST, size));
    const frames = await bench.onWire(sizes.length);
    expect(frames.map(({ bytes }) => bytes.length)).toEqual(sizes);
    expect([...frames[2]!.bytes]).toEqual(ethernet(BROADCAST, 1514));
    expect(bench.rings[TX]!.take()).toHaveLength(4);
    expect(bench.device.statistics).toMatchObject({ txPackets: 4, txBytes: 1968, txDropped: 0 });
  });

  test('leave segmentation and checksums to the host', async () => {
    const bench = TapBench.open([MergeableBuffers, ...OFFLOADED]);
    const frame = tcpFrame(BROADCAST, MAC_BYTES, 8000);
    bench.send(frame, TCP_GSO);
    const [long] = await bench.onWire(1);
    expect([...long!.bytes]).toEqual(frame);
    expect(long!.header[0]! & 1).toBe(1);
    expect(long!.header[1]).toBe(GsoType.Tcp4);
    expect(long!.header.readUInt16LE(4)).toBe(1460);
  });

  test('F1, F2: that are wrong are dropped, and the others sent', async () => {
    const bench = TapBench.open([MergeableBuffers, ...OFFLOADED]);
    const ring = bench.rings[TX]!;
    ring.send({ address: 0x60000, length: 11 });
    ring.send({ address: 0x60000, length: 12 });
    ring.send({ address: 0x60000, length: 12 + 65_535 + 19 });
    bench.send(ethernet(BROADCAST, 60), [1, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    bench.send(ethernet(BROADCAST, 100), [1, 77]);
    // The kernel finds that the headers are longer than the frame.
    bench.send(ethernet(BROADCAST, 100), [1, GsoType.Tcp4, 255, 255, 1, 0, 34, 0, 16, 0]);
    bench.send(ethernet(BROADCAST, 64));
    const frames = await bench.onWire(1);
    expect(frames.map(({ bytes }) => bytes.length)).toEqual([64]);
    expect(ring.take()).toHaveLength(7);
    expect(bench.device.statistics).toMatchObject({ txPackets: 1, txDropped: 6 });
    expect(bench.needsReset).toBe(false);
  });

  test('are dropped while the interface is down on the host, which is logged', async () => {
    const bench = TapBench.open();
    bench.wire.sh(`ip link set ${bench.wire.tap.name} down`);
    bench.send(ethernet(BROADCAST, 60));
    expect(bench.rings[TX]!.take()).toHaveLength(1);
    expect(bench.device.statistics).toMatchObject({ txPackets: 0, txDropped: 1 });
    expect(bench.lines).toEqual(['tap is down on the host: ip link set tap up']);
    bench.wire.sh(`ip link set ${bench.wire.tap.name} up`);
    await bench.until(() => {
      bench.send(ethernet(BROADCAST, 60));
      return bench.wire.take().length > 0;
    });
  });
});

describeTap('frames to the guest', () => {
  test('are in its buffers with their header, many for one interrupt', async () => {
    const bench = TapBench.open();
    bench.buffers(Array.from({ length: 40 }, () => 1600));
    for (let i = 0; i < 30; i++) bench.wire.send(ethernet(MAC_BYTES, 60 + i));
    const used = await bench.used(30);
    expect(used.map(({ length }) => length)).toEqual(
      Array.from({ length: 30 }, (_, i) => HEADER_BYTES + 60 + i),
    );
    expect(bench.received(7, HEADER_BYTES)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    expect(bench.received(7, HEADER_BYTES + 67).slice(HEADER_BYTES)).toEqual(
      ethernet(MAC_BYTES, 67),
    );
    expect(bench.device.statistics).toMatchObject({ rxPackets: 30, rxDropped: 0 });
  });

  test('S-3: are spread over as many buffers as they take', async () => {
    const bench = TapBench.open([MergeableBuffers, ...OFFLOADED]);
    bench.buffers(Array.from({ length: 20 }, () => 1000));
    const frame = tcpFrame(MAC_BYTES, FAR_MAC, 8000);
    bench.wire.send(frame, TCP_GSO);
    const used = await bench.used(9);
    const lengths = [...Array.from({ length: 8 }, () => 1000), 66];
    expect(used.map(({ length }) => length)).toEqual(lengths);
    const bytes = lengths.flatMap((length, i) => bench.received(i, length));
    expect(bytes.slice(0, 2)).toEqual([1, GsoType.Tcp4]);
    expect(bytes.slice(10, 12)).toEqual([9, 0]);
    expect(bytes.slice(HEADER_BYTES)).toEqual(frame);
    expect(bench.rings[RX]!.take()).toEqual([]);
  });

  test('are cut by the host for a driver that does not take long ones', async () => {
    const bench = TapBench.open([MergeableBuffers]);
    bench.buffers(Array.from({ length: 20 }, () => 2000));
    bench.wire.send(tcpFrame(MAC_BYTES, FAR_MAC, 2920), TCP_GSO);
    const used = await bench.used(2);
    expect(used.map(({ length }) => length)).toEqual([12 + 54 + 1460, 12 + 54 + 1460]);
    expect(bench.received(0, 2)).toEqual([0, 0]);
  });

  test('wait at the host for buffers', async () => {
    const bench = TapBench.open();
    for (let i = 0; i < 3; i++) bench.wire.send(ethernet(MAC_BYTES, 60 + i));
    await bench.until(() => true);
    expect(bench.rings[RX]!.take()).toEqual([]);
    bench.buffers([1600, 1600]);
    expect((await bench.used(2)).map(({ length }) => length)).toEqual([72, 73]);
    bench.buffers([1600]);
    expect((await bench.used(1)).map(({ length }) => length)).toEqual([74]);
  });

  test('F6, F7: CVE-2020-16843: a flood without buffers ends at the host, and frames come again', async () => {
    const bench = TapBench.open();
    const numbered = (i: number): number[] => [...ethernet(MAC_BYTES, 60), i & 255, i >> 8];
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20_000; i++) bench.wire.send(numbered(i));
    await bench.until(() => bench.later.length === 0);
    expect(bench.rings[RX]!.take()).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
    bench.buffers([1600, 1600]);
    await bench.used(2);
    // The oldest, in their order.
    expect([0, 1].map((i) => bench.received(i, 74).slice(72))).toEqual([
      [0, 0],
      [1, 0],
    ]);
    expect(bench.needsReset).toBe(false);
  });

  test('CVE-2015-7295: longer than the buffers that are left, wait for more of them', async () => {
    const bench = TapBench.open([MergeableBuffers, ...OFFLOADED]);
    bench.buffers([1000, 1000, 1000]);
    const frame = tcpFrame(MAC_BYTES, FAR_MAC, 5000);
    bench.wire.send(frame, TCP_GSO);
    bench.wire.send(ethernet(MAC_BYTES, 60));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(bench.rings[RX]!.take()).toEqual([]);
    const ring = bench.rings[RX]!;
    for (let i = 3; i < 10; i++) {
      ring.send({ address: 0x40000 + 0x1000 * i, length: 1000, writable: true });
    }
    bench.notify(RX);
    const used = await bench.used(7);
    expect(used.map(({ length }) => length)).toEqual([1000, 1000, 1000, 1000, 1000, 66, 72]);
    const bytes = [1000, 1000, 1000, 1000, 1000, 66].flatMap((n, i) => bench.received(i, n));
    expect(bytes.slice(HEADER_BYTES)).toEqual(frame);
    expect(bytes.slice(10, 12)).toEqual([6, 0]);
    expect(bench.device.statistics).toMatchObject({ rxPackets: 2, rxDropped: 0 });
  });

  test.each([
    ['that adjoin', 4096],
    ['apart from each other', 4000],
  ])('one long one behind the other, are in buffers %s', async (_name, length) => {
    const bench = TapBench.open([MergeableBuffers, ...OFFLOADED]);
    bench.buffers(Array.from({ length: 30 }, () => length));
    const frames = [20_000, 20_001, 12_000, 6, 20_003].map((payload) =>
      tcpFrame(MAC_BYTES, FAR_MAC, payload),
    );
    for (const frame of frames) bench.wire.send(frame, frame.length > 1514 ? TCP_GSO : []);
    const counts = frames.map((frame) => Math.ceil((HEADER_BYTES + frame.length) / length));
    const used = await bench.used(counts.reduce((sum, count) => sum + count));
    let next = 0;
    for (const [i, frame] of frames.entries()) {
      const taken = used.slice(next, next + counts[i]!);
      const bytes = taken.flatMap((entry, n) => bench.received(next + n, entry.length));
      expect(bytes.slice(10, 12)).toEqual([counts[i], 0]);
      expect(bytes.slice(HEADER_BYTES)).toEqual(frame);
      next += counts[i]!;
    }
    expect(bench.rings[RX]!.take()).toEqual([]);
    expect(bench.device.statistics).toMatchObject({ rxPackets: 5, rxDropped: 0 });
  });

  test('longer than the buffers that are left behind another long one, are not lost', async () => {
    const bench = TapBench.open([MergeableBuffers, ...OFFLOADED]);
    bench.buffers(Array.from({ length: 7 }, () => 4000));
    const frame = tcpFrame(MAC_BYTES, OTHER_MAC, 20_000);
    bench.wire.send(tcpFrame(MAC_BYTES, FAR_MAC, 20_000), TCP_GSO);
    bench.wire.send(frame, TCP_GSO);
    expect(await bench.used(6)).toHaveLength(6);
    // The last buffer has been written to, and is not used.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(bench.rings[RX]!.take()).toEqual([]);
    bench.ram.write(0x46000, new Array<number>(4000).fill(0xaa));
    for (let i = 7; i < 14; i++) {
      const piece = { address: 0x40000 + 0x1000 * i, length: 4000, writable: true };
      bench.rings[RX]!.send(piece);
    }
    bench.notify(RX);
    const used = await bench.used(6);
    const bytes = used.flatMap(({ length }, n) => bench.received(6 + n, length));
    expect(bytes.slice(0, 12)).toEqual([...TCP_GSO, 6, 0]);
    expect(bytes.slice(HEADER_BYTES)).toEqual(frame);
    expect(bench.device.statistics).toMatchObject({ rxPackets: 2, rxDropped: 0 });
  });

  test('S-1: a long one behind another is in a buffer of very many pieces', async () => {
    const bench = TapBench.open([...OFFLOADED]);
    const ring = bench.rings[RX]!;
    const frame = tcpFrame(MAC_BYTES, FAR_MAC, 20_000);
    ring.send({ address: 0x40000, length: 0x6000, writable: true });
    const small = Array.from({ length: 100 }, (_, i) => ({
      ...{ address: 0x50000 + 2 * i, length: 1, writable: true },
    }));
    ring.send(...small, { address: 0x51000, length: 0x6000, writable: true });
    bench.notify(RX);
    for (let i = 0; i < 2; i++) bench.wire.send(frame, TCP_GSO);
    expect((await bench.used(2)).map(({ length }) => length)).toEqual([20_066, 20_066]);
    const bytes = [
      ...small.map(({ address }) => bench.ram.get(address, 1)),
      ...bench.ram.read(0x51000, 20_066 - 100),
    ];
    expect(bytes.slice(HEADER_BYTES)).toEqual(frame);
  });

  test('F3: longer than a buffer without MRG_RXBUF are dropped, and others come', async () => {
    const bench = TapBench.open([]);
    bench.buffers([100, 100, 1600]);
    bench.wire.send(ethernet(MAC_BYTES, 500));
    bench.wire.send(ethernet(MAC_BYTES, 60));
    const used = await bench.used(1);
    expect(used.map(({ length }) => length)).toEqual([72]);
    expect(bench.device.statistics).toMatchObject({ rxPackets: 1, rxDropped: 1 });
  });

  test('F3: buffers too small for a header are given back empty', async () => {
    const bench = TapBench.open();
    bench.buffers([4, 20, 1600, 1600]);
    bench.wire.send(ethernet(MAC_BYTES, 60));
    bench.wire.send(ethernet(MAC_BYTES, 61));
    const used = await bench.used(3);
    // The first frame is lost with the first buffer.
    expect(used.map(({ length }) => length)).toEqual([0, 20, 53]);
    expect(bench.needsReset).toBe(false);
  });

  test('S-1: a buffer in pieces is a buffer', async () => {
    const bench = TapBench.open();
    bench.rings[RX]!.send(
      ...Array.from({ length: 40 }, (_, i) => ({
        ...{ address: 0x40000 + 2 * i, length: 1, writable: true },
      })),
      { address: 0x41000, length: 1000, writable: true },
    );
    bench.notify(RX);
    bench.wire.send(ethernet(MAC_BYTES, 60));
    const [entry] = await bench.used(1);
    expect(entry!.length).toBe(72);
    const pieces = Array.from({ length: 40 }, (_, i) => bench.ram.get(0x40000 + 2 * i, 1));
    const bytes = [...pieces, ...bench.ram.read(0x41000, 32)];
    expect(bytes.slice(HEADER_BYTES)).toEqual(ethernet(MAC_BYTES, 60));
  });

  test('for others do not come through the filter', async () => {
    const bench = TapBench.open([MergeableBuffers, ControlQueue, ControlRx]);
    bench.buffers(Array.from({ length: 8 }, () => 1600));
    bench.wire.send(ethernet(OTHER_MAC, 60));
    await bench.until(() => bench.device.statistics.rxFiltered === 1);
    expect(bench.command([0, RxCommand.Promiscuous, 1])).toBe(0);
    bench.wire.send(ethernet(OTHER_MAC, 61));
    const used = await bench.used(1);
    expect(used.map(({ length }) => length)).toEqual([73]);
  });

  test('are thrown away while the link is down, and none of them comes later', async () => {
    const bench = TapBench.open();
    bench.buffers(Array.from({ length: 8 }, () => 1600));
    bench.device.setLink(false);
    bench.turn();
    bench.wire.send(ethernet(MAC_BYTES, 60));
    await bench.until(() => bench.device.statistics.rxDropped === 1);
    bench.device.setLink(true);
    bench.turn();
    bench.wire.send(ethernet(MAC_BYTES, 61));
    expect((await bench.used(1)).map(({ length }) => length)).toEqual([73]);
  });

  test('wait while the machine is paused', async () => {
    const bench = TapBench.open();
    bench.buffers([1600, 1600]);
    await bench.device.hold();
    bench.wire.send(ethernet(MAC_BYTES, 60));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(bench.rings[RX]!.take()).toEqual([]);
    bench.device.release();
    expect(await bench.used(1)).toHaveLength(1);
  });

  test('come again after a reset of the device', async () => {
    const bench = TapBench.open();
    bench.buffers([1600, 1600]);
    bench.set(R.Status, 0);
    bench.wire.send(ethernet(MAC_BYTES, 60));
    bench.wire.send(ethernet(MAC_BYTES, 61));
    await new Promise((resolve) => setTimeout(resolve, 20));
    bench.up(MergeableBuffers);
    bench.buffers([1600, 1600]);
    expect((await bench.used(2)).map(({ length }) => length)).toEqual([72, 73]);
  });
});

describeTap('a tap', () => {
  test('that vanishes is a link that goes down, and the device goes on', async () => {
    const bench = TapBench.open();
    bench.buffers([1600, 1600]);
    bench.acknowledge();
    bench.wire.sh(`ip link del ${bench.wire.tap.name}`);
    await bench.until(() => (bench.get(R.Config + 6, 2) & 1) === 0);
    expect(bench.acknowledge() & 2).toBe(2);
    expect(bench.lines).toEqual(["tap is gone: the link of the guest's interface is down"]);
    bench.send(ethernet(BROADCAST, 60));
    expect(bench.rings[TX]!.take()).toHaveLength(1);
    expect(bench.needsReset).toBe(false);
    // A device is still there for a driver that starts again.
    bench.up(MergeableBuffers);
    bench.send(ethernet(BROADCAST, 60));
    expect(bench.rings[TX]!.take()).toHaveLength(1);
  });

  test('that vanishes while nobody reads is found by writing', async () => {
    const bench = TapBench.open();
    bench.wire.sh(`ip link del ${bench.wire.tap.name}`);
    bench.send(ethernet(BROADCAST, 60));
    await bench.until(() => (bench.get(R.Config + 6, 2) & 1) === 0);
    expect(bench.device.statistics.txDropped).toBe(1);
  });

  test('with queues uses those that the driver has taken into use', async () => {
    const features = [MergeableBuffers, ControlQueue, NetFeature.MultiQueue];
    const bench = TapBench.open(features, 2);
    for (const queue of [0, 2]) {
      for (let i = 0; i < 60; i++) {
        const address = (queue === 0 ? 0x40000 : 0x80000) + 0x800 * i;
        bench.rings[queue]!.send({ address, length: 1600, writable: true });
      }
      bench.notify(queue);
    }
    // One pair: everything comes there, whatever flow it is of.
    const flow = (i: number): number[] => {
      const frame = tcpFrame(MAC_BYTES, FAR_MAC, 10);
      frame[35] = i;
      return frame;
    };
    for (let i = 0; i < 20; i++) bench.wire.send(flow(i));
    await bench.used(20);
    expect(bench.command([4, 0, 2, 0], 4)).toBe(0);
    // A flow that the guest sends from the second pair comes back to it.
    const answer = tcpFrame(FAR_MAC, MAC_BYTES, 10);
    bench.send(answer, [], 3);
    await bench.onWire(1);
    const back = tcpFrame(MAC_BYTES, FAR_MAC, 10);
    [back[26], back[30]] = [answer[30]!, answer[26]!];
    back.splice(26, 8, ...answer.slice(30, 34), ...answer.slice(26, 30));
    back.splice(34, 4, ...answer.slice(36, 38), ...answer.slice(34, 36));
    bench.wire.send(back);
    const [entry] = await bench.used(1, 2);
    expect(entry!.length).toBe(HEADER_BYTES + back.length);
    expect(bench.command([4, 0, 1, 0], 4)).toBe(0);
    for (let i = 0; i < 20; i++) bench.wire.send(flow(i));
    await bench.used(20);
    expect(bench.lines).toEqual([]);
  });
});
