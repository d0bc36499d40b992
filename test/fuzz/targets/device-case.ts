/**
 * A virtio device behind the MMIO transport with a driver that a case directs: requests that make
 * sense, damaged ones, registers, memory, and what the host does meanwhile.
 *
 * One device serves all cases: what a case leaves behind must not survive the reset that begins the
 * next one.
 */
import type { AccessSize } from '../../../src/bus/device.js';
import { Feature, Status } from '../../../src/devices/virtio/constants.js';
import type { VirtioDevice } from '../../../src/devices/virtio/device.js';
import { VirtioRegisters } from '../../../src/devices/virtio/device-registers.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import { SiteLog } from '../../../src/devices/virtio/site-log.js';
import { MmioTransport } from '../../../src/devices/virtio/transport-mmio.js';
import { VirtioDeviceCore } from '../../../src/devices/virtio/virtio-device-core.js';
import { Input } from '../engine/input.js';
import { must } from '../engine/must.js';
import type { OpenTarget } from '../engine/target.js';
import { FuzzRam } from './fuzz-ram.js';
import { FuzzRing, anyAddress, type Piece } from './fuzz-ring.js';

const STARTED = Status.Acknowledge | Status.Driver | Status.FeaturesOk | Status.DriverOk;
const REGISTERS = Object.values(R).filter((value) => typeof value === 'number');
const MOST_STEPS = 24;
const MOST_TURNS = 4096;
/** Rings of the driver have at most so many entries, so that many queues fit. */
const RING_ENTRIES = 16;
const RINGS = 0x1000;
const RING_BYTES = 0x400;
const TABLE = 0x6004;
/** Where requests lie. */
export const DATA = 0x8000;
export const DATA_BYTES = 0x10000;
/** Where answers go that a test of the device's health reads. */
export const HEALTH = 0x1a000;
/** Lines of one site in the log, see SiteLog: its clock stands still. */
const MOST_LINES = 1000;

/** What is special about a device. */
export interface DeviceSpec<D extends VirtioDevice> {
  readonly device: D;
  /** A request for one of the queues: writes what the device reads and says where it is. */
  request(made: DeviceCase<D>, input: Input, queue: number): Piece[];
  /** Something that happens on the host. */
  host?(made: DeviceCase<D>, input: Input): void;
  /** A case begins. */
  begin?(made: DeviceCase<D>, input: Input): void;
  /** A case has ended: the host finishes what it has to. */
  finish?(made: DeviceCase<D>): void;
  /** After a case and a reset, the device does its work. */
  works(made: DeviceCase<D>): void;
}

export class DeviceCase<D extends VirtioDevice = VirtioDevice> implements OpenTarget {
  readonly ram = new FuzzRam();
  readonly core: VirtioDeviceCore;
  readonly rings: FuzzRing[];
  readonly device: D;
  lines = 0;
  interrupts = 0;
  private readonly transport: MmioTransport;
  private readonly kicked = new Set<number>();
  private readonly later = new Set<number>();
  private level = false;
  private dataAt = 0;

  constructor(private readonly spec: DeviceSpec<D>) {
    const { device } = spec;
    this.device = device;
    const log = new SiteLog(
      () => this.lines++,
      () => 0,
    );
    this.core = new VirtioDeviceCore(device, VirtioRegisters.standalone(device), this.ram, {
      log,
      drainMilliseconds: 0,
      kick: (queue) => void this.kicked.add(queue),
      processLater: (queue) => void this.later.add(queue),
    });
    this.transport = new MmioTransport(this.core, { line: { set: (level) => this.line(level) } });
    this.rings = device.queueSizes.map((size, i) => {
      const base = RINGS + RING_BYTES * i;
      const place = { descriptors: base, driver: base + 0x200, device: base + 0x300 };
      return new FuzzRing(this.ram, Math.min(size, RING_ENTRIES), place, TABLE);
    });
  }

  private line(level: boolean): void {
    must(level !== this.level, 'the interrupt line changes');
    this.level = level;
    if (level) this.interrupts++;
  }

