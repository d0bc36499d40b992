/** Times as people write and read them. */
import { VexitError } from '../../util/errors.js';

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Milliseconds since 1970 of "10m", "1h30m" (ago), a date as ISO 8601 writes it, or seconds since 1970.
 * @throws VexitError ERR_CONFIG
 */
export function parseSince(text: string, now = Date.now()): number {
  if (/^(\d+[smhd])+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+)([smhd])/g)];
    return (
      now -
      parts.reduce((sum, part) => sum + Number(part[1]) * UNITS[part[2] as keyof typeof UNITS], 0)
    );
  }
  if (/^\d{9,11}(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const time = /^\d{4}-/.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(time)) return time;
  throw new VexitError(
    'ERR_CONFIG',
    `${JSON.stringify(text)} is not a time`,
    'write 10m, 1h30m, 2026-01-31T12:00:00Z or seconds since 1970',
  );
}

/** "3 hours": the largest unit that fits. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(Math.floor(ms / 1000), 0);
  for (const [length, unit] of [
    [86_400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
  ] as const) {
    const count = Math.floor(seconds / length);
    if (count > 0) return `${count} ${unit}${count === 1 ? '' : 's'}`;
  }
  return `${seconds} second${seconds === 1 ? '' : 's'}`;
}
