/** `--health-*`: how it is found out whether a VM in the background does what it is there for. */
import type { HealthCheck } from '../manage/health/health-check.js';
import { parseHealthTime, parseHttpProbe } from '../manage/health/health-check.js';
import { VexitError } from '../util/errors.js';
import type { RunArguments } from './commands/run.js';

/** @throws VexitError ERR_CONFIG for settings of a check that is none */
export function healthCheck(args: RunArguments): HealthCheck | undefined {
  const { healthCmd, healthTcp, healthHttp } = args;
  const time = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : parseHealthTime(text);
  const [intervalMs, timeoutMs] = [time(args.healthInterval), time(args.healthTimeout)];
  const [retries, startPeriodMs] = [args.healthRetries, time(args.healthStartPeriod)];
  const check: HealthCheck = {
    ...(healthCmd === undefined ? {} : { exec: ['sh', '-c', healthCmd] }),
    ...(healthTcp === undefined ? {} : { tcp: healthTcp }),
    ...(healthHttp === undefined ? {} : { http: parseHttpProbe(healthHttp) }),
  };
  const settings: Partial<HealthCheck> = {
    ...(intervalMs === undefined ? {} : { intervalMs }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(retries === undefined ? {} : { retries }),
    ...(startPeriodMs === undefined ? {} : { startPeriodMs }),
  };
  if (Object.keys(check).length > 0) return { ...check, ...settings };
  if (Object.keys(settings).length === 0) return undefined;
  throw new VexitError(
    'ERR_CONFIG',
    'there is no health check to be set',
    'add --health-cmd, --health-tcp or --health-http',
  );
}
