/** Where built guests are kept, and how they get there whole or not at all. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ProcessLock } from '../io/process-lock.js';
import { VexitError, errorMessage, systemCode } from '../util/errors.js';
import { withInterrupt } from './interrupt.js';

/** `$XDG_CACHE_HOME/vexit`, or `~/.cache/vexit`; a relative XDG_CACHE_HOME does not count. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const xdg = env.XDG_CACHE_HOME;
  const base = xdg !== undefined && path.isAbsolute(xdg) ? xdg : path.join(os.homedir(), '.cache');
  return path.join(base, 'vexit');
}

/** A short name for the inputs, the same for the same inputs. */
export function hashOf(inputs: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const input of inputs) {
    const bytes = Buffer.from(input);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex').slice(0, 16);
}

/** What {@link ensureArtifact} needs to know of a thing to build. */
export interface Recipe {
  /** Prefix of its directories in the cache: "kernel". */
  readonly name: string;
  /** Hash of the inputs that are ours: known at once, without asking the package manager. */
  readonly recipe: string;
  /** Hash of the host's inputs: versions of packages and tools. Asked for before a build only. */
  readonly host: (signal: AbortSignal) => Promise<string>;
  /** Fills the empty directory. */
  readonly build: (directory: string, signal: AbortSignal) => Promise<void>;
}

/** Waits for other builders, however long they take. */
async function lockCache(file: string, signal: AbortSignal): Promise<ProcessLock | undefined> {
  try {
    return await ProcessLock.acquire(file, Infinity, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new VexitError('ERR_GUEST_BUILD', `cannot lock ${file}: ${errorMessage(error)}`);
  }
}

async function currentOf(pointer: string): Promise<string | undefined> {
  try {
    const directory = path.join(
      path.dirname(pointer),
      path.basename(await readFile(pointer, 'utf8')),
    );
    await readdir(directory);
    return directory;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function removeLeftovers(cache: string, prefix: string): Promise<void> {
  const names = await readdir(cache);
  await Promise.all(
    names
      .filter((name) => name.startsWith(prefix))
      .map((name) => rm(path.join(cache, name), { recursive: true, force: true })),
  );
}

async function buildInto(cache: string, recipe: Recipe, signal: AbortSignal): Promise<string> {
  const prefix = `.${recipe.name}-tmp-`;
  // We hold the lock: whoever made these is gone.
  await removeLeftovers(cache, prefix);
  const finished = path.join(
    cache,
    `${recipe.name}-${hashOf([recipe.recipe, await recipe.host(signal)])}`,
  );
  const present = await readdir(finished).catch(() => undefined);
  if (present !== undefined) return finished;
  const temporary = await mkdtemp(path.join(cache, prefix));
  try {
    await recipe.build(temporary, signal);
    signal.throwIfAborted();
    await rename(temporary, finished);
    return finished;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch((failure: unknown) => {
      process.emitWarning(`cannot remove ${temporary}: ${errorMessage(failure)}`);
    });
    throw error;
  }
}

/**
 * The directory of a built thing, built first if there is none for this recipe. One process
 * builds at a time; the others wait for it. What is found is taken as it is, without looking
 * whether the host's packages have moved on: a warm start costs one file read.
 * @throws VexitError ERR_GUEST_BUILD if the lock cannot be taken, ERR_ABORTED when aborted
 */
export async function ensureArtifact(recipe: Recipe, signal?: AbortSignal): Promise<string> {
  const cache = cacheDirectory();
  const pointer = path.join(cache, `${recipe.name}-${recipe.recipe}.current`);
  const warm = await currentOf(pointer);
  if (warm !== undefined) return warm;
  await mkdir(cache, { recursive: true });
  return withInterrupt(signal, async (interruptible) => {
    const lock = await lockCache(path.join(cache, `${recipe.name}.lock`), interruptible);
    try {
      const builtMeanwhile = await currentOf(pointer);
      if (builtMeanwhile !== undefined) return builtMeanwhile;
      const directory = await buildInto(cache, recipe, interruptible);
      await writeFile(`${pointer}.new`, path.basename(directory));
      await rename(`${pointer}.new`, pointer);
      return directory;
    } finally {
      lock?.release();
    }
  });
}
