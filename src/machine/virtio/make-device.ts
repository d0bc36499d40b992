/** From a device's plain description to this thread's object of its class. */
import type { Doorbell } from '../../bus/device.js';
import { BalloonDevice } from '../../devices/virtio/balloon/balloon.js';
import { BlockDevice } from '../../devices/virtio/block/block-device.js';
import { ConsoleDevice } from '../../devices/virtio/console/console.js';
import type { VirtioDevice } from '../../devices/virtio/device.js';
import { FsDevice } from '../../devices/virtio/fs/fs.js';
import { NetDevice } from '../../devices/virtio/net/net.js';
import { PmemDevice } from '../../devices/virtio/pmem/pmem.js';
import { RngDevice } from '../../devices/virtio/rng/rng.js';
import { VsockDevice } from '../../devices/virtio/vsock/vsock.js';
import type { DeviceSpec, UserModule } from './device-spec.js';
import type { DeviceBackend } from './make-backend.js';
import { loadExport } from './user-module.js';

/** What a thread offers the devices it makes. */
export interface DeviceSurroundings {
  /** Wakes the main thread for this device. */
  readonly hostDoorbell: Doorbell;
  /** In threads that serve queues. */
  readonly backend?: DeviceBackend;
}

/** A class that a device module exports. */
export type DeviceClass = new (options: unknown, surroundings: DeviceSurroundings) => VirtioDevice;

/** Classes by the modules they come from. */
export type DeviceClasses = ReadonlyMap<UserModule, DeviceClass>;

/**
 * Loads the modules of devices that are not vexit's own.
 * @throws VexitError ERR_CONFIG
 */
export async function loadDeviceClasses(specs: readonly DeviceSpec[]): Promise<DeviceClasses> {
  const classes = new Map<UserModule, DeviceClass>();
  for (const spec of specs) {
    if (spec.kind !== 'module') continue;
    classes.set(spec.options, (await loadExport(spec.options)) as DeviceClass);
  }
  return classes;
}

/** Makes the device of a description. */
export function makeDevice(
  spec: DeviceSpec,
  classes: DeviceClasses,
  surroundings: DeviceSurroundings,
): VirtioDevice {
  const { hostDoorbell, backend } = surroundings;
  switch (spec.kind) {
    case 'rng':
      return new RngDevice(spec.options);
    case 'balloon':
      return new BalloonDevice({ ...spec.options, statisticsDoorbell: hostDoorbell });
    case 'block':
      return new BlockDevice(spec.options, backend?.block);
    case 'console':
      return new ConsoleDevice({ ...spec.options, doorbell: hostDoorbell });
    case 'pmem': {
      const flush = backend?.pmemFlush;
      return new PmemDevice({ ...spec.options, ...(flush === undefined ? {} : { flush }) });
    }
    case 'net':
      return new NetDevice(spec.options, backend?.networks);
    case 'fs': {
      const server = backend?.fileServer;
      return new FsDevice({ ...spec.options, ...(server === undefined ? {} : { server }) });
    }
    case 'vsock': {
      const { cid } = spec.options;
      const host = backend?.vsock;
      return new VsockDevice(host === undefined ? { cid } : { cid, backend: host });
    }
    case 'module':
      return new (classes.get(spec.options)!)(spec.options.options, surroundings);
  }
}
