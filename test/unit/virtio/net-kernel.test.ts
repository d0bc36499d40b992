/** virtio-net over a network of the kernel's kind that says no, and is slow. */
import type { NetOffloads } from '../../../src/net/net-backend.js';
import {
  HEAD_STRIDE,
  SEGMENT_WORDS,
  type KernelNetwork,
  type KernelPort,
  type ReadBatch,
  type WriteBatch,
} from '../../../src/net/kernel-network.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { HEADER_BYTES, NetFeature } from '../../../src/devices/virtio/net/net-layout.js';
import type { NetDeviceOptions } from '../../../src/devices/virtio/net/net-options.js';
import type { FakeRam } from './fake-ram.js';
import { ethernet, MAC_BYTES, NetBench, OFFLOADS } from './net-bench.js';

const BROADCAST = [255, 255, 255, 255, 255, 255];
const { MergeableBuffers, ControlQueue, MultiQueue, Csum, GuestCsum, HostTso4, GuestTso4 } =
  NetFeature;
const EIO = -5;
const EBADFD = -77;

/** Takes so many frames, and has so many of 60 bytes. */
class FakeKernelNetwork implements KernelNetwork {
  readonly name = 'fake';
  readonly offloads = OFFLOADS;
  port!: KernelPort;
  ram!: FakeRam;
  /** Of the frames it has. */
  header = Array.from({ length: HEADER_BYTES }, () => 0);
  room = Infinity;
  frames = 0;
  error = 0;
  watched: [readable: boolean, writable: boolean] = [false, false];
  readonly written: number[] = [];
  readonly batches: number[] = [];
  readonly told: (NetOffloads | number)[] = [];

  attach(port: KernelPort): void {
    this.port = port;
  }

  write(batch: WriteBatch): number {
    if (this.error !== 0) return this.error;
    const count = Math.min(batch.count, this.room);
    this.room -= count;
    for (let i = 0; i < count; i++) {
      if (!batch.isRefused(i)) this.written.push(batch.heads[i * HEAD_STRIDE]!);
    }
    this.batches.push(count);
    return count;
  }

  read(batch: ReadBatch, limit: number): number {
    if (this.error !== 0) return this.error;
    const count = Math.min(this.frames, limit, Math.max(batch.count, 1));
    this.frames -= count;
    for (let i = 0; i < count; i++) {
      batch.frames[2 * i] = HEADER_BYTES + 60;
      batch.frames[2 * i + 1] = batch.count === 0 ? 0 : 1;
      const bytes = [...this.header, ...ethernet(MAC_BYTES, 60)];
      if (batch.count === 0) batch.frame.set(bytes);
      else this.scatter(batch, i, bytes);
    }
    return count;
  }

  /** Puts bytes into a buffer, as the kernel does. */
  private scatter(batch: ReadBatch, buffer: number, bytes: readonly number[]): void {
    let done = 0;
    for (let i = batch.buffers[3 * buffer]!; done < bytes.length; i++) {
      const step = batch.segments[i * SEGMENT_WORDS + 2]!;
      this.ram.write(batch.addresses[i]!, bytes.slice(done, done + step));
      done += step;
    }
  }

  watch(readable: boolean, writable: boolean): void {
    this.watched = [readable, writable];
  }

  setOffloads(offloads: NetOffloads): void {
    this.told.push(offloads);
  }

