/** Disks of a module's own, for every thread that needs one. */
import type { BlockBackend } from '../../block/backend.js';
import type { UserModule } from './device-spec.js';
import { loadExport } from './user-module.js';

/** What the module of a disk exports. */
export type BackendFactory = (options: unknown) => BlockBackend | Promise<BlockBackend>;

/**
 * Makes the backend that a module exports.
 * @throws VexitError ERR_CONFIG, and what the module throws
 */
export async function userBackend(description: UserModule): Promise<BlockBackend> {
  const factory = (await loadExport(description)) as BackendFactory;
  return factory(description.options);
}
