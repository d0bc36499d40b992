/**
 * What all virtio devices have in common: status, negotiation, configuration, reset
 * (virtio 1.2, section 2), apart from the turns of their queues (queue-runner.ts).
 *
 * Driver side: a transport translates register accesses into these methods. The device's lock is
 * held inside; interrupts leave through {@link Transport}.
 */
import { readConfigSpace, writeConfigSpace } from './config-access.js';
import { Feature, Status } from './constants.js';
import { errorMessage } from '../../util/errors.js';
import type { ConfigAccessSize, SharedMemoryRegion } from './device.js';
import { CoreWord } from './device-registers.js';
import { hasBit } from './negotiation.js';
import type { QueueArea } from './queue/queue-registers.js';
import { QueueRunner } from './queue-runner.js';

/** What the driver does, in the order it has to (3.1.1). */
const STEPS = [Status.Acknowledge, Status.Driver, Status.FeaturesOk, Status.DriverOk] as const;
const DRIVER_BITS = STEPS.reduce((sum, bit) => sum | bit, Status.Failed);
const FEATURE_WORDS = 4;

/** A virtio device without its transport. One object a thread, all over the same registers. */
export class VirtioDeviceCore extends QueueRunner {
  /** Device status as the driver reads it; 0 once a reset is complete. */
  readStatus(): number {
    this.lock();
    this.finishReset();
    const status = this.words[CoreWord.Status]!;
    this.unlock();
    return status;
  }

  /**
   * The driver writes device status. Bits are set in the order of initialization and cleared by a
   * reset only; what comes out of order or is reserved is ignored.
   */
  writeStatus(value: number): void {
    if (value === 0) {
      this.reset();
      return;
    }
    this.lock();
    this.finishReset();
    const before = this.words[CoreWord.Status]!;
    let status = before;
    if (this.words[CoreWord.Resetting] === 0 && (before & Status.Failed) === 0) {
      status = this.advance(before, value & DRIVER_BITS);
      this.words[CoreWord.Status] = status;
    }
    const started = (status & ~before & Status.DriverOk) !== 0;
    if (started && (status & Status.NeedsReset) !== 0) this.transport.configChanged();
    this.unlock();
    if (started) this.start();
  }

  /** The status after the driver has asked for some bits. */
  private advance(before: number, asked: number): number {
    if ((asked & Status.Failed) !== 0) return before | Status.Failed;
    let status = before;
    for (const bit of STEPS) {
      if ((status & bit) !== 0) continue;
      if ((asked & bit) === 0) break;
      if (bit === Status.FeaturesOk) {
        const problem = this.featuresProblem();
        if (problem !== undefined) {
          this.log.warn('negotiation', `${this.device.name}: the driver accepts ${problem}`);
          break;
        }
      }
      status |= bit;
    }
    return status;
  }

  private featuresProblem(): string | undefined {
    const { words } = this;
    if (words[CoreWord.DriverFeaturesBeyond] !== 0) return 'features that were not offered';
    return this.features.problem(words, CoreWord.DriverFeatures0);
  }

  /** The driver is there: buffers it made available before are looked at now. */
  private start(): void {
    try {
      this.device.driverOk?.();
    } catch (error) {
      this.fail(error);
    }
    for (let i = 0; i < this.queues.count; i++) if (this.queues.ready(i)) this.kick(i);
  }

  /** 32 offered feature bits. */
  deviceFeatures(select: number): number {
    return this.features.words[select] ?? 0;
  }

  /** 32 accepted feature bits, as the driver has written them. */
  driverFeatures(select: number): number {
    return select < FEATURE_WORDS ? this.words[CoreWord.DriverFeatures0 + select]! >>> 0 : 0;
  }

  /** The driver accepts 32 feature bits; ignored from FEATURES_OK on (3.1.1). */
  writeDriverFeatures(select: number, bits: number): void {
    this.lock();
    const { words } = this;
    if ((words[CoreWord.Status]! & Status.FeaturesOk) === 0) {
      if (select < FEATURE_WORDS) words[CoreWord.DriverFeatures0 + select] = bits;
      else if (bits !== 0) words[CoreWord.DriverFeaturesBeyond] = 1;
    }
    this.unlock();
  }