  run(bytes: Uint8Array): void {
    const { spec } = this;
    const input = new Input(bytes);
    this.ram.clear();
    this.dataAt = 0;
    this.start(input.u8(), input.u16());
    spec.begin?.(this, input);
    this.pump();
    for (let step = 0; step < MOST_STEPS && !input.done; step++) {
      this.step(input);
      this.pump();
    }
    spec.finish?.(this);
    this.pump();
    this.ram.clear();
    this.start(0, 0);
    must(this.get(R.Status) === STARTED, 'a reset makes the device usable again');
    spec.works(this);
    must(this.lines <= MOST_LINES, 'the log is bounded');
  }

  close(): void {
    void this.device.close?.();
  }

  get(register: number, size: AccessSize = 4): number {
    const value = this.transport.read(register, size);
    must(value >= 0 && value < 2 ** (8 * size), 'a register has the width of the access');
    return value;
  }

  set(register: number, value: number, size: AccessSize = 4): void {
    this.transport.write(register, size, value);
  }

  /**
   * Reset and initialization (3.1.1).
   * @param shape low bits choose ring sizes and ring features
   * @param without offered device features that are not accepted, bit by bit
   */
  start(shape: number, without: number): void {
    this.set(R.Status, 0);
    for (let tries = 0; this.get(R.Status) !== 0; tries++) {
      // A reset is complete when what is in flight has come back.
      must(tries < 8, 'a reset ends');
      this.spec.finish?.(this);
      this.pump();
    }
    this.set(R.Status, Status.Acknowledge);
    this.set(R.Status, Status.Acknowledge | Status.Driver);
    this.accept(shape, without);
    this.set(R.Status, STARTED & ~Status.DriverOk);
    if ((this.get(R.Status) & Status.FeaturesOk) === 0) {
      // Not a set that the device agrees to: all that it offers it has to.
      must(without !== 0, 'the device takes what it offers');
      this.start(shape, 0);
      return;
    }
    this.rings.forEach((ring, i) => this.setUpQueue(i, ring, shape));
    this.set(R.Status, STARTED);
    this.pump();
  }

  private accept(shape: number, without: number): void {
    let bit = 0;
    for (let word = 0; word < 2; word++) {
      this.set(R.DeviceFeaturesSel, word);
      let value = this.get(R.DeviceFeatures);
      if (word === 0) {
        for (const feature of this.device.features) {
          if ((without & (1 << (bit++ % 16))) !== 0) value = (value & ~(1 << feature)) >>> 0;
        }
        if ((shape & 1) !== 0) value = (value & ~(1 << Feature.EventIndex)) >>> 0;
        if ((shape & 2) !== 0) value = (value & ~(1 << Feature.IndirectDescriptors)) >>> 0;
      }
      this.set(R.DriverFeaturesSel, word);
      this.set(R.DriverFeatures, value);
    }
  }

  private setUpQueue(index: number, ring: FuzzRing, shape: number): void {
    const most = Math.min(this.device.queueSizes[index]!, RING_ENTRIES);
    ring.restart(Math.max(1, most >> ((shape >> 2) & 3)));
    const { descriptors, driver, device } = ring.place;
    this.set(R.QueueSel, index);
    this.set(R.QueueSize, ring.size);
    this.set(R.QueueDescLow, descriptors);
    this.set(R.QueueDriverLow, driver);
    this.set(R.QueueDeviceLow, device);
    this.set(R.QueueReady, 1);
  }

  notify(queue: number): void {
    this.set(R.QueueNotify, queue);
  }

  /** The I/O worker: serves what was kicked until there is nothing to do. */
  pump(): void {
    for (let turns = 0; this.kicked.size > 0; turns++) {
      must(turns < MOST_TURNS, 'turns come to an end');
      for (const queue of this.kicked) {
        this.kicked.delete(queue);
        if (this.core.serve(queue)) this.kicked.add(queue);
      }
    }
  }

  /** What was put off has its turn. */
  wake(): void {
    const queues = [...this.later];
    this.later.clear();
    for (const queue of queues) this.kicked.add(queue);
    this.pump();
  }

  /** Room for `length` bytes of a request. */
  place(length: number): number {
    if (this.dataAt + length > DATA_BYTES) this.dataAt = 0;
    const at = DATA + this.dataAt;
    this.dataAt += (length + 7) & ~7;
    return at;
  }

  /** A piece that the device reads. */
  readable(bytes: Uint8Array): Piece {
    const address = this.place(bytes.length);
    this.ram.write(address, bytes);
    return { address, length: bytes.length, writable: false };
  }

