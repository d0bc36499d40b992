/**
 * An SVG picture that plays what a terminal showed, by CSS alone: scripts do not run in pictures.
 *
 * Each row of the terminal is a strip of all that it ever shows, one below the other, of which a window
 * one row high is seen; a CSS animation moves the strip. Where there are no animations, or they are not
 * wanted (prefers-reduced-motion), the fullest screen stands still.
 */
import type { Run, Screen } from './screens';

const FONT_SIZE = 14;
const CELL_WIDTH = 8.4;
const ROW_HEIGHT = 18;
/** From a row's top to the line that its letters stand on. */
const BASELINE = 13.5;
const MARGIN = 14;
const TITLE_HEIGHT = 32;
/** Seconds for which the last screen stays. */
const LAST = 4;

const FOREGROUND = '#d4d7dd';
const BACKGROUND = '#16181d';
const BUTTONS = ['#ff5f57', '#febc2e', '#28c840'];
/** The 16 colours, dark ones first. */
// prettier-ignore
const PALETTE = [
  '#3b4048', '#e06c75', '#98c379', '#d19a66', '#61afef', '#c678dd', '#56b6c2', '#abb2bf',
  '#5c6370', '#ff7b86', '#b5e890', '#e5c07b', '#82c4ff', '#dd95f0', '#7ad7e3', '#ffffff',
];

/** What is put around the terminal. */
export interface SvgOptions {
  /** Terminal's size in cells. */
  readonly width: number;
  readonly height: number;
  /** Of the window, and what readers of screens say. */
  readonly title: string;
}

/** Text as XML has it; control characters, which XML 1.0 has not, are left out. */
export function escapeXml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return (
    text
      // eslint-disable-next-line no-control-regex
      .replace(/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '')
      .replace(/[&<>"]/g, (character) => names[character]!)
  );
}

/** A number as short as it can be written. */
function short(value: number, digits = 1): string {
  return String(Number(value.toFixed(digits)));
}

function colour(index: number | undefined, otherwise: string): string {
  return index === undefined ? otherwise : (PALETTE[index] ?? otherwise);
}

/** Characters that take two cells do not occur. */
function cellsOf(text: string): number {
  return Array.from(text).length;
}

/** A run of cells whose top is at y; nothing when nothing is to be seen. */
function drawRun(run: Run, y: number): string {
  const colours = [colour(run.foreground, FOREGROUND), colour(run.background, BACKGROUND)];
  if (run.inverse) colours.reverse();
  const [letters, behind] = colours;
  const cells = cellsOf(run.text);
  const x = short(run.column * CELL_WIDTH);
  const box =
    behind === BACKGROUND
      ? ''
      : `<rect x="${x}" y="${y}" width="${short(cells * CELL_WIDTH)}" height="${ROW_HEIGHT}" fill="${behind}"/>`;
  const fill = letters === FOREGROUND ? '' : ` fill="${letters}"`;
  const bold = run.bold ? ' font-weight="bold"' : '';
  // Two spaces are one in SVG: what they part is placed by itself. Widths are given: columns stay columns
  // in whatever font the reader has.
  const texts = Array.from(run.text.matchAll(/[^ ]+(?: [^ ]+)*/g), ({ index, 0: text }) => {
    const at = short((run.column + cellsOf(run.text.slice(0, index))) * CELL_WIDTH);
    const width = short(cellsOf(text) * CELL_WIDTH);
    return `<text x="${at}" y="${y + BASELINE}" textLength="${width}"${fill}${bold}>${escapeXml(text)}</text>`;
  });
  return box + texts.join('');
}

/** Screen with the most text. */
function fullest(screens: readonly Screen[]): number {
  const amount = screens.map(
    ({ rows }) =>
      rows
        .flat()
        .map(({ text }) => text.trim())
        .join('').length,
  );
  return amount.lastIndexOf(Math.max(...amount));
}

/** One row of the terminal: its strip, and the rules that move it. */
function drawRow(screens: readonly Screen[], row: number, total: number): [string, string] {
  const strip = new Map<string, number>();
  const steps: [number, number][] = [];
  const places = screens.map(({ time, rows }) => {
    const runs = rows[row]!;
    const key = JSON.stringify(runs);
    if (!strip.has(key)) strip.set(key, strip.size);
    const place = strip.get(key)!;
    if (steps.at(-1)?.[1] !== place) steps.push([steps.length === 0 ? 0 : time, place]);
    return place;
  });
  const drawn = Array.from(strip, ([key, place]) =>
    (JSON.parse(key) as Run[]).map((run) => drawRun(run, place * ROW_HEIGHT)).join(''),
  ).join('');
  const still = -places[fullest(screens)]! * ROW_HEIGHT;
  const frames = steps.map(
    ([time, place]) =>
      `${short((time / total) * 100, 3)}%{transform:translateY(${-place * ROW_HEIGHT}px)}`,
  );
  const moves = steps.length > 1;
  const rules = moves
    ? `@keyframes r${row}{${frames.join('')}}#r${row}{animation-name:r${row}}`
    : '';
  const group = `<g class="s" id="r${row}" transform="translate(0 ${still})">${drawn}</g>`;
  const window = `<svg y="${row * ROW_HEIGHT}" width="100%" height="${ROW_HEIGHT}">${group}</svg>`;
  return [drawn === '' ? '' : window, rules];
}

/** Seconds that the picture plays before it begins anew. */
export function playingTime(screens: readonly Screen[]): number {
  return (screens.at(-1)?.time ?? 0) + LAST;
}

/**
 * Draws screens of a terminal in a window as a picture that plays them, again and again.
 *
 * @param screens - at least one, in their order; the first one's time is 0
 * @returns the SVG file's text, without scripts and fonts
 */
export function svgOf(screens: readonly Screen[], { width, height, title }: SvgOptions): string {
  const total = playingTime(screens);
  const inner = [short(width * CELL_WIDTH), height * ROW_HEIGHT];
  const outer = [width * CELL_WIDTH + 2 * MARGIN, height * ROW_HEIGHT + TITLE_HEIGHT + MARGIN];
  const size = outer.map((value) => Math.ceil(value));
  const rows = Array.from({ length: height }, (_, row) => drawRow(screens, row, total));
  const buttons = BUTTONS.map(
    (fill, at) => `<circle cx="${20 + at * 20}" cy="16" r="6" fill="${fill}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.join(' ')}" width="${size[0]}" height="${size[1]}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>.s{animation:${short(total, 3)}s step-end infinite}@media(prefers-reduced-motion){.s{animation:none!important}}`,
    ...rows.map(([, rules]) => rules).filter((rules) => rules !== ''),
    `</style>`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>`,
    ...buttons,
    `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="${FONT_SIZE}" fill="${FOREGROUND}">`,
    `<text x="50%" y="21" text-anchor="middle" fill="${PALETTE[7]}">${escapeXml(title)}</text>`,
    `<svg x="${MARGIN}" y="${TITLE_HEIGHT}" width="${inner[0]}" height="${inner[1]}">`,
    ...rows.map(([window]) => window).filter((window) => window !== ''),
    '</svg></g></svg>',
    '',
  ].join('\n');
}
