/** The documents against the repository: links lead somewhere, scripts exist, examples compile. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { EXIT_STATUS } from '../../../src/machine/exit-report.js';

const ROOT = path.resolve(__dirname, '../../..');

function markdownFiles(directory: string): string[] {
  return readdirSync(path.join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) return directory === '.' ? [] : markdownFiles(file);
    return file.endsWith('.md') ? [file] : [];
  });
}

const documents = [...markdownFiles('.'), ...markdownFiles('docs')].map((file) => ({
  file,
  text: readFileSync(path.join(ROOT, file), 'utf8'),
}));

/** Names of all headings as GitHub makes anchors of them. */
function anchors(text: string): Set<string> {
  const headings = text.matchAll(/^#+ (.+)$/gm);
  const name = (heading: string): string =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
  return new Set(Array.from(headings, ([, heading]) => name(heading ?? '')));
}

describe.each(documents)('$file', ({ file, text }) => {
  test('has links that lead somewhere', () => {
    const links = Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link ?? '');
    const broken = links.filter((link) => {
      if (/^https?:/.test(link)) return false;
      const [target = '', anchor] = link.split('#');
      const named = target === '' ? file : path.join(path.dirname(file), target);
      const whole = path.join(ROOT, named);
      if (!existsSync(whole)) return true;
      return anchor !== undefined && !anchors(readFileSync(whole, 'utf8')).has(anchor);
    });
    expect(broken).toEqual([]);
  });

  test('names scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = Array.from(text.matchAll(/npm run ([a-z:]+)/g), ([, name]) => name ?? '');
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
    const files = Array.from(text.matchAll(/\bscripts\/[\w.-]+\w/g), ([name]) => name);
    expect(files.filter((name) => !existsSync(path.join(ROOT, name)))).toEqual([]);
  });
});

test('the examples of the library compile', () => {
  mkdirSync(path.join(ROOT, 'build'), { recursive: true });
  const directory = mkdtempSync(path.join(ROOT, 'build/examples-'));
  try {
    let count = 0;
    for (const { file, text } of documents) {
      if (!/^(README|docs\/(library|up))\.md$/.test(file)) continue;
      for (const [, code] of text.matchAll(/```ts\n([\s\S]*?)```/g)) {
        writeFileSync(path.join(directory, `example-${count++}.mts`), code ?? '');
      }
    }
    expect(count).toBeGreaterThan(0);
    const config = {
      extends: '../../test/tsconfig.json',
      // An example need not use everything it shows.
      compilerOptions: {
        rootDir: '../..',
        noUnusedLocals: false,
        paths: { vexit: ['../../src/index.ts'] },
      },
      include: ['*.mts'],
    };
    writeFileSync(path.join(directory, 'tsconfig.json'), JSON.stringify(config));
    const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', directory], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('every exit status of the library is in the table', () => {
  const table = documents.find(({ file }) => file === 'docs/exit-status.md')?.text ?? '';
  const rows = Array.from(table.matchAll(/^\| (\d+) +\| `(\w+)`/gm), ([, status, name]) => [
    name,
    Number(status),
  ]);
  expect(Object.fromEntries(rows)).toEqual(EXIT_STATUS);
});

describe('docs/hostile-guests.md', () => {
  const { text } = documents.find(({ file }) => file === path.join('docs', 'hostile-guests.md'))!;
  const rows = Array.from(
    text.matchAll(/^\| ([A-Z]-?\d+) +\|[^|]*\|(.*)\|$/gm),
    ([, name = '', files = '']) => ({
      name,
      files: Array.from(files.matchAll(/`([^`]+)`/g), ([, file]) => file!),
    }),
  );

  test('has every case that belongs to what is built', () => {
    const numbers = (prefix: string, last: number, first = 1): string[] =>
      Array.from({ length: last - first + 1 }, (_, i) => `${prefix}${first + i}`);
    const cases = [
      ...[
        ...numbers('A', 20),
        ...numbers('C', 24),
        ...numbers('E', 11),
        ...numbers('F', 12),
        'F14',
      ],
      ...[...numbers('G', 12), ...numbers('K', 3)],
      ...[...numbers('G-', 12), ...numbers('S-', 9), ...numbers('M-', 6), ...numbers('B-', 10)],
      ...[...numbers('T-', 2), 'R-1', ...numbers('L-', 4)],
      ...[...numbers('N-', 10), ...numbers('V-', 5), ...numbers('F-', 3)],
    ];
    const present = new Set(rows.map(({ name }) => name));
    expect(cases.filter((name) => !present.has(name))).toEqual([]);
  });

  test.each(rows)('$name is in tests', ({ name, files }) => {
    expect(files).not.toEqual([]);
    const missing = files.filter((file) => {
      const test = readFileSync(path.join(ROOT, 'test', `${file}.test.ts`), 'utf8');
      return !new RegExp(`(?<![\\w-])${name}(?![\\w-])`).test(test);
    });
    expect(missing).toEqual([]);
  });
});
