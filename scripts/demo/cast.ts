/** Recordings of terminals in asciinema's file format, version 2 (docs.asciinema.org/manual/asciicast/v2). */

/** What a terminal got at a moment. */
export interface CastEvent {
  /** Seconds from the start of the recording. */
  readonly time: number;
  readonly text: string;
}

export interface Cast {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly events: readonly CastEvent[];
}

/** Longest time in seconds in which nothing happens, when it is played. */
export const IDLE_LIMIT = 1.5;

/** The file: real times, and the limit for players. */
export function writeCast({ width, height, title, events }: Cast): string {
  const header = { version: 2, width, height, title, idle_time_limit: IDLE_LIMIT };
  const lines = events.map(({ time, text }) => [Number(time.toFixed(3)), 'o', text]);
  return [header, ...lines].map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** A file that writeCast made. */
export function readCast(file: string): Cast {
  const [header, ...lines] = file
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  const events = (lines as [number, 'o', string][]).map(([time, , text]) => ({ time, text }));
  return { ...(header as Omit<Cast, 'events'>), events };
}

/** The same from time 0 on, with no pause longer than the limit. */
export function withoutWaits(events: readonly CastEvent[], limit = IDLE_LIMIT): CastEvent[] {
  let time = 0;
  return events.map((event, at) => {
    time += Math.min(limit, event.time - (events[at - 1]?.time ?? event.time));
    return { time, text: event.text };
  });
}
