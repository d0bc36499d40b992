/** A device behind the MMIO transport, with a driver that knows the registers. */
import { MemoryBus } from '../../../src/bus/address-map.js';
import type { AccessSize } from '../../../src/bus/device.js';
import { Feature, Status } from '../../../src/devices/virtio/constants.js';
import type { VirtioDevice } from '../../../src/devices/virtio/device.js';
import { VirtioRegisters } from '../../../src/devices/virtio/device-registers.js';
import { MmioRegister as R } from '../../../src/devices/virtio/mmio-registers.js';
import type { CoreOptions } from '../../../src/devices/virtio/queue-runner.js';
import { SiteLog } from '../../../src/devices/virtio/site-log.js';
import { MMIO_WINDOW_BYTES, MmioTransport } from '../../../src/devices/virtio/transport-mmio.js';
import { VirtioDeviceCore } from '../../../src/devices/virtio/virtio-device-core.js';
import { FakeLine } from '../devices/harness.js';
import { FakeRam } from './fake-ram.js';
import { RingDriver, type RingPlace } from './ring-driver.js';

export const BASE = 0xd000_0000;
export const ALL_STEPS = Status.Acknowledge | Status.Driver | Status.FeaturesOk | Status.DriverOk;
/** VERSION_1 in the second word, and the ring features. */
export const RING_BITS = [Feature.Version1, Feature.EventIndex, Feature.IndirectDescriptors];

/** Where the rings of a queue are, unless a test says otherwise. */
export function placeOf(index: number): RingPlace {
  const base = 0x10000 + 0x4000 * index;
  return { descriptors: base, driver: base + 0x1000, device: base + 0x2000 };
}

export class MmioBench<D extends VirtioDevice> {
  readonly ram: FakeRam;
  readonly line = new FakeLine();
  readonly bus = new MemoryBus();
  readonly lines: string[] = [];
  readonly registers: VirtioRegisters;
  readonly core: VirtioDeviceCore;
  readonly rings: RingDriver[];

  constructor(
    readonly device: D,
    options: CoreOptions = {},
    ram = new FakeRam(),
    registers = VirtioRegisters.standalone(device),
  ) {
    this.ram = ram;
    this.registers = registers;
    const log = new SiteLog((line) => this.lines.push(line));
    this.core = new VirtioDeviceCore(device, registers, ram, {
      log,
      drainMilliseconds: 0,
      ...options,
    });
    const transport = new MmioTransport(this.core, { line: this.line });
    this.bus.add(BASE, MMIO_WINDOW_BYTES, transport, 4);
    this.rings = device.queueSizes.map((size, i) => new RingDriver(ram, size, placeOf(i)));
  }

  get(register: number, size: AccessSize = 4): number {
    return this.bus.read(BASE + register, size);
  }

  set(register: number, value: number, size: AccessSize = 4): void {
    this.bus.write(BASE + register, size, value);
  }

  /** Offered feature bits. */
  offered(): number[] {
    const bits: number[] = [];
    for (let word = 0; word < 4; word++) {
      this.set(R.DeviceFeaturesSel, word);
      const value = this.get(R.DeviceFeatures);
      for (let i = 0; i < 32; i++) if ((value & (1 << i)) !== 0) bits.push(32 * word + i);
    }
    return bits;
  }

  accept(features: readonly number[]): this {
    for (let word = 0; word < 4; word++) {
      let value = 0;
      for (const bit of features) if (Math.floor(bit / 32) === word) value += 2 ** (bit % 32);
      this.set(R.DriverFeaturesSel, word);
      this.set(R.DriverFeatures, value);
    }
    return this;
  }

  /** Reset up to FEATURES_OK; true when the device agrees. */
  negotiate(features: readonly number[] = RING_BITS): boolean {
    this.set(R.Status, 0);
    this.set(R.Status, Status.Acknowledge);
    this.set(R.Status, Status.Acknowledge | Status.Driver);
    this.accept(features);
    this.set(R.Status, ALL_STEPS & ~Status.DriverOk);
    return (this.get(R.Status) & Status.FeaturesOk) !== 0;
  }

  /** Writes the addresses of a ring into the registers and makes it ready. */
  setUpQueue(index: number, ring = this.rings[index]!): void {
    const { descriptors, driver, device } = ring.place;
    this.set(R.QueueSel, index);
    this.set(R.QueueSize, ring.size);
    for (const [register, address] of [
      [R.QueueDescLow, descriptors],
      [R.QueueDriverLow, driver],
      [R.QueueDeviceLow, device],
    ] as const) {
      this.set(register, address % 2 ** 32);
      this.set(register + 4, Math.floor(address / 2 ** 32));
    }
    this.set(R.QueueReady, 1);
  }

  /** A complete initialization (3.1.1). */
  start(features: readonly number[] = RING_BITS): this {
    this.negotiate(features);
    this.rings.forEach((ring, i) => {
      // As a driver that sets the device up again: zeroed rings.
      ring.ram.write(ring.place.descriptors, new Uint8Array(0x4000));
      ring.availableIndex = 0;
      ring.usedIndex = 0;
      this.setUpQueue(i);
    });
    this.set(R.Status, ALL_STEPS);
    return this;
  }

  notify(index: number): void {
    this.set(R.QueueNotify, index);
  }

  get status(): number {
    return this.get(R.Status);
  }

  get needsReset(): boolean {
    return (this.status & Status.NeedsReset) !== 0;
  }

  /** InterruptStatus, acknowledged. */
  acknowledge(): number {
    const status = this.get(R.InterruptStatus);
    this.set(R.InterruptAck, status);
    return status;
  }
}
