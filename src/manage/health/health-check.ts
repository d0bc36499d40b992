/** How it is found out whether a VM does what it is there for. */
import { VexitError } from '../../util/errors.js';
import { parseDuration } from '../../util/duration.js';
import { vsockDevice, type VirtualMachineOptions } from '../../machine/config.js';
import { netSettings } from '../../machine/device-options.js';

/** A request to a web server in the guest that is to be answered with a status from 200 to 399. */
export interface HttpProbe {
  readonly port: number;
  /** Default `/`. */
  readonly path?: string;
}

/** What is looked at, and when. One of `exec`, `tcp` and `http` is there. Plain data. */
export interface HealthCheck {
  /** A program of the guest, run by its agent, that is to end with 0. */
  readonly exec?: readonly string[];
  /** A TCP port that a program of the guest is to listen on. */
  readonly tcp?: number;
  readonly http?: HttpProbe;
  /** From the end of a check to the next one; default 5 s. */
  readonly intervalMs?: number;
  /** How long a check may take; default 5 s. */
  readonly timeoutMs?: number;
  /** Failures in a row that make a VM unhealthy; default 3. */
  readonly retries?: number;
  /** Time for the guest's start, in which failures do not count; default 2 min. */
  readonly startPeriodMs?: number;
}

/** One that has everything. */
export type FullHealthCheck = HealthCheck &
  Required<Pick<HealthCheck, 'intervalMs' | 'timeoutMs' | 'retries' | 'startPeriodMs'>>;

const DEFAULTS = { intervalMs: 5000, timeoutMs: 5000, retries: 3, startPeriodMs: 120_000 } as const;
/** A guest that is asked more often does nothing else. */
const SHORTEST_MS = 100;
const MAX_RETRIES = 1000;
const MAX_PATH = 1000;

function wrong(message: string, hint: string): VexitError {
  return new VexitError('ERR_CONFIG', message, hint);
}

/** @throws VexitError ERR_CONFIG */
export function parseHealthTime(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw wrong(
    `${JSON.stringify(text)} is not a length of time`,
    'write for example 500ms, 10s or 1m30s',
  );
}

/**
 * Parses `PORT` or `PORT/PATH`.
 * @throws VexitError ERR_CONFIG
 */
export function parseHttpProbe(text: string): HttpProbe {
  const match = /^(\d{1,5})(\/[\x21-\x7e]*)?$/.exec(text);
  if (match === null)
    throw wrong(`${JSON.stringify(text)} is no port and path`, 'write for example 80/ready');
  const [, port, path] = match;
  return { port: Number(port), ...(path === undefined ? {} : { path }) };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/** The port of the host that leads to this one of the guest. */
export function publishedPort(
  options: VirtualMachineOptions,
  port: number,
): { readonly host: string; readonly port: number } | undefined {
  for (const net of netSettings(options)) {
    for (const one of ('publish' in net ? net.publish : undefined) ?? []) {
      if (one.protocol !== 'tcp' || one.guestPort !== port || one.hostPort === 0) continue;
      const any = { '0.0.0.0': '127.0.0.1', '::': '::1' }[one.hostAddress];
      return { host: any ?? one.hostAddress, port: one.hostPort };
    }
  }
  return undefined;
}

/**
 * Checks what may come from a program, and fills in what is missing.
 * @param options of the VM, with the agent it is going to have
 * @throws VexitError ERR_CONFIG
 */
export function checkHealth(check: HealthCheck, options: VirtualMachineOptions): FullHealthCheck {
  const { exec, tcp, http } = check;
  const kinds = [exec, tcp, http].filter((one) => one !== undefined);
  if (kinds.length !== 1) {
    throw wrong(`a health check with ${kinds.length} of exec, tcp and http`, 'give one of them');
  }
  if (
    exec !== undefined &&
    (exec.length === 0 || exec[0] === '' || exec.some((arg) => arg.includes('\0')))
  ) {
    throw wrong('no program for the health check', 'give its name');
  }
  const port = tcp ?? http?.port;
  if (port !== undefined && !isPort(port)) throw wrong(`${port} is not a port`, 'give 1 to 65535');
  if (
    http?.path !== undefined &&
    !(/^\/[\x21-\x7e]*$/.test(http.path) && http.path.length <= MAX_PATH)
  ) {
    throw wrong(
      `${JSON.stringify(http.path)} is not a path of a web server`,
      'write for example /ready',
    );
  }
  const reachable = http !== undefined && publishedPort(options, http.port) !== undefined;
  if (!reachable && vsockDevice(options) === false) {
    throw wrong(
      'a health check needs the agent in the guest, and this VM has none',
      'publish the port of a web server and check that, or see "vexit guest agent"',
    );
  }
  const full = { ...DEFAULTS, ...check };
  checkTimes(full);
  return full;
}

function checkTimes({ intervalMs, timeoutMs, retries, startPeriodMs }: FullHealthCheck): void {
  for (const [what, ms] of [
    ['interval', intervalMs],
    ['timeout', timeoutMs],
  ] as const) {
    if (!(Number.isFinite(ms) && ms >= SHORTEST_MS && ms < 2 ** 31)) {
      throw wrong(
        `${ms} ms is not possible as the ${what} of a health check`,
        `give at least ${SHORTEST_MS} ms`,
      );
    }
  }
  if (!(Number.isFinite(startPeriodMs) && startPeriodMs >= 0 && startPeriodMs < 2 ** 31)) {
    throw wrong(`${startPeriodMs} ms is no start period`, 'give 0 or more');
  }
  if (!(Number.isInteger(retries) && retries >= 1 && retries <= MAX_RETRIES)) {
    throw wrong(
      `${retries} retries of a health check are not possible`,
      `give 1 to ${MAX_RETRIES}`,
    );
  }
}
