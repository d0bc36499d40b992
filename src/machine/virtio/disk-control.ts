/** The host's hand on one disk of a VM. */
import { BlockDevice } from '../../devices/virtio/block/block-device.js';
import type { DiskRateLimits } from '../../devices/virtio/block/block-options.js';
import type { BlockStatistics } from '../../devices/virtio/block/block-statistics.js';
import { diskRateLimits, type DiskLimits } from '../../devices/virtio/block/disk-device.js';
import { checkDisk } from '../../block/disk-option.js';
import { VexitError } from '../../util/errors.js';
import type { HostSide, PresentCore } from './host-side.js';

/** Gives the disk of a slot another size, in the threads that serve it. */
export type ResizeDisk = (slot: number, bytes: number) => Promise<void>;

/** Gives the disk of a slot other limits, in the threads that serve it. */
export type LimitDisk = (slot: number, limits: DiskRateLimits) => Promise<void>;

/** One disk, over all power-ons of its VM. */
export class DiskControl implements HostSide {
  private limits: DiskRateLimits | undefined;

  constructor(
    private readonly core: PresentCore,
    private readonly slot: number,
    private readonly resizeDisk: ResizeDisk,
    private readonly limitDisk: LimitDisk,
  ) {}

  private get device(): BlockDevice {
    const device = this.core()?.device;
    if (device instanceof BlockDevice) return device;
    throw new VexitError('ERR_STATE', 'the VM has ended: it has no disks any more');
  }

  /** Bytes, as the guest sees them. */
  get capacity(): number {
    return this.device.capacity;
  }

  /** What the guest has done since power-on. */
  get statistics(): BlockStatistics {
    return this.device.statistics;
  }

  /**
   * Gives the disk another size, and tells the guest. A smaller one loses what is behind its end.
   * @throws VexitError ERR_DISK when it cannot have that size; ERR_STATE unless the VM runs
   */
  async resize(bytes: number): Promise<void> {
    if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % 512 !== 0) {
      throw new VexitError(
        'ERR_CONFIG',
        `a disk cannot have ${bytes} bytes`,
        'give a multiple of 512',
      );
    }
    await this.resizeDisk(this.slot, bytes);
  }

  /**
   * Limits what the guest may do with the disk, from now on; a limit that is left out is none. Kept over
   * reboots.
   * @throws VexitError ERR_CONFIG for a limit that makes no sense; ERR_STATE unless the VM runs
   */
  async setRateLimit(limits: DiskLimits): Promise<void> {
    checkDisk({ path: String(this.slot), ...limits });
    const asked = diskRateLimits(limits);
    await this.limitDisk(this.slot, asked);
    this.limits = asked;
  }

  /** The machine has started, with the limits of its options. */
  onDoorbell(): void {
    // A machine that ends in this moment needs no limits.
    if (this.limits !== undefined) this.limitDisk(this.slot, this.limits).catch(() => undefined);
  }
}
