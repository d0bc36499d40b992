import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { cacheDirectory, ensureArtifact, hashOf, type Recipe } from '../../../src/guest/cache';
import { ProcessLock } from '../../../src/io/process-lock';

let home: string;
const before = process.env.XDG_CACHE_HOME;

beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'vexit-cache-'));
  process.env.XDG_CACHE_HOME = home;
});

afterEach(() => {
  if (before === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = before;
  rmSync(home, { recursive: true, force: true });
});

function recipe(changes: Partial<Recipe> = {}): Recipe & { builds: () => number } {
  let builds = 0;
  return {
    name: 'thing',
    recipe: 'abc',
    host: () => Promise.resolve('1.0'),
    build: (directory) => {
      builds += 1;
      return writeFile(path.join(directory, 'made'), String(builds));
    },
    builds: () => builds,
    ...changes,
  };
}

/** What a finished or failed build leaves, without the lock. */
function left(): string[] {
  const cache = path.join(home, 'vexit');
  return existsSync(cache) ? readdirSync(cache).filter((name) => !name.endsWith('.lock')) : [];
}

describe('cacheDirectory', () => {
  it('follows XDG and ignores a relative path', () => {
    expect(cacheDirectory({ XDG_CACHE_HOME: '/var/x' })).toBe('/var/x/vexit');
    const fallback = path.join(os.homedir(), '.cache', 'vexit');
    expect(cacheDirectory({})).toBe(fallback);
    expect(cacheDirectory({ XDG_CACHE_HOME: 'x' })).toBe(fallback);
  });
});

describe('hashOf', () => {
  it('tells the inputs apart, and where one ends', () => {
    expect(hashOf(['a', 'b'])).toBe(hashOf(['a', Buffer.from('b')]));
    expect(hashOf(['a', 'b'])).not.toBe(hashOf(['ab']));
    expect(hashOf(['a', 'b'])).not.toBe(hashOf(['b', 'a']));
  });
});

describe('ensureArtifact', () => {
  it('builds once, then asks nobody', async () => {
    const thing = recipe();
    const directory = await ensureArtifact(thing);
    expect(readdirSync(directory)).toEqual(['made']);
    const silent = recipe({ host: () => Promise.reject(new Error('asked')) });
    expect(await ensureArtifact(silent)).toBe(directory);
    expect(thing.builds()).toBe(1);
  });

  it('builds again for another recipe and when the directory is gone', async () => {
    const first = await ensureArtifact(recipe());
    const second = await ensureArtifact(recipe({ recipe: 'def' }));
    expect(second).not.toBe(first);
    rmSync(first, { recursive: true });
    const again = recipe();
    expect(await ensureArtifact(again)).toBe(first);
    expect(again.builds()).toBe(1);
  });

  it('lets one of several at a time build', async () => {
    const thing = recipe();
    const all = await Promise.all([
      ensureArtifact(thing),
      ensureArtifact(thing),
      ensureArtifact(thing),
    ]);
    expect(new Set(all).size).toBe(1);
    expect(thing.builds()).toBe(1);
  });

  it('leaves nothing of a failed build, and can build after it', async () => {
    const broken = recipe({
      build: async (directory) => {
        await writeFile(path.join(directory, 'half'), '');
        throw new Error('broken');
      },
    });
    await expect(ensureArtifact(broken)).rejects.toThrow('broken');
    expect(left()).toEqual([]);
    await ensureArtifact(recipe());
  });

  it('leaves nothing of an aborted build', async () => {
    const controller = new AbortController();
    const slow = recipe({
      build: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
          controller.abort(new Error('enough'));
        }),
    });
    await expect(ensureArtifact(slow, controller.signal)).rejects.toThrow('enough');
    expect(left()).toEqual([]);
  });

  it('waits for another builder, until aborted', async () => {
    await ensureArtifact(recipe());
    const other = ProcessLock.tryAcquire(path.join(home, 'vexit', 'thing.lock'));
    const waiting = recipe({ recipe: 'def' });
    const signal = AbortSignal.timeout(200);
    await expect(ensureArtifact(waiting, signal)).rejects.toThrow(/timeout|abort/i);
    const built = ensureArtifact(waiting);
    other?.release();
    await built;
    expect(waiting.builds()).toBe(1);
  });

  it('clears what a killed build left', async () => {
    await ensureArtifact(recipe());
    const stale = path.join(home, 'vexit', '.thing-tmp-dead');
    writeFileSync(stale, '');
    await ensureArtifact(recipe({ recipe: 'def' }));
    expect(existsSync(stale)).toBe(false);
  });
});