  /** A piece that the device writes, up to 8 KiB. */
  writable(length: number): Piece {
    return { address: this.place(length), length, writable: true };
  }

  /** Sends a request that is right and serves it; the lengths that come back. */
  ask(queue: number, pieces: readonly Piece[]): number[] {
    const ring = this.rings[queue]!;
    ring.send(pieces);
    this.notify(queue);
    this.pump();
    return ring.take();
  }

  private step(input: Input): void {
    const { spec } = this;
    const action = input.u8();
    if (action < 120) this.sendRequest(input);
    else if (action < 160) spec.host?.(this, input);
    else if (action < 175) input.pick(this.rings).damage(input);
    else if (action < 185) this.sendRandom(input);
    else if (action < 205) this.access(input);
    else if (action < 212) this.ram.set32((input.u16() & ~3) % 0x7000, input.word());
    else if (action < 222) this.notify(input.chance(16) ? input.word() : input.below(8));
    else if (action < 232) this.wake();
    else if (action < 240) input.pick(this.rings).take();
    else if (action < 246) this.set(R.InterruptAck, input.below(4));
    else if (action < 250) this.resetQueue(input);
    else if (action < 253) this.restart(input);
    else this.set(R.Status, input.u8());
  }

  private sendRequest(input: Input): void {
    const queue = input.below(this.rings.length);
    const ring = this.rings[queue]!;
    const how = input.u8();
    let pieces = this.spec.request(this, input, queue);
    if (how >= 240) pieces = pieces.map((piece) => twist(piece, input));
    // Cut at other places: framing means nothing (2.7.4.1).
    if ((how & 2) !== 0) pieces = pieces.flatMap((piece) => split(piece, input));
    if (pieces.length === 0) return;
    ring.send(pieces.slice(0, 32), (how & 1) !== 0);
    if ((how & 12) !== 12) this.notify(queue);
  }

  private sendRandom(input: Input): void {
    const queue = input.below(this.rings.length);
    const pieces = Array.from({ length: 1 + input.below(5) }, () => ({
      address: input.chance(128) ? anyAddress(input) : DATA + input.u16(),
      length: input.chance(64) ? input.word() : input.u16() & 0x7ff,
      writable: input.chance(128),
    }));
    this.rings[queue]!.send(pieces, input.chance(64));
    this.notify(queue);
  }

  private access(input: Input): void {
    const kind = input.u8();
    const offset =
      kind < 100
        ? REGISTERS[kind % REGISTERS.length]!
        : kind < 220
          ? R.Config + input.below(80)
          : input.u16() % 0x1004;
    const size = ([4, 4, 2, 1] as const)[input.u8() % 4]!;
    if (input.chance(100)) this.get(offset, size);
    else this.set(offset, input.word() % 2 ** (8 * size), size);
  }

  private resetQueue(input: Input): void {
    const queue = input.below(this.rings.length);
    this.set(R.QueueSel, queue);
    this.set(input.chance(128) ? R.QueueReset : R.QueueReady, input.below(2));
    if (!input.chance(128)) return;
    const { descriptors, driver, device } = this.rings[queue]!.place;
    this.ram.bytes.fill(0, descriptors, descriptors + RING_BYTES);
    this.rings[queue]!.restart(this.rings[queue]!.size);
    this.set(R.QueueDescLow, descriptors);
    this.set(R.QueueDriverLow, driver);
    this.set(R.QueueDeviceLow, device);
    this.set(R.QueueReady, 1);
  }

  private restart(input: Input): void {
    this.set(R.Status, 0);
    this.pump();
    this.ram.bytes.fill(0, RINGS, DATA);
    this.start(input.u8(), input.u16());
  }
}

/** A piece with something wrong about it. */
function twist(piece: Piece, input: Input): Piece {
  switch (input.u8() % 6) {
    case 0:
      return { ...piece, address: anyAddress(input) };
    case 1:
      return { ...piece, length: input.word() };
    case 2:
      return { ...piece, writable: !piece.writable };
    default:
      return piece;
  }
}

function split(piece: Piece, input: Input): Piece[] {
  const { address, length, writable } = piece;
  const at = input.u8();
  if (at === 0 || at >= length) return [piece];
  const rest = BigInt(address) + BigInt(at);
  return [
    { address, length: at, writable },
    { address: rest, length: length - at, writable },
  ];
}
