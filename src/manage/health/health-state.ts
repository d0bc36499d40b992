/** From the results of checks to what is said of a VM. */
import type { FullHealthCheck } from './health-check.js';

/** `starting`: nothing is known yet. */
export type HealthStatus = 'starting' | 'healthy' | 'unhealthy';

/** What the checks have found. */
export interface Health {
  readonly status: HealthStatus;
  /** In a row, apart from those of the start period. */
  readonly failures: number;
  /** ISO 8601, UTC; of the last check. */
  readonly checkedAt?: string;
  /** What the last check said, shortened. The guest's words. */
  readonly output?: string;
}

/** The result of one check. */
export interface ProbeResult {
  readonly ok: boolean;
  readonly output: string;
}

const MAX_OUTPUT = 200;

/**
 * What another result makes of it: one success makes a VM healthy, `retries` failures in a row make it
 * unhealthy. Until the first success, failures of the start period do not count.
 * @param sinceStartMs how long the guest has been on
 */
export function nextHealth(
  before: Health,
  { ok, output }: ProbeResult,
  { retries, startPeriodMs }: Pick<FullHealthCheck, 'retries' | 'startPeriodMs'>,
  sinceStartMs: number,
): Health {
  const said = { checkedAt: new Date().toISOString(), output: output.slice(-MAX_OUTPUT) };
  if (ok) return { status: 'healthy', failures: 0, ...said };
  if (before.status === 'starting' && sinceStartMs < startPeriodMs) return { ...before, ...said };
  const failures = before.failures + 1;
  return { status: failures >= retries ? 'unhealthy' : before.status, failures, ...said };
}
