/** Where the socket of virtio-vsock of a managed VM is: in its directory, unless the options say where. */
import path from 'node:path';
import { vsockDevice, type VirtualMachineOptions } from '../machine/config.js';
import type { VmConfig } from './records.js';
import type { VmDirectory } from './vm-directory.js';

/** The place that the options name; undefined when they do not say. */
export function askedVsockPath({
  options: { vsock },
  directory,
}: Pick<VmConfig, 'options' | 'directory'>): string | undefined {
  if (typeof vsock !== 'object' || vsock.path === undefined) return undefined;
  return path.resolve(directory, vsock.path);
}

/** The same options with the socket, if there is to be one, in the VM's directory. */
export function withVsockPlace(
  options: VirtualMachineOptions,
  directory: VmDirectory,
): VirtualMachineOptions {
  const vsock = vsockDevice(options);
  if (vsock === false) return options;
  return { ...options, vsock: { path: directory.vsockSocket, ...(vsock === true ? {} : vsock) } };
}
