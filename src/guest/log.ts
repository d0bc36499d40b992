/** The log of a build, bounded. */
import { closeSync, openSync, writeSync } from 'node:fs';

const LOG_BYTES_MAX = 4 << 20;

/** A file that keeps the first {@link LOG_BYTES_MAX} bytes of a build's output. */
export class BuildLog {
  private readonly fd: number;
  private room = LOG_BYTES_MAX;

  constructor(readonly file: string) {
    this.fd = openSync(file, 'w');
  }

  line(text: string): void {
    if (this.room <= 0) return;
    this.room -= writeSync(this.fd, `${text}\n`);
    if (this.room <= 0) writeSync(this.fd, '... (the rest was left out)\n');
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Runs work with a log that is closed at its end. */
export async function withLog<T>(file: string, work: (log: BuildLog) => Promise<T>): Promise<T> {
  const log = new BuildLog(file);
  try {
    return await work(log);
  } finally {
    log.close();
  }
}
