import { spawnSync } from 'node:child_process';
import { S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, writeCpio } from '../../../src/guest/cpio';

/** Reads an archive by the format's description, not by the writer's code. */
function parse(archive: Buffer) {
  const entries: { name: string; mode: number; data: string; fields: number[] }[] = [];
  let at = 0;
  for (;;) {
    expect(archive.toString('latin1', at, at + 6)).toBe('070701');
    const fields = Array.from({ length: 13 }, (_, i) =>
      parseInt(archive.toString('latin1', at + 6 + i * 8, at + 14 + i * 8), 16),
    );
    const nameBytes = fields[11]!;
    const dataBytes = fields[6]!;
    const name = archive.toString('utf8', at + 110, at + 110 + nameBytes - 1);
    expect(archive[at + 110 + nameBytes - 1]).toBe(0);
    const dataAt = (at + 110 + nameBytes + 3) & ~3;
    if (name === 'TRAILER!!!') return entries;
    entries.push({
      name,
      mode: fields[1]!,
      data: archive.toString('utf8', dataAt, dataAt + dataBytes),
      fields,
    });
    at = (dataAt + dataBytes + 3) & ~3;
  }
}

const ENTRIES = [
  { path: 'etc', mode: S_IFDIR | 0o755 },
  { path: 'etc/name', mode: S_IFREG | 0o640, data: 'vexit\n', uid: 7, gid: 8 },
  { path: 'sh', mode: S_IFLNK | 0o777, data: 'bin/busybox' },
  { path: 'console', mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } },
  { path: 'empty', mode: S_IFREG | 0o600 },
];

describe('writeCpio', () => {
  it('writes what the format says', () => {
    const parsed = parse(writeCpio(ENTRIES));
    expect(parsed.map(({ name }) => name)).toEqual(['etc', 'etc/name', 'sh', 'console', 'empty']);
    expect(parsed.map(({ mode }) => mode)).toEqual(ENTRIES.map(({ mode }) => mode));
    expect(parsed.map(({ data }) => data)).toEqual(['', 'vexit\n', 'bin/busybox', '', '']);
    expect(parsed[1]!.fields.slice(2, 4)).toEqual([7, 8]);
    expect(parsed[3]!.fields.slice(9, 11)).toEqual([5, 1]);
    expect(parsed.map(({ fields }) => fields[4])).toEqual([2, 1, 1, 1, 1]);
  });

  it('numbers inodes apart, so that files are not taken for links of each other', () => {
    const inodes = parse(writeCpio(ENTRIES)).map(({ fields }) => fields[0]);
    expect(new Set(inodes).size).toBe(ENTRIES.length);
  });

  it('begins the data of an entry at a page where it is to', () => {
    const aligned = { path: 'bin', mode: S_IFREG | 0o755, data: 'the program', pageAligned: true };
    const archive = writeCpio([...ENTRIES, aligned, { ...aligned, path: 'after' }]);
    const parsed = parse(archive).slice(ENTRIES.length);
    expect(parsed.map(({ name }) => name.replace(/\0+$/, ''))).toEqual(['bin', 'after']);
    expect(parsed.map(({ data }) => data)).toEqual(['the program', 'the program']);
    const first = archive.indexOf('the program');
    const second = archive.indexOf('the program', first + 1);
    expect([first % 4096, second % 4096]).toEqual([0, 0]);
    for (const { fields } of parsed) expect(fields[11]).toBeLessThanOrEqual(4096);
  });

  it('leaves data where it falls when the name would be longer than Linux takes', () => {
    // The header ends two bytes before a page: a name up to the next one would be 4098 bytes.
    const before = { path: 'a', mode: S_IFREG | 0o644, data: 'x'.repeat(4096 - 112 - 110 - 4) };
    const aligned = { path: 'seven', mode: S_IFREG | 0o755, data: 'seven', pageAligned: true };
    const entries = parse(writeCpio([before, aligned]));
    expect(entries[1]!.fields[11]).toBe('seven\0'.length);
    expect(entries[1]!.data).toBe('seven');
  });

  it('gives the same bytes for the same entries, padded to whole blocks', () => {
    expect(writeCpio(ENTRIES).equals(writeCpio(ENTRIES))).toBe(true);
    expect(writeCpio(ENTRIES).length % 512).toBe(0);
  });

  it('is read by cpio', () => {
    const { error, stdout, status } = spawnSync('cpio', ['-t', '--quiet'], {
      input: writeCpio(ENTRIES),
      encoding: 'utf8',
    });
    if (error !== undefined && 'code' in error && error.code === 'ENOENT') return;
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toEqual(['etc', 'etc/name', 'sh', 'console', 'empty']);
  });

  it.each(['/etc', '', 'a//b', '../up', 'a/./b', 'nul\0'])('refuses the path %j', (path) => {
    expect(() => writeCpio([{ path, mode: S_IFREG }])).toThrow(/path in an initramfs/);
  });
});
