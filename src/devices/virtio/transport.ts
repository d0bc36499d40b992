/** How a device core reaches its transport; see transport-mmio.ts for one. */

/** Notifications to the driver. All are called with the device's lock held. */
export interface Transport {
  /** A used buffer notification (virtio 1.2, 2.3). */
  usedBuffers(queueIndex: number): void;
  /** A configuration change notification. */
  configChanged(): void;
  /** The device has been reset: selectors and interrupts go back to their defaults. */
  reset(): void;
}

/** A core that no transport has been put in front of yet. */
export const NO_TRANSPORT: Transport = {
  usedBuffers: () => undefined,
  configChanged: () => undefined,
  reset: () => undefined,
};
