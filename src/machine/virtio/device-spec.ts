/**
 * Which virtio devices a machine has, as plain data: it goes to every thread, and every thread makes
 * its own objects from it (make-device.ts).
 */
import type { BalloonOptions } from '../../devices/virtio/balloon/balloon.js';
import type { RngOptions } from '../../devices/virtio/rng/rng.js';

/** A device of a library user: a class that a module exports, see docs/devices/virtio.md. */
export interface DeviceModule {
  /** Absolute path of the module, or the name of a package. */
  readonly module: string;
  /** Name of the exported class; default: `default`. */
  readonly export?: string;
  /** Given to the constructor in every thread; must survive structured cloning. */
  readonly options?: unknown;
}

/** One device. */
export type DeviceSpec =
  | { readonly kind: 'rng'; readonly options: Pick<RngOptions, 'limit'> }
  | { readonly kind: 'balloon'; readonly options: Omit<BalloonOptions, 'statisticsDoorbell'> }
  | { readonly kind: 'module'; readonly options: DeviceModule };
