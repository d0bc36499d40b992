/** Changes of a VM's disks and networks: in the machine that is on, and in what it was created with. */
import type { DiskLimits } from '../devices/virtio/block/disk-device.js';
import type { NetLimitOptions } from '../devices/virtio/net/net-limits.js';
import type { VirtualMachineOptions } from '../machine/config.js';
import { netSettings } from '../machine/device-options.js';
import type { VirtualMachine } from '../machine/virtual-machine.js';
import { VexitError } from '../util/errors.js';

/** A change of a disk. */
export interface DiskUpdate {
  /** In the order of the options, from 0. */
  readonly index: number;
  /** Bytes; only while the VM runs. */
  readonly size?: number;
  /** Instead of those before; one that is left out is none. */
  readonly limits?: DiskLimits;
}

/** A change of a network interface. */
export interface NetworkUpdate {
  /** In the order of the options, from 0. */
  readonly index: number;
  /** Instead of those before; one that is left out is none. */
  readonly limits: NetLimitOptions;
}

/** Changes of devices. */
export interface DeviceUpdates {
  readonly disks?: readonly DiskUpdate[];
  readonly networks?: readonly NetworkUpdate[];
}

function device<T>(all: readonly T[], what: string, index: number): T {
  const found = all[index];
  if (found !== undefined) return found;
  const there = all.length === 0 ? `it has no ${what}s` : `it has 0 to ${all.length - 1}`;
  throw new VexitError('ERR_CONFIG', `the VM has no ${what} ${index}`, there);
}

/**
 * Changes the devices of a machine that is on.
 * @throws VexitError ERR_CONFIG for devices that are not there, and what cannot be; ERR_STATE, ERR_DISK
 */
export async function updateDevices(
  { disks: present, networks: interfaces }: Pick<VirtualMachine, 'disks' | 'networks'>,
  { disks = [], networks = [] }: DeviceUpdates,
): Promise<void> {
  for (const { index } of disks) device(present, 'disk', index);
  for (const { index } of networks) device(interfaces, 'network', index);
  for (const { index, limits, size } of disks) {
    const disk = device(present, 'disk', index);
    if (limits !== undefined) await disk.setRateLimit(limits);
    if (size !== undefined) await disk.resize(size);
  }
  for (const { index, limits } of networks) {
    await device(interfaces, 'network', index).setRateLimit(limits);
  }
}

/** A copy without some keys. */
function without<T extends object>(value: T, keys: readonly string[]): T {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key))) as T;
}

const DISK_LIMITS = ['bytesPerSecond', 'bytesBurst', 'operationsPerSecond', 'operationsBurst'];

/**
 * The options with the limits that devices have from now on.
 * @throws VexitError ERR_CONFIG for devices that are not there
 */
export function withDeviceUpdates(
  options: VirtualMachineOptions,
  { disks = [], networks = [] }: DeviceUpdates,
): VirtualMachineOptions {
  const all = [...(options.disks ?? [])];
  for (const { index, limits } of disks) {
    const disk = device(all, 'disk', index);
    if (limits !== undefined) all[index] = { ...without(disk, DISK_LIMITS), ...limits };
  }
  const interfaces = [...netSettings(options)];
  for (const { index, limits } of networks) {
    const settings = device(interfaces, 'network', index);
    interfaces[index] = { ...without(settings, ['tx', 'rx']), ...limits };
  }
  return {
    ...options,
    ...(disks.length === 0 ? {} : { disks: all }),
    ...(networks.length === 0 ? {} : { net: interfaces }),
  };
}
