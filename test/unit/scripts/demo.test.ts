/** The demo of the README: casts, the terminal that plays them, and the picture of it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { readCast, withoutWaits, writeCast, type Cast } from '../../../scripts/demo/cast';
import { screensOf, type Screen } from '../../../scripts/demo/screens';
import { escapeXml, playingTime, svgOf } from '../../../scripts/demo/svg';

const DOCS = path.resolve(__dirname, '../../../docs');

function castOf(...events: [number, string][]): Cast {
  return {
    ...{ width: 20, height: 3, title: 'a < b & "c"' },
    events: events.map(([time, text]) => ({ time, text })),
  };
}

/** Names of the elements, when tags nest and text and attributes are XML's; throws otherwise. */
function elementsOf(xml: string): string[] {
  const token =
    /<(\/?)([a-z]+)((?: [a-zA-Z:-]+="(?:[^<&"]|&(?:amp|lt|gt|quot);)*")*)(\/?)>|(?:[^<&]|&(?:amp|lt|gt|quot);)+/gy;
  const open: string[] = [];
  const names: string[] = [];
  while (token.lastIndex < xml.length) {
    const at = token.lastIndex;
    const found = token.exec(xml);
    if (found === null) throw new Error(`not XML: ${xml.slice(at, at + 60)}`);
    const [, close, name, , empty] = found;
    if (name === undefined) continue;
    if (close === '/') expect(open.pop()).toBe(name);
    else names.push(name);
    if (close === '' && empty === '') open.push(name);
  }
  expect(open).toEqual([]);
  return names;
}

const plain = (screens: readonly Screen[]): string[][] =>
  screens.map(({ rows }) =>
    rows.map((runs) =>
      runs
        .map(({ text }) => text)
        .join('')
        .trimEnd(),
    ),
  );

test('a cast has real times and comes back from its file; waits are cut when it is played', () => {
  const cast = castOf([1, '$ '], [1.5, 'x\r\n'], [61.5, '\x1b[1mdone\x1b[0m']);
  const file = writeCast(cast);
  expect(JSON.parse(file.split('\n')[0]!)).toMatchObject({ version: 2, idle_time_limit: 1.5 });
  expect(readCast(file)).toMatchObject(cast);
  expect(withoutWaits(cast.events).map(({ time }) => time)).toEqual([0, 0.5, 2]);
});

test('screens are what a terminal shows, moments that nobody sees apart being one', async () => {
  const screens = await screensOf(
    castOf([0, 'one'], [0.01, '\r\n'], [1, '\x1b[31mtwo\x1b[0m'], [2, '\r\nthree\r\nfour']),
  );
  expect(screens.map(({ time }) => time)).toEqual([0.01, 1, 2]);
  expect(plain(screens)).toEqual([
    ['one', '', ''],
    ['one', 'two', ''],
    ['two', 'three', 'four'],
  ]);
  expect(screens[1]!.rows[1]![0]).toMatchObject({ column: 0, text: 'two', foreground: 1 });
  // The cursor is the cell that is shown the other way round.
  expect(screens[1]!.rows[1]![1]).toMatchObject({ column: 3, text: ' ', inverse: true });
});

test('the picture is well-formed XML with what is shown, escaped, and nothing that runs', async () => {
  const cast = castOf([0, '<b>&"\x1b[44mblue'], [0.5, '\r\n  two   parts']);
  const svg = svgOf(await screensOf(cast), cast);
  const elements = new Set(elementsOf(svg));
  expect([...elements].sort()).toEqual(['circle', 'g', 'rect', 'style', 'svg', 'text', 'title']);
  expect(svg).toContain('<title>a &lt; b &amp; &quot;c&quot;</title>');
  expect(svg).toContain('>&lt;b&gt;&amp;&quot;</text>');
  expect(svg).toMatch(/<rect x="42" y="0" width="33.6" height="18" fill="#61afef"\/>/);
  // Spaces that SVG would drop are places.
  expect(svg).toContain('<text x="16.8" y="31.5" textLength="25.2">two</text>');
  expect(svg).toContain('<text x="67.2" y="31.5" textLength="42">parts</text>');
  expect(escapeXml('a\0\x1b\u0007b')).toBe('ab');
});

test('it plays as long as the screens, and the last one stays', async () => {
  const cast = castOf([0, 'a'], [1, 'b'], [61, '\r\nc']);
  const screens = await screensOf(cast);
  expect(playingTime(screens)).toBe(2.5 + 4);
  const svg = svgOf(screens, cast);
  expect(svg).toContain('animation:6.5s step-end infinite');
  // The first row has three looks: a letter, two, and without the cursor.
  const first = /@keyframes r0\{(.*?\})\}/.exec(svg)![1];
  expect(first).toBe(
    '0%{transform:translateY(0px)}15.385%{transform:translateY(-18px)}38.462%{transform:translateY(-36px)}',
  );
  // The third one never changes, and is empty.
  expect(svg).not.toContain('r2');
});

test('the picture in docs is that of the recording, with no place of the host in it', async () => {
  const file = readFileSync(path.join(DOCS, 'demo.cast'), 'utf8');
  const svg = readFileSync(path.join(DOCS, 'demo.svg'), 'utf8');
  const cast = readCast(file);
  expect(svgOf(await screensOf(cast), cast)).toBe(svg);
  elementsOf(svg);
  expect(svg.length).toBeLessThan(150_000);
  const shown = cast.events.map(({ text }) => text).join('');
  expect(shown).not.toMatch(/\/home|\/root|\/tmp\/vexit/);
});
