/** Builds the default guest with progress on standard error. */
import type { Spinner } from 'yocto-spinner' with { 'resolution-mode': 'import' };
import { ensureDefaultGuest, type DefaultGuest, type GuestSource } from '../guest/default-guest.js';
import type { Progress, ProgressEvent } from '../guest/progress.js';

/** A line that follows the work on a terminal, one line a step elsewhere. */
class ProgressLine {
  private step = '';

  constructor(private readonly spinner: Spinner) {}

  readonly report = (event: ProgressEvent): void => {
    const { step, detail, fraction } = event;
    const percent = fraction === undefined ? '' : ` ${Math.floor(fraction * 100)} %`;
    const text = `${step}${percent}${detail === undefined ? '' : ` (${detail})`}`;
    if (!process.stderr.isTTY) {
      if (step !== this.step) process.stderr.write(`vexit: ${step}\n`);
    } else if (this.step === '') {
      this.spinner.start(text);
    } else {
      this.spinner.text = text;
    }
    this.step = step;
  };

  end(): void {
    if (process.stderr.isTTY && this.step !== '') this.spinner.stop();
  }
}

/** Shows how far the work is while it goes on. */
export async function withProgress<T>(work: (progress: Progress) => Promise<T>): Promise<T> {
  const { default: yoctoSpinner } = await import('yocto-spinner');
  const line = new ProgressLine(yoctoSpinner({ stream: process.stderr }));
  try {
    return await work(line.report);
  } finally {
    line.end();
  }
}

/** Paths of the default guest's files, built first if they are not there. */
export function prepareGuest(source: GuestSource): Promise<DefaultGuest> {
  return withProgress((progress) => ensureDefaultGuest(source, progress));
}
