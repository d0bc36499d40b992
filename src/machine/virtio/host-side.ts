/** What the main thread does for a virtio device, over all power-ons of the VM. */
import type { VirtioDeviceCore } from '../../devices/virtio/index.js';

/** The device of the machine that is on; undefined while none is. */
export type PresentCore = () => VirtioDeviceCore | undefined;

/** The host's side of one device. */
export interface HostSide {
  /** The machine has been made, with new registers. */
  onPowerOn?(): void;
  /** The device has rung. */
  onDoorbell?(): void;
  /** The guest has been paused. */
  onPaused?(): void;
  /** The machine's threads have ended: the last chance to take what the device holds. */
  onStopped?(): void;
  /** The VM has ended for good. */
  end?(): void;
}
