/** A virtio disk behind its transport, with a driver that knows requests. */
import type { BlockBackend } from '../../../../src/block/backend.js';
import { MemoryBackend } from '../../../../src/block/memory-backend.js';
import type { BlockSegments } from '../../../../src/block/segments.js';
import type { BlockBackendHost } from '../../../../src/block/backend.js';
import { BlockDevice } from '../../../../src/devices/virtio/block/block-device.js';
import { BlockFeature as F } from '../../../../src/devices/virtio/block/block-layout.js';
import type { BlockDeviceOptions } from '../../../../src/devices/virtio/block/block-options.js';
import type { VirtioRegisters } from '../../../../src/devices/virtio/device-registers.js';
import { FakeRam } from '../fake-ram.js';
import { MmioBench, RING_BITS } from '../mmio-bench.js';
import type { Buffer as Piece } from '../ring-driver.js';

export const CAPACITY = 512 * 1024;
export const USUAL = [...RING_BITS, F.SegMax, F.BlockSize, F.Flush, F.Topology, F.ConfigWce];
export const ALL = [...USUAL, F.Discard, F.WriteZeroes];
const AREA = 0x40000;
const SLOT = 0x2000;
const SLOTS = 80;
/** What a status byte is before the device has written it. */
export const PENDING = 0x77;

/** A request as the driver sees it. */
export interface Sent {
  readonly head: number;
  /** Address of the data, and of the status byte. */
  readonly data: number;
  readonly status: number;
}

export interface SendOptions {
  /** What the device reads behind the header. */
  readonly out?: Uint8Array;
  /** Bytes that the device writes in front of the status. */
  readonly room?: number;
  readonly queue?: number;
  readonly notify?: boolean;
}

/** Holds requests until it is told to let them end. */
export class HeldBackend extends MemoryBackend {
  readonly calls: {
    name: string;
    offset: number;
    length: number;
    stable: boolean;
    token: number;
  }[] = [];
  readonly waiting: { token: number; run: () => void }[] = [];
  /** Requests that are accepted at once. */
  limit = Infinity;
  submits = 0;
  closed = false;
  real!: BlockBackendHost;
  private inner: { result: number } = { result: 0 };

  override attach(host: BlockBackendHost): void {
    this.real = host;
    super.attach({ ...host, complete: (_, result) => (this.inner = { result }) });
  }

  private hold(
    name: string,
    offset: number,
    length: number,
    stable: boolean,
    token: number,
    run: () => void,
  ): boolean {
    if (this.waiting.length >= this.limit) return false;
    this.calls.push({ name, offset, length, stable, token });
    this.waiting.push({ token, run });
    return true;
  }

  override read(segments: BlockSegments, offset: number, token: number): boolean {
    return this.hold('read', offset, segments.length, false, token, () => {
      super.read(segments, offset, token);
    });
  }

  override write(segments: BlockSegments, offset: number, token: number, stable = false): boolean {
    return this.hold('write', offset, segments.length, stable, token, () => {
      super.write(segments, offset, token);
    });
  }

  override flush(token: number): boolean {
    return this.hold('flush', 0, 0, false, token, () => super.flush(token));
  }

  override discard(offset: number, length: number, token: number): boolean {
    return this.hold('discard', offset, length, false, token, () => {
      super.writeZeroes(offset, length, token);
    });
  }

  override writeZeroes(
    offset: number,
    length: number,
    token: number,
    unmap = false,
    stable = false,
  ): boolean {
    const name = unmap ? 'unmap' : 'zero';
    return this.hold(name, offset, length, stable, token, () => {
      super.writeZeroes(offset, length, token);
    });
  }

  override submit(): void {
    this.submits++;
  }

  override close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  /** Lets the i-th waiting request end, with an error if one is given. */
  end(i = 0, error?: number): void {
    const [{ token, run }] = this.waiting.splice(i, 1) as [{ token: number; run: () => void }];
    if (error === undefined) run();
    this.real.complete(token, error ?? this.inner.result);
  }

  endAll(): void {
    while (this.waiting.length > 0) this.end();
  }
}

export class DiskBench<B extends BlockBackend = HeldBackend> extends MmioBench<BlockDevice> {
  readonly later: { index: number; milliseconds: number }[];
  private slot = 0;

  constructor(
    readonly backend: B,
    options: Partial<BlockDeviceOptions> = {},
    more: { now?: () => number; ram?: FakeRam; registers?: VirtioRegisters } = {},
  ) {
    const later: { index: number; milliseconds: number }[] = [];
    const device = new BlockDevice(
      { capacity: backend.capacity, ...options },
      backend,
      more.now ?? (() => 0),
    );
    super(
      device,
      { processLater: (index, milliseconds) => later.push({ index, milliseconds }) },
      more.ram,
      more.registers,
    );
    this.later = later;
  }

  /** Puts a request together and makes it available. */
  send(type: number, sector: number | bigint, options: SendOptions = {}): Sent {
    const { out = new Uint8Array(0), room = 0, queue = 0 } = options;
    const at = AREA + SLOT * (this.slot++ % SLOTS);
    const data = at + 0x100;
    const status = at + 0x80;
    this.header(at, type, sector);
    this.ram.write(data, out);
    this.ram.set(status, 1, PENDING);
    const head = this.rings[queue]!.send(
      { address: at, length: 16 },
      { address: data, length: out.length },
      { address: data, length: room, writable: true },
      { address: status, length: 1, writable: true },
    );
    if (options.notify !== false) this.notify(queue);
    return { head, data, status };
  }

  header(at: number, type: number, sector: number | bigint): void {
    this.ram.set(at, 4, type);
    this.ram.set(at + 4, 4, 0);
    this.ram.set64(at + 8, BigInt(sector));
  }

  /** A request of any descriptors. */
  sendPieces(...pieces: readonly Piece[]): number {
    const head = this.rings[0]!.send(...pieces);
    this.notify(0);
    return head;
  }

  statusOf({ status }: Sent): number {
    return this.ram.get(status, 1);
  }

  /** Lengths of used chains since the last call. */
  used(queue = 0): number[] {
    return this.rings[queue]!.take().map(({ length }) => length);
  }

  /** Everything the backend holds ends, and is pushed. */
  finish(this: DiskBench): void {
    for (let rounds = 0; this.backend.waiting.length > 0; rounds++) {
      if (rounds > 10_000) throw new Error('it does not come to an end');
      this.backend.endAll();
      this.device.deliver();
    }
  }
}

/** A started disk. */
export function disk(
  options: Partial<BlockDeviceOptions> = {},
  features: readonly number[] = ALL,
  more: { now?: () => number; capacity?: number; ram?: FakeRam } = {},
): DiskBench {
  const made = new DiskBench(new HeldBackend(more.capacity ?? CAPACITY), options, more);
  made.start(features.filter((bit) => bit > 23 || made.device.features.includes(bit)));
  return made;
}

/** Ranges of a discard or write-zeroes request. */
export function ranges(
  ...list: readonly { sector: number | bigint; count: number; flags?: number }[]
): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(16 * list.length));
  list.forEach(({ sector, count, flags = 0 }, i) => {
    bytes.setBigUint64(16 * i, BigInt(sector), true);
    bytes.setUint32(16 * i + 8, count, true);
    bytes.setUint32(16 * i + 12, flags, true);
  });
  return new Uint8Array(bytes.buffer);
}
