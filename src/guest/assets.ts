/** The files of this folder that are not TypeScript. */
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { VexitError } from '../util/errors.js';

/** A file of src/guest. */
export interface Asset {
  readonly name: string;
  readonly file: string;
  readonly bytes: Buffer;
}

/** src/guest of the package, from wherever the bundler put this code. */
export function assetDirectory(): string {
  for (let from = __dirname; from !== path.dirname(from); from = path.dirname(from)) {
    const directory = path.join(from, 'src', 'guest');
    if (existsSync(path.join(directory, 'kernel.config'))) return directory;
  }
  throw new VexitError('ERR_GUEST_BUILD', 'the package does not hold src/guest/kernel.config');
}

async function readAsset(directory: string, name: string): Promise<Asset> {
  const file = path.join(directory, name);
  return { name, file, bytes: await readFile(file) };
}

/** The fragment of the kernel's configuration. */
export function kernelFragment(): Promise<Asset> {
  return readAsset(assetDirectory(), 'kernel.config');
}

/** The files of a sub-folder with a suffix, in the order of their names. */
export async function assetsOf(folder: string, suffix: RegExp): Promise<Asset[]> {
  const directory = path.join(assetDirectory(), folder);
  const names = (await readdir(directory)).filter((name) => suffix.test(name)).sort();
  return Promise.all(names.map((name) => readAsset(directory, name)));
}

/** What goes into a hash for these files. */
export function contentOf(assets: readonly Asset[]): (string | Uint8Array)[] {
  return assets.flatMap(({ name, bytes }) => [name, bytes]);
}
