/** Configuration space at any offset and width (virtio 1.2, 2.5), whatever the device expects. */
import type { ConfigAccessSize, VirtioDevice } from './device.js';

/** Reads it; bytes behind its end are zero. */
export function readConfigSpace(
  device: VirtioDevice,
  offset: number,
  size: ConfigAccessSize,
): number {
  if (offset + size <= device.configBytes) return device.readConfig(offset, size);
  let value = 0;
  for (let i = 0; i < size && offset + i < device.configBytes; i++) {
    value += device.readConfig(offset + i, 1) * 2 ** (8 * i);
  }
  return value;
}

/** Writes it; what is behind its end is ignored, and so are accesses across it. */
export function writeConfigSpace(
  device: VirtioDevice,
  offset: number,
  size: ConfigAccessSize,
  value: number,
): void {
  if (offset + size <= device.configBytes) device.writeConfig?.(offset, size, value);
}
