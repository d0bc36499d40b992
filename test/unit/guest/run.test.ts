import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { withLog } from '../../../src/guest/log';
import { run, succeeds } from '../../../src/guest/run';

const never = new AbortController().signal;

describe('run', () => {
  it('gives standard output and every line', async () => {
    const lines: string[] = [];
    const script = 'echo one; echo two >&2; echo three';
    const onLine = (line: string) => lines.push(line);
    expect(await run('sh', ['-c', script], { signal: never, onLine })).toBe('one\nthree');
    expect(lines.sort()).toEqual(['one', 'three', 'two']);
  });

  it('says why a program failed, with its last lines and where the rest is', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'vexit-run-'));
    const file = path.join(directory, 'log');
    const failure = withLog(file, (log) =>
      run('sh', ['-c', 'seq 20; echo no such thing >&2; exit 3'], { signal: never, log }),
    );
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_GUEST_BUILD',
      message: expect.stringMatching(/^sh failed \(status 3\)[^]*no such thing/) as string,
      hint: expect.stringContaining(file) as string,
    });
    expect(readFileSync(file, 'utf8')).toContain('no such thing');
    rmSync(directory, { recursive: true });
  });

  it('reports a program that is not there', async () => {
    await expect(run('vexit-no-such-program', [], { signal: never })).rejects.toMatchObject({
      code: 'ERR_GUEST_BUILD',
    });
    expect(await succeeds('vexit-no-such-program', [], never)).toBe(false);
  });

  it('ends the program when aborted', async () => {
    const started = Date.now();
    await expect(run('sleep', ['60'], { signal: AbortSignal.timeout(100) })).rejects.toThrow();
    expect(Date.now() - started).toBeLessThan(20_000);
  });
});
