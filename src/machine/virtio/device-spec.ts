/**
 * Which virtio devices a machine has, as plain data: it goes to every thread, and every thread makes
 * its own objects from it (make-device.ts).
 */
import type { OpenDisk } from '../../block/open-disk.js';
import type { BalloonOptions } from '../../devices/virtio/balloon/balloon.js';
import type { BlockDeviceOptions } from '../../devices/virtio/block/block-options.js';
import type { ConsoleShape } from '../../devices/virtio/console/console-options.js';
import type { RngOptions } from '../../devices/virtio/rng/rng.js';
import type { IoEngineKind } from '../../io/index.js';

/** Something that a module of a library user exports, see docs/devices/virtio.md. */
export interface UserModule {
  /** Absolute path of the module, or the name of a package. */
  readonly module: string;
  /** Name of what it exports; default: `default`. */
  readonly export?: string;
  /** Given to it in every thread; must survive structured cloning. */
  readonly options?: unknown;
}

/** Where the blocks of a disk are. */
export type DiskSource =
  | { readonly kind: 'file'; readonly disk: OpenDisk; readonly engine: IoEngineKind | undefined }
  | { readonly kind: 'module'; readonly backend: UserModule };

/** One device. */
export type DeviceSpec =
  | { readonly kind: 'rng'; readonly options: Pick<RngOptions, 'limit'> }
  | { readonly kind: 'balloon'; readonly options: Omit<BalloonOptions, 'statisticsDoorbell'> }
  | {
      readonly kind: 'block';
      readonly options: BlockDeviceOptions;
      readonly source: DiskSource;
    }
  | { readonly kind: 'console'; readonly options: ConsoleShape }
  | {
      readonly kind: 'pmem';
      readonly options: { readonly address: number; readonly size: number };
      /** The file to flush; none for a read-only region. */
      readonly fd: number | undefined;
    }
  | { readonly kind: 'module'; readonly options: UserModule };
