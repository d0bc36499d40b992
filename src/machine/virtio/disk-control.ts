/** The host's hand on one disk of a VM. */
import { BlockDevice } from '../../devices/virtio/block/block-device.js';
import type { BlockStatistics } from '../../devices/virtio/block/block-statistics.js';
import { VexitError } from '../../util/errors.js';
import type { PresentCore } from './host-side.js';

/** Gives the disk of a slot another size, in the threads that serve it. */
export type ResizeDisk = (slot: number, bytes: number) => Promise<void>;

/** One disk. */
export class DiskControl {
  constructor(
    private readonly core: PresentCore,
    private readonly slot: number,
    private readonly resizeDisk: ResizeDisk,
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
}
