/** Checks a VM from its power-on to its end, one check at a time. */
import { errorMessage } from '../../util/errors.js';
import type { FullHealthCheck } from './health-check.js';
import { nextHealth, type Health, type ProbeResult } from './health-state.js';

/** What is needed of the VM. */
export interface Watched {
  /** Does one check; may reject, and may ignore the signal. */
  probe(signal: AbortSignal): Promise<ProbeResult>;
  /** Whether a check makes sense now: a VM that is paused cannot answer. */
  canAnswer(): boolean;
  /** There is a result. */
  onResult(health: Health, changed: boolean): void;
}

/** Resolves when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<ProbeResult> {
  const late = { ok: false, output: 'the check took too long' };
  return new Promise((resolve) =>
    signal.addEventListener('abort', () => resolve(late), { once: true }),
  );
}

/** Checks until {@link stop}. */
export class HealthMonitor {
  health: Health = { status: 'starting', failures: 0 };
  private readonly began = Date.now();
  private readonly ended = new AbortController();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly check: FullHealthCheck,
    private readonly vm: Watched,
  ) {
    this.schedule(0);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.ended.abort();
  }

  private schedule(ms: number): void {
    this.timer = setTimeout(() => void this.run(), ms).unref();
  }

  private async run(): Promise<void> {
    if (this.vm.canAnswer()) {
      const result = await this.result();
      if (this.ended.signal.aborted) return;
      const before = this.health;
      this.health = nextHealth(before, result, this.check, Date.now() - this.began);
      this.vm.onResult(this.health, before.status !== this.health.status);
    }
    this.schedule(this.check.intervalMs);
  }

  /** Whatever a check does, there is a result in time. */
  private async result(): Promise<ProbeResult> {
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), this.check.timeoutMs).unref();
    const onEnd = (): void => end.abort();
    this.ended.signal.addEventListener('abort', onEnd, { once: true });
    try {
      return await Promise.race([aborted(end.signal), this.probe(end.signal)]);
    } finally {
      clearTimeout(timer);
      this.ended.signal.removeEventListener('abort', onEnd);
      end.abort();
    }
  }

  private async probe(signal: AbortSignal): Promise<ProbeResult> {
    try {
      return await this.vm.probe(signal);
    } catch (error) {
      return { ok: false, output: errorMessage(error) };
    }
  }
}
