/**
 * Log lines that guests can cause, bounded: at most ten in five seconds from one place in the code.
 * A guest that does something wrong ten million times fills nobody's disk.
 */

const LINES = 10;
const PERIOD_MS = 5000;

interface Site {
  since: number;
  lines: number;
  dropped: number;
}

/** A log with a limit for each place that writes to it. */
export class SiteLog {
  private readonly sites = new Map<string, Site>();

  /**
   * @param write takes a line, such as the machine's log
   * @param now milliseconds from any clock that does not go back
   */
  constructor(
    private readonly write: (line: string) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Writes a line unless its place has used up its share. `site` is a constant in the code. */
  warn(site: string, line: string): void {
    const now = this.now();
    let state = this.sites.get(site);
    if (state === undefined) {
      state = { since: now, lines: 0, dropped: 0 };
      this.sites.set(site, state);
    } else if (now - state.since >= PERIOD_MS) {
      if (state.dropped > 0) this.write(`${site}: ${state.dropped} more lines dropped`);
      state.since = now;
      state.lines = 0;
      state.dropped = 0;
    }
    if (state.lines < LINES) {
      state.lines++;
      this.write(line);
    } else {
      state.dropped++;
    }
  }
}
