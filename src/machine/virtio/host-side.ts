/** What the main thread does for a virtio device. */
export interface HostSide {
  /** The device has rung. */
  onDoorbell(): void;
}
