/**
 * What a virtio device implements, and what it is given. A device knows neither the transport it
 * is behind nor the format of its rings.
 *
 * Every thread that runs the device has its own object of the class. What must survive a turn, be
 * seen by another thread or be part of a snapshot goes into the state bytes of the
 * {@link DeviceContext}, which are shared memory; fields of the object hold scratch space only.
 */
import type { DescriptorChain } from './queue/descriptor-chain.js';
import type { GuestRam } from './queue/guest-ram.js';
import type { VirtQueue } from './queue/virt-queue.js';
import type { SiteLog } from './site-log.js';

/** Bytes of one access to the configuration space. */
export type ConfigAccessSize = 1 | 2 | 4;

/** A range of guest physical memory that a device has beside RAM (virtio 1.2, 2.10). */
export interface SharedMemoryRegion {
  readonly address: number;
  readonly length: number;
}

/** A feature bit, and the ones it cannot be used without. */
export interface FeatureRule {
  readonly feature: number;
  readonly requires: readonly number[];
}

/** The surroundings of a device, given to {@link VirtioDevice.attach}. */
export interface DeviceContext {
  /** The device's own registers: {@link VirtioDevice.stateBytes} of shared memory, zeroed at first. */
  readonly state: Uint8Array<SharedArrayBuffer>;
  readonly ram: GuestRam;
  readonly log: SiteLog;
  /** True when the driver has accepted the feature bit. */
  hasFeature(bit: number): boolean;
  /** A chain that takes everything the device's queues can hold. Make them in `attach`. */
  createChain(): DescriptorChain;
  /**
   * The configuration space has changed other than by the driver: its generation goes up and the
   * driver is told. Change it between {@link lock} and {@link unlock}, so that nobody reads half.
   */
  configChanged(): void;
  /** Holds register accesses of the driver off; can be nested within a thread. */
  lock(): void;
  unlock(): void;
  /**
   * Runs `turn` with the queue locked, outside of `process`: to finish chains when their I/O is
   * done, or to fill some that have waited. Chains can be pushed in it at any time and popped while
   * the device is running.
   * @param budget chains that can be popped, if not {@link VirtioDevice.budget}
   */
  runQueue(index: number, turn: (queue: VirtQueue) => void, budget?: number): void;
  /**
   * Has `process` called for a queue after so many milliseconds; the earliest call counts. With 0,
   * the queue has its turn as if the driver had kicked it.
   */
  processLater(index: number, milliseconds: number): void;
}

/** A virtio device. */
export interface VirtioDevice {
  /** Device type (virtio 1.2, section 5). */
  readonly type: number;
  /** For log lines. */
  readonly name: string;
  /** Feature bits offered, without those of rings and transports, which the core adds. */
  readonly features: readonly number[];
  readonly featureRules?: readonly FeatureRule[];
  /** Largest size of each queue, powers of two up to 32768. */
  readonly queueSizes: readonly number[];
  /** Bytes of configuration space; reads behind it give zero. */
  readonly configBytes: number;
  /** Bytes of {@link DeviceContext.state} the device needs. */
  readonly stateBytes: number;
  /**
   * For each queue a number: queues with the same number are served by the same thread, so that
   * they can share what is not in the state (a socket, a file's backend). Without it, all are.
   */
  readonly queueGroups?: readonly number[];
  /** Called after each turn of a queue, when other queues can be run. */
  afterTurn?(): void;
  /** Chains of one queue handled in one turn, before others have theirs; 64 unless given. */
  readonly budget?: number;

  /** Called once per thread, before anything else. */
  attach(context: DeviceContext): void;
  /**
   * Takes what the device needs of the host (sockets), before its first turn. Called in the thread
   * that serves the queues only; `close` is its counterpart.
   */
  open?(): Promise<void>;
  /** Reads configuration space, little-endian. Allowed at any time, before negotiation too. */
  readConfig(offset: number, size: ConfigAccessSize): number;
  /** The driver writes configuration space. Without it, writes are ignored. */
  writeConfig?(offset: number, size: ConfigAccessSize, value: number): void;
  /** False refuses a set of features that the rules allow: FEATURES_OK stays clear. */
  acceptFeatures?(has: (bit: number) => boolean): boolean;
  /** The driver has set DRIVER_OK. */
  driverOk?(): void;
  /**
   * The driver has made chains available in a queue, or may have: handle them until `pop` says that
   * there are no more. The queue is locked; an exception puts the device into DEVICE_NEEDS_RESET.
   */
  process(queue: VirtQueue): void;
  /** Back to the state after power-on; tokens in flight have no effect any more. */
  reset?(): void;
  /**
   * A queue was to be served while the device does not run. In the thread that serves the queues,
   * and so the place to let go of the host's things after a reset: `reset` is called in the driver's
   * thread, and its `processLater` with 0 leads here.
   */
  halted?(): void;
  /** One queue has been reset or stopped; its tokens in flight have no effect any more. */
  queueReset?(index: number): void;
  /**
   * Takes no more chains, and resolves when none is in flight in this thread: the machine is being
   * paused. For devices that go on by themselves, when I/O ends.
   */
  hold?(): Promise<void>;
  /** Goes on after {@link hold}. */
  release?(): void;
  /**
   * The machine is switched off: gives up what this thread's object holds of the host (files,
   * sockets). Called in the thread that serves the queues only.
   */
  close?(): Promise<void>;
  /** A shared memory region by its id. */
  sharedMemory?(id: number): SharedMemoryRegion | undefined;
}

/** Reads a little-endian number from bytes; for configuration spaces that are kept as bytes. */
export function readLittleEndian(bytes: Uint8Array, offset: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value += (bytes[offset + i] ?? 0) * 2 ** (8 * i);
  return value;
}

/** Writes a little-endian number into bytes. */
export function writeLittleEndian(
  bytes: Uint8Array,
  offset: number,
  size: number,
  value: number,
): void {
  for (let i = 0; i < size; i++) bytes[offset + i] = Math.floor(value / 2 ** (8 * i)) % 256;
}