  usePairs(pairs: number): void {
    this.told.push(pairs);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class Bench extends NetBench {
  readonly network: FakeKernelNetwork;
  now = 0;

  constructor(
    options: Partial<NetDeviceOptions> = {},
    networks = Array.from({ length: options.queuePairs ?? 1 }, () => new FakeKernelNetwork()),
  ) {
    super(options, { networks, now: () => this.now });
    this.network = networks[0]!;
    for (const network of networks) network.ram = this.ram;
  }
}

test('frames that the network has no room for wait, in their order', () => {
  const bench = new Bench().up();
  bench.network.room = 2;
  for (let i = 0; i < 5; i++) bench.send(ethernet(BROADCAST, 60), []);
  expect(bench.network.written).toHaveLength(2);
  expect(bench.rings[1]!.take()).toHaveLength(2);
  expect(bench.network.watched[1]).toBe(true);
  bench.network.room = Infinity;
  bench.network.port.writable();
  expect(bench.network.written).toHaveLength(5);
  expect(bench.rings[1]!.take().map(({ id }) => id)).toEqual([4, 6, 8]);
  expect(bench.network.watched[1]).toBe(false);
  expect(bench.device.statistics).toMatchObject({ txPackets: 5, txDropped: 0 });
});

test('a chain that is refused and one that waits do not change places', () => {
  const bench = new Bench().up();
  bench.network.room = 0;
  bench.send(ethernet(BROADCAST, 60));
  bench.rings[1]!.send({ address: 0x60000, length: 3 });
  bench.send(ethernet(BROADCAST, 60));
  expect(bench.rings[1]!.take()).toEqual([]);
  bench.network.room = Infinity;
  bench.network.port.writable();
  expect(bench.rings[1]!.take().map(({ id }) => id)).toEqual([0, 2, 3]);
  expect(bench.device.statistics).toMatchObject({ txPackets: 2, txDropped: 1 });
});

test('a limit lets frames through as time passes, and what waits is not charged twice', () => {
  const limit = { frames: { perSecond: 1000, burst: 2 } };
  const bench = new Bench({ tx: limit }).up();
  for (let i = 0; i < 4; i++) bench.send(ethernet(BROADCAST, 60));
  expect(bench.network.written).toHaveLength(2);
  expect(bench.later.at(-1)).toEqual([1, 1]);
  bench.now = 1;
  bench.network.room = 0;
  bench.notify(1);
  expect(bench.network.written).toHaveLength(2);
  bench.network.room = Infinity;
  bench.network.port.writable();
  expect(bench.network.written).toHaveLength(3);
});

test('frames to the guest are limited, and wait at the host', () => {
  const limit = { bytes: { perSecond: 60_000, burst: 60 } };
  const bench = new Bench({ rx: limit }).up(MergeableBuffers);
  bench.network.frames = 5;
  bench.buffers(Array.from({ length: 8 }, () => 1600));
  // The last one may begin with a token and end in debt.
  expect(bench.rings[0]!.take()).toHaveLength(1);
  expect(bench.network.watched[0]).toBe(false);
  expect(bench.later.at(-1)).toEqual([0, 1]);
  bench.now = 1;
  bench.notify(0);
  expect(bench.rings[0]!.take()).toHaveLength(1);
  bench.device.setRateLimits({});
  bench.notify(0);
  expect(bench.rings[0]!.take()).toHaveLength(3);
  expect(bench.network.watched[0]).toBe(true);
});

test('CVE-2015-7295: without buffers the network is not watched, and a kick goes on', () => {
  const bench = new Bench().up(MergeableBuffers);
  bench.network.frames = 10;
  bench.buffers([1600, 1600]);
  while (bench.network.watched[0]) bench.network.port.readable();
  expect(bench.rings[0]!.take()).toHaveLength(2);
  expect(bench.network.frames).toBe(8);
  bench.buffers(Array.from({ length: 30 }, () => 1600));
  while (bench.network.frames > 0) bench.network.port.readable();
  expect(bench.rings[0]!.take()).toHaveLength(8);
  expect(bench.network.watched[0]).toBe(true);
});

test('a turn that uses up the buffers does not watch the network in vain', () => {
  const bench = new Bench().up(MergeableBuffers);
  bench.buffers([1600]);
  bench.network.frames = 10;
  bench.network.port.readable();
  expect(bench.rings[0]!.take()).toHaveLength(1);
  expect(bench.network.watched[0]).toBe(false);
  bench.buffers(Array.from({ length: 30 }, () => 1600));
  expect(bench.rings[0]!.take()).toHaveLength(9);
  expect(bench.network.watched[0]).toBe(true);
});

test('F6: errors of reading are logged, and no reason to stop', () => {
  const bench = new Bench().up(MergeableBuffers);
  bench.buffers([1600, 1600]);
  bench.network.error = EIO;
  bench.network.port.readable();
  expect(bench.lines).toEqual(['fake: reading fails: errno 5']);
  bench.network.error = 0;
  bench.network.frames = 1;
  bench.notify(0);
  expect(bench.rings[0]!.take()).toHaveLength(1);
});

test('what the driver takes is told to the network, at its start and when it changes', () => {
  const bench = new Bench().up(
    ...[MergeableBuffers, Csum, GuestCsum, HostTso4, GuestTso4, ControlQueue],
    NetFeature.ControlGuestOffloads,
  );
  const last = (): unknown => bench.network.told.filter((item) => typeof item === 'object').at(-1);
  expect(last()).toMatchObject({ csum: true, tso4: true, tso6: false });
  expect(bench.command([5, 0, 2, 0, 0, 0, 0, 0, 0, 0])).toBe(0);
  bench.notify(0);
  expect(last()).toMatchObject({ csum: true, tso4: false });
});

test('pairs are told before they come into use, and a pair out of use is not gone', async () => {
  const networks = [new FakeKernelNetwork(), new FakeKernelNetwork()];
  const bench = new Bench({ queuePairs: 2 }, networks).up(
    ...[MergeableBuffers, ControlQueue, MultiQueue],
  );
  expect(networks[0]!.told.filter((item) => typeof item === 'number')).toEqual([1]);
  bench.buffers([1600], 2);
  networks[1]!.error = EBADFD;
  networks[1]!.port.readable();
  expect(networks[1]!.watched[0]).toBe(false);
  networks[1]!.error = 0;
  networks[1]!.frames = 1;
  expect(bench.command([4, 0, 2, 0], 4)).toBe(0);
  expect(networks[0]!.told.at(-1)).toBe(2);
  // The buffers that were offered before are looked at.
  expect(bench.later).toContainEqual([2, 0]);
  bench.notify(2);
  expect(bench.rings[2]!.take()).toHaveLength(1);
  networks[1]!.error = EBADFD;
  bench.buffers([1600], 2);
  await Promise.resolve();
  expect(bench.get(R.Config + 6, 2) & 1).toBe(0);
  expect(bench.lines).toEqual(["fake is gone: the link of the guest's interface is down"]);
});
