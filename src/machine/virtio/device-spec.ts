/**
 * Which virtio devices a machine has, as plain data: it goes to every thread, and every thread makes
 * its own objects from it (make-device.ts).
 */
import type { OpenDisk } from '../../block/open-disk.js';
import type { BalloonOptions } from '../../devices/virtio/balloon/balloon.js';
import type { BlockDeviceOptions } from '../../devices/virtio/block/block-options.js';
import type { ConsoleShape } from '../../devices/virtio/console/console-options.js';
import type { FsOptions } from '../../devices/virtio/fs/fs.js';
import type { NetDeviceOptions } from '../../devices/virtio/net/net-options.js';
import type { RngOptions } from '../../devices/virtio/rng/rng.js';
import type { HostDirectoryOptions } from '../../fs/index.js';
import type { IoEngineKind } from '../../io/index.js';
import type { LanPlace } from '../../net/lan/join.js';
import type { LanListing } from '../../net/lan/lan-names.js';
import type { UserNetOptions } from '../../net/options.js';
import type { OpenTap } from '../../net/tap/open-tap.js';
import type { VsockConfig } from '../vsock/vsock-option.js';

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

/** What a network interface is connected to. */
export type NetSource =
  | {
      readonly kind: 'user';
      readonly options: UserNetOptions;
      /** LANs that the guest is also on: their names are known here too. */
      readonly lans: readonly LanListing[];
    }
  | LanPlace
  | OpenTap;

/** What a shared directory shows. */
export type ShareSource =
  | { readonly kind: 'host'; readonly path: string; readonly options: HostDirectoryOptions }
  | { readonly kind: 'module'; readonly fileSystem: UserModule };

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
      readonly kind: 'net';
      readonly options: NetDeviceOptions;
      readonly network: NetSource;
    }
  | {
      readonly kind: 'fs';
      readonly options: Pick<FsOptions, 'tag' | 'requestQueues'>;
      readonly source: ShareSource;
    }
  | {
      readonly kind: 'pmem';
      readonly options: { readonly address: number; readonly size: number };
      /** The file to flush; none for a read-only region. */
      readonly fd: number | undefined;
    }
  | { readonly kind: 'vsock'; readonly options: Required<VsockConfig> }
  | { readonly kind: 'module'; readonly options: UserModule };