  /** Reads configuration space, at any time. */
  readConfig(offset: number, size: ConfigAccessSize): number {
    this.lock();
    try {
      return readConfigSpace(this.device, offset, size);
    } catch (error) {
      this.fail(error);
      return 0;
    } finally {
      this.unlock();
    }
  }

  /** Writes configuration space. */
  writeConfig(offset: number, size: ConfigAccessSize, value: number): void {
    this.lock();
    try {
      writeConfigSpace(this.device, offset, size, value);
    } catch (error) {
      this.fail(error);
    } finally {
      this.unlock();
    }
  }

  /** Changes when the driver may have read one half before and the other after a change (2.5). */
  get configGeneration(): number {
    return Atomics.load(this.words, CoreWord.ConfigGeneration) >>> 0;
  }

  /** A shared memory region of the device. */
  sharedMemory(id: number): SharedMemoryRegion | undefined {
    return this.device.sharedMemory?.(id);
  }

  /**
   * True while the driver may set queues up: between FEATURES_OK and DRIVER_OK, and with RING_RESET
   * later too.
   */
  private get configurable(): boolean {
    const { words } = this;
    const status = words[CoreWord.Status]!;
    if (words[CoreWord.Resetting] !== 0 || (status & Status.FeaturesOk) === 0) return false;
    return (status & Status.DriverOk) === 0 || this.ringReset;
  }

  /** VIRTIO_F_RING_RESET has been negotiated. */
  get ringReset(): boolean {
    const { words } = this;
    if ((words[CoreWord.Status]! & Status.FeaturesOk) === 0) return false;
    return hasBit(words, CoreWord.DriverFeatures0, Feature.RingReset);
  }

  setQueueSize(index: number, size: number): void {
    this.lock();
    if (this.configurable) this.queues.setSize(index, size);
    this.unlock();
  }

  setQueueAddress(index: number, area: QueueArea, high: boolean, value: number): void {
    this.lock();
    if (this.configurable) this.queues.setAddressHalf(index, area, high, value);
    this.unlock();
  }

  /** Makes a queue ready; one that cannot work puts the device into DEVICE_NEEDS_RESET. */
  enableQueue(index: number): void {
    this.lock();
    try {
      if (!this.configurable) return;
      const problem = this.queues.enable(index, {
        eventIndex: this.hasFeature(Feature.EventIndex),
        indirect: this.hasFeature(Feature.IndirectDescriptors),
      });
      if (problem !== undefined) this.fail(problem);
    } finally {
      this.unlock();
    }
  }

  /** Stops a queue; waits for its chains in flight, see {@link CoreOptions.drainMilliseconds}. */
  stopQueue(index: number): void {
    this.lock();
    const stops = this.queues.ready(index);
    if (stops) {
      this.queues.reset(index);
      try {
        this.device.queueReset?.(index);
      } catch (error) {
        this.fail(error);
      }
    }
    this.unlock();
    if (stops && this.queues.draining(index)) this.queues.waitDrained(this.drainMilliseconds);
  }

  /** Resets a queue, if VIRTIO_F_RING_RESET has been negotiated (2.6.1). */
  resetQueue(index: number): void {
    if (this.ringReset) this.stopQueue(index);
  }

  /** A reset of the queue is not complete. */
  queueResetting(index: number): boolean {
    return this.ringReset && !this.queues.ready(index) && this.queues.draining(index);
  }

  /** Back to power-on state (2.4); complete when all chains in flight have come back. */
  reset(): void {
    this.lock();
    const { words } = this;
    words[CoreWord.Resetting] = 1;
    for (let i = 0; i < this.queues.count; i++) this.queues.reset(i);
    words.fill(0, CoreWord.DriverFeatures0, CoreWord.DriverFeaturesBeyond + 1);
    this.resetDevice();
    this.transport.reset();
    this.finishReset();
    const waiting = words[CoreWord.Resetting] !== 0;
    this.unlock();
    if (!waiting) return;
    this.queues.waitDrained(this.drainMilliseconds);
    this.readStatus();
  }

  private resetDevice(): void {
    try {
      this.device.reset?.();
    } catch (error) {
      this.log.warn('reset', `${this.device.name}: its reset failed: ${errorMessage(error)}`);
    }
  }

  private finishReset(): void {
    const { words } = this;
    if (words[CoreWord.Resetting] === 0 || this.queues.draining()) return;
    words[CoreWord.Status] = 0;
    words[CoreWord.Resetting] = 0;
  }
}
