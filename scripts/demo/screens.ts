/** What a recording's terminal shows, moment by moment. */
import { Terminal, type IBufferCell } from '@xterm/headless';
import { withoutWaits, type Cast } from './cast';

/** Cells side by side that look the same. */
export interface Run {
  readonly column: number;
  readonly text: string;
  /** Colour of 16, or undefined for the terminal's own. */
  readonly foreground?: number | undefined;
  readonly background?: number | undefined;
  readonly bold: boolean;
  readonly inverse: boolean;
}

/** A screen, row by row, from a time in seconds to the next one's. */
export interface Screen {
  readonly time: number;
  readonly rows: readonly (readonly Run[])[];
}

/** Moments closer than that are one: nobody sees them apart. */
const MOMENT = 0.04;

function look(cell: IBufferCell, cursor: boolean): Omit<Run, 'column' | 'text'> {
  return {
    foreground: cell.isFgPalette() ? cell.getFgColor() : undefined,
    background: cell.isBgPalette() ? cell.getBgColor() : undefined,
    bold: cell.isBold() !== 0,
    inverse: (cell.isInverse() !== 0) !== cursor,
  };
}

function rowOf(terminal: Terminal, y: number): Run[] {
  const { baseY, cursorX, cursorY } = terminal.buffer.active;
  const line = terminal.buffer.active.getLine(baseY + y)!;
  const runs: { run: Run; key: string }[] = [];
  for (let column = 0; column < terminal.cols; column++) {
    const cell = line.getCell(column)!;
    const style = look(cell, y === cursorY && column === cursorX);
    const key = JSON.stringify(style);
    const last = runs.at(-1);
    const text = cell.getChars() || ' ';
    if (last?.key === key) last.run = { ...last.run, text: last.run.text + text };
    else runs.push({ run: { column, text, ...style }, key });
  }
  return runs.map(({ run }) => run);
}

/** Plays a recording, its waits shortened, on a terminal that is not there. */
export async function screensOf(cast: Cast): Promise<Screen[]> {
  const terminal = new Terminal({ cols: cast.width, rows: cast.height, allowProposedApi: true });
  const screens: Screen[] = [];
  const events = withoutWaits(cast.events);
  for (const [at, { time, text }] of events.entries()) {
    await new Promise<void>((resolve) => terminal.write(text, resolve));
    const next = events[at + 1];
    if (next !== undefined && next.time - time < MOMENT) continue;
    const rows = Array.from({ length: cast.height }, (_, y) => rowOf(terminal, y));
    screens.push({ time, rows });
  }
  terminal.dispose();
  return screens;
}
