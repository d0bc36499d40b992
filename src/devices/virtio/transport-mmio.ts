/**
 * The MMIO transport, version 2 (virtio 1.2, 4.2): a page of registers and one interrupt.
 *
 * Control registers take aligned 32-bit accesses; everything else reads zero and writes nothing, as
 * do registers read or written against their direction. Selectors and InterruptStatus live in the
 * device's register block, so any thread can take an access.
 */
import type { AccessSize, BusDevice, Doorbell, InterruptLine } from '../../bus/device.js';
import { MAGIC, MmioInterrupt, MmioRegister, VENDOR_ID, VERSION } from './mmio-registers.js';
import { QueueArea } from './queue/queue-registers.js';
import type { Transport } from './transport.js';
import type { VirtioDeviceCore } from './virtio-device-core.js';

/** The transport's words, see {@link VirtioRegisters.transport}. */
enum Word {
  DeviceFeaturesSel,
  DriverFeaturesSel,
  QueueSel,
  InterruptStatus,
  ShmSel,
}

/** How the interrupt gets out: a level line, or something to ring for every event (an irqfd). */
export type MmioInterruptOutput = { readonly line: InterruptLine } | { readonly edge: Doorbell };

/** Bytes of the window on the memory bus. */
export const MMIO_WINDOW_BYTES = 0x1000;

/** Registers of a device on the memory bus; add it with a width of 4. */
export class MmioTransport implements BusDevice, Transport {
  private readonly words: Int32Array<SharedArrayBuffer>;
  private readonly line: InterruptLine | undefined;
  private readonly edge: Doorbell | undefined;

  constructor(
    private readonly core: VirtioDeviceCore,
    output: MmioInterruptOutput,
  ) {
    this.words = core.registers.transport;
    this.line = 'line' in output ? output.line : undefined;
    this.edge = 'edge' in output ? output.edge : undefined;
    core.setTransport(this);
  }

  read(offset: number, size: AccessSize): number {
    if (offset >= MmioRegister.Config) {
      return this.core.readConfig(offset - MmioRegister.Config, size);
    }
    if (size !== 4 || offset % 4 !== 0) return 0;
    return this.readRegister(offset) >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (offset >= MmioRegister.Config) {
      this.core.writeConfig(offset - MmioRegister.Config, size, value);
    } else if (size === 4 && offset % 4 === 0) {
      this.writeRegister(offset, value >>> 0);
    }
  }

  private selected(word: Word): number {
    return this.words[word]! >>> 0;
  }

  private readRegister(offset: MmioRegister): number {
    const { core } = this;
    switch (offset) {
      case MmioRegister.MagicValue:
        return MAGIC;
      case MmioRegister.Version:
        return VERSION;
      case MmioRegister.DeviceId:
        return core.device.type;
      case MmioRegister.VendorId:
        return VENDOR_ID;
      case MmioRegister.DeviceFeatures:
        return core.deviceFeatures(this.selected(Word.DeviceFeaturesSel));
      case MmioRegister.QueueSizeMax:
        return core.queues.maximumSize(this.selected(Word.QueueSel));
      case MmioRegister.QueueReady:
        return core.queues.ready(this.selected(Word.QueueSel)) ? 1 : 0;
      case MmioRegister.InterruptStatus:
        return Atomics.load(this.words, Word.InterruptStatus);
      case MmioRegister.Status:
        return core.readStatus();
      case MmioRegister.QueueReset:
        return core.queueResetting(this.selected(Word.QueueSel)) ? 1 : 0;
      case MmioRegister.ConfigGeneration:
        return core.configGeneration;
      default:
        return this.readSharedMemory(offset);
    }
  }

  /** Length and base of the selected region; all ones without one. */
  private readSharedMemory(offset: MmioRegister): number {
    if (offset < MmioRegister.ShmLenLow || offset > MmioRegister.ShmBaseHigh) return 0;
    const region = this.core.sharedMemory(this.selected(Word.ShmSel));
    if (region === undefined) return 0xffff_ffff;
    const value = offset < MmioRegister.ShmBaseLow ? region.length : region.address;
    const high = offset === MmioRegister.ShmLenHigh || offset === MmioRegister.ShmBaseHigh;
    return high ? Math.floor(value / 2 ** 32) : value % 2 ** 32;
  }

  private writeRegister(offset: MmioRegister, value: number): void {
    const { core, words } = this;
    switch (offset) {
      case MmioRegister.DeviceFeaturesSel:
        words[Word.DeviceFeaturesSel] = value;
        break;
      case MmioRegister.DriverFeatures:
        core.writeDriverFeatures(this.selected(Word.DriverFeaturesSel), value);
        break;
      case MmioRegister.DriverFeaturesSel:
        words[Word.DriverFeaturesSel] = value;
        break;
      case MmioRegister.QueueSel:
        words[Word.QueueSel] = value;
        break;
      case MmioRegister.QueueNotify:
        core.kick(value);
        break;
      case MmioRegister.InterruptAck:
        this.acknowledge(value);
        break;
      case MmioRegister.Status:
        core.writeStatus(value);
        break;
      case MmioRegister.ShmSel:
        words[Word.ShmSel] = value;
        break;
      default:
        this.writeQueueRegister(offset, this.selected(Word.QueueSel), value);
    }
  }

  private writeQueueRegister(offset: MmioRegister, queue: number, value: number): void {
    const { core } = this;
    switch (offset) {
      case MmioRegister.QueueSize:
        core.setQueueSize(queue, value);
        break;
      case MmioRegister.QueueReady:
        if (value === 1) core.enableQueue(queue);
        else if (value === 0) core.stopQueue(queue);
        break;
      case MmioRegister.QueueReset:
        if (value === 1) core.resetQueue(queue);
        break;
      case MmioRegister.QueueDescLow:
      case MmioRegister.QueueDescHigh:
        core.setQueueAddress(queue, QueueArea.Descriptor, offset % 8 === 4, value);
        break;
      case MmioRegister.QueueDriverLow:
      case MmioRegister.QueueDriverHigh:
        core.setQueueAddress(queue, QueueArea.Driver, offset % 8 === 4, value);
        break;
      case MmioRegister.QueueDeviceLow:
      case MmioRegister.QueueDeviceHigh:
        core.setQueueAddress(queue, QueueArea.Device, offset % 8 === 4, value);
        break;
      default:
      // Read-only and undefined registers.
    }
  }

  usedBuffers(): void {
    this.raise(MmioInterrupt.UsedBuffer);
  }

  configChanged(): void {
    this.raise(MmioInterrupt.ConfigChange);
  }

  /** Sets an event; a new one is an edge, and the first one raises the line. */
  private raise(event: MmioInterrupt): void {
    const before = Atomics.or(this.words, Word.InterruptStatus, event);
    if ((before & event) !== 0) return;
    this.edge?.ring();
    if (before === 0) this.line?.set(true);
  }

  private acknowledge(events: number): void {
    this.core.lock();
    const before = this.words[Word.InterruptStatus]!;
    const after = before & ~events;
    this.words[Word.InterruptStatus] = after;
    if (before !== 0 && after === 0) this.line?.set(false);
    this.core.unlock();
  }

  reset(): void {
    const { words } = this;
    const before = words[Word.InterruptStatus]!;
    words.fill(0);
    if (before !== 0) this.line?.set(false);
  }
}
