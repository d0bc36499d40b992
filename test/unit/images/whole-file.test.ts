import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createWhole } from '../../../src/images/whole-file';

let dir: string;
let target: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-whole-'));
  target = path.join(dir, 'target');
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('createWhole', () => {
  it('gives the file its name when it is whole, and removes what was beside it', async () => {
    await createWhole(target, async (temporary) => {
      await mkdir(path.join(path.dirname(temporary), 'more'));
      await writeFile(temporary, 'whole');
      expect(existsSync(target)).toBe(false);
    });
    expect(readFileSync(target, 'utf8')).toBe('whole');
    expect(readdirSync(dir)).toEqual(['target']);
  });

  it('refuses a name that is taken, before any work', async () => {
    writeFileSync(target, 'mine');
    const fill = jest.fn();
    await expect(createWhole(target, fill)).rejects.toMatchObject({
      code: 'ERR_DISK',
      message: `${target}: exists already`,
    });
    expect(fill).not.toHaveBeenCalled();
    expect(readdirSync(dir)).toEqual(['target']);
  });

  it('does not replace a file that appears while it works', async () => {
    const work = createWhole(target, async (temporary) => {
      await writeFile(temporary, 'ours');
      await writeFile(target, 'theirs');
    });
    await expect(work).rejects.toMatchObject({ code: 'ERR_DISK' });
    expect(readFileSync(target, 'utf8')).toBe('theirs');
    expect(readdirSync(dir)).toEqual(['target']);
  });

  it.each(['ENOSPC', 'EACCES', 'EFBIG', 'EDQUOT', 'EROFS'])(
    'leaves nothing behind on %s, and says what is wrong in words',
    async (code) => {
      const work = createWhole(target, async (temporary) => {
        await writeFile(temporary, 'half');
        throw Object.assign(new Error(`${code}: write`), { code });
      });
      const error = (await work.catch((reason: unknown) => reason)) as Error;
      expect(error).toMatchObject({ code: 'ERR_DISK', cause: { code } });
      expect(error.message).not.toContain(code);
      expect(readdirSync(dir)).toEqual([]);
    },
  );

  it('leaves nothing behind when aborted', async () => {
    const controller = new AbortController();
    const work = createWhole(
      target,
      async (temporary) => {
        await writeFile(temporary, 'half');
        controller.abort(new Error('enough'));
      },
      controller.signal,
    );
    await expect(work).rejects.toThrow('enough');
    expect(readdirSync(dir)).toEqual([]);
  });

  it('says that there is no directory for it', async () => {
    const below = path.join(dir, 'none', 'target');
    await expect(createWhole(below, jest.fn())).rejects.toMatchObject({
      code: 'ERR_DISK',
      message: `there is no directory ${path.dirname(below)}`,
    });
  });
});
