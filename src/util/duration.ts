/** Lengths of time as people write them. */

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** Timers take at most so many milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/** Milliseconds in "500ms", "2s", "1m30s" or "5" (seconds); undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const seconds = /^\d{1,10}(\.\d{1,3})?$/.exec(text);
  if (seconds !== null) return bounded(Math.round(Number(text) * 1000));
  if (!/^(\d{1,10}(\.\d{1,3})?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)];
  return bounded(
    Math.round(parts.reduce((sum, [, n, unit]) => sum + Number(n) * UNITS[unit!]!, 0)),
  );
}

function bounded(ms: number): number | undefined {
  return ms <= LONGEST_MS ? ms : undefined;
}
