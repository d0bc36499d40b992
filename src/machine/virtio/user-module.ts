/** Loads what a library user has written: classes of devices, backends. */
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import type { UserModule } from './device-spec.js';

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

/**
 * The function or class that a module exports.
 * @throws VexitError ERR_CONFIG
 */
export async function loadExport(description: UserModule): Promise<unknown> {
  const { module, export: name = 'default' } = description;
  let exports: Record<string, unknown>;
  try {
    exports = await importModule(module);
  } catch (error) {
    throw new VexitError(
      'ERR_CONFIG',
      `the module ${module} cannot be loaded: ${errorMessage(error)}`,
      'give the path of a JavaScript module, or a package',
      { cause: error },
    );
  }
  // A CommonJS module's exports may only be below `default`.
  const found = exports[name] ?? (exports.default as Record<string, unknown> | undefined)?.[name];
  if (typeof found === 'function') return found;
  throw new VexitError(
    'ERR_CONFIG',
    `${module} exports no function or class ${name}`,
    'name one that it has',
  );
}
