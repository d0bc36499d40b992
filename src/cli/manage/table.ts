/** Tables for people: columns of text, with colour where a terminal shows it. */

/** One column. */
export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string;
  /** Numbers end at the same place. */
  readonly right?: boolean;
  /** SGR parameter, such as 32 for green. */
  readonly colour?: (row: T) => number | undefined;
}

const GAP = '   ';
const BOLD = 1;

function paint(text: string, colour: number | undefined, coloured: boolean): string {
  return coloured && colour !== undefined ? `\u001b[${colour}m${text}\u001b[0m` : text;
}

/** Whether standard output is a terminal that shows colours; NO_COLOR says no. */
export function hasColours(): boolean {
  return process.stdout.isTTY && process.stdout.hasColors();
}

/** Lines of the table, the titles first. */
export function formatTable<T>(
  columns: readonly Column<T>[],
  rows: readonly T[],
  coloured = hasColours(),
): string {
  const cells = rows.map((row) => columns.map(({ value }) => value(row)));
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...cells.map((line) => line[i]!.length)),
  );
  const line = (texts: readonly string[], colour: (i: number) => number | undefined): string => {
    const parts = texts.map((text, i) => {
      const last = i === texts.length - 1;
      const { right = false } = columns[i]!;
      const padded = right ? text.padStart(widths[i]!) : last ? text : text.padEnd(widths[i]!);
      return paint(padded, colour(i), coloured);
    });
    return `${parts.join(GAP).trimEnd()}\n`;
  };
  const titles = line(
    columns.map(({ title }) => title),
    () => BOLD,
  );
  return [
    titles,
    ...cells.map((texts, at) => line(texts, (i) => columns[i]!.colour?.(rows[at]!))),
  ].join('');
}
