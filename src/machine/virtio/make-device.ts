/** From a device's plain description to this thread's object of its class. */
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Doorbell } from '../../bus/device.js';
import { BalloonDevice } from '../../devices/virtio/balloon/balloon.js';
import type { VirtioDevice } from '../../devices/virtio/device.js';
import { RngDevice } from '../../devices/virtio/rng/rng.js';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import type { DeviceModule, DeviceSpec } from './device-spec.js';

/** What a thread offers the devices it makes. */
export interface DeviceSurroundings {
  /** Wakes the main thread for this device. */
  readonly hostDoorbell: Doorbell;
}

/** A class that a device module exports. */
export type DeviceClass = new (options: unknown, surroundings: DeviceSurroundings) => VirtioDevice;

/** Classes by the modules they come from. */
export type DeviceClasses = ReadonlyMap<DeviceModule, DeviceClass>;

/** What a module exports, be it CommonJS or ECMAScript. */
async function importModule(name: string): Promise<Record<string, unknown>> {
  const require = createRequire(path.join(process.cwd(), 'package.json'));
  const file = require.resolve(name);
  try {
    return require(file) as Record<string, unknown>;
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ERR_REQUIRE_ESM' && code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error;
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  }
}

async function loadClass(description: DeviceModule): Promise<DeviceClass> {
  const { module, export: name = 'default' } = description;
  let exports: Record<string, unknown>;
  try {
    exports = await importModule(module);
  } catch (error) {
    throw new VexitError(
      'ERR_CONFIG',
      `the device module ${module} cannot be loaded: ${errorMessage(error)}`,
      'give the path of a JavaScript module, or a package',
      { cause: error },
    );
  }
  // A CommonJS module's exports may only be below `default`.
  const found = exports[name] ?? (exports.default as Record<string, unknown> | undefined)?.[name];
  if (typeof found === 'function') return found as DeviceClass;
  throw new VexitError('ERR_CONFIG', `${module} exports no class ${name}`, 'name one that it has');
}

/**
 * Loads the modules of devices that are not vexit's own.
 * @throws VexitError ERR_CONFIG
 */
export async function loadDeviceClasses(specs: readonly DeviceSpec[]): Promise<DeviceClasses> {
  const classes = new Map<DeviceModule, DeviceClass>();
  for (const spec of specs) {
    if (spec.kind === 'module') classes.set(spec.options, await loadClass(spec.options));
  }
  return classes;
}

/** Makes the device of a description. */
export function makeDevice(
  spec: DeviceSpec,
  classes: DeviceClasses,
  surroundings: DeviceSurroundings,
): VirtioDevice {
  switch (spec.kind) {
    case 'rng':
      return new RngDevice(spec.options);
    case 'balloon':
      return new BalloonDevice({
        ...spec.options,
        statisticsDoorbell: surroundings.hostDoorbell,
      });
    case 'module':
      return new (classes.get(spec.options)!)(spec.options.options, surroundings);
  }
}
