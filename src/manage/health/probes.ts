/** One check of a VM: by the agent in its guest, or by a port that it publishes. */
import http from 'node:http';
import type { GuestAgent } from '../../agent/guest-agent.js';
import type { VirtualMachineOptions } from '../../machine/config.js';
import { publishedPort, type FullHealthCheck, type HttpProbe } from './health-check.js';
import type { ProbeResult } from './health-state.js';

/** More is nothing that anybody reads. */
const MAX_OUTPUT = 64 * 1024;
/** In /proc/net/tcp: TCP_LISTEN. */
const LISTEN = '0A';

/** The machine that is on. */
export interface ProbedVm {
  readonly agent: GuestAgent | undefined;
  readonly options: VirtualMachineOptions;
}

async function runProgram(
  agent: GuestAgent | undefined,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<ProbeResult & { readonly stdout: string }> {
  if (agent === undefined) return { ok: false, output: 'the guest has no agent', stdout: '' };
  const result = await agent.run(argv, { signal, maxOutput: MAX_OUTPUT });
  const stdout = result.stdout.toString('utf8');
  const said = `${stdout}${result.stderr.toString('utf8')}`.trim();
  const how = result.signal === null ? `status ${result.status}` : `signal ${result.signal}`;
  return {
    ok: result.status === 0,
    output: said === '' ? `${argv[0]} ended with ${how}` : said,
    stdout,
  };
}

/** Whether a line of /proc/net/tcp is that of a port that is listened on. */
function listens(line: string, port: number): boolean {
  const [, local = '', , state] = line.trim().split(/\s+/);
  return state === LISTEN && Number.parseInt(local.split(':')[1] ?? '', 16) === port;
}

/**
 * Looks at the guest's own table of sockets: a connection would need a program there that makes one, and
 * one from the host says nothing, because the user network takes it before the guest has answered.
 */
async function tcp(
  agent: GuestAgent | undefined,
  port: number,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'];
  const { stdout } = await runProgram(agent, ['grep', '-h', ` ${LISTEN} `, ...tables], signal);
  const ok = stdout.split('\n').some((line) => listens(line, port));
  return { ok, output: ok ? `port ${port} is listened on` : `nothing listens on port ${port}` };
}

/** A request from this host. */
function request(
  { host, port }: { readonly host: string; readonly port: number },
  path: string,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return new Promise((resolve, reject) => {
    const sent = http.get({ host, port, path, agent: false, signal }, (response) => {
      const { statusCode = 0 } = response;
      // The status is all that is wanted, whatever length the guest says its answer has.
      response.destroy();
      resolve({ ok: statusCode >= 200 && statusCode < 400, output: `HTTP status ${statusCode}` });
    });
    sent.on('error', reject);
  });
}

function web(
  vm: ProbedVm,
  { port, path = '/' }: HttpProbe,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const published = publishedPort(vm.options, port);
  if (published !== undefined) return request(published, path, signal);
  // No -T: Debian's static busybox dies of it, and the signal ends a request that takes too long.
  const url = `http://127.0.0.1:${port}${path}`;
  return runProgram(vm.agent, ['wget', '-q', '-O', '/dev/null', url], signal);
}

/** Does a check once. */
export async function probe(
  { exec, tcp: port, http: server }: FullHealthCheck,
  vm: ProbedVm,
  signal: AbortSignal,
): Promise<ProbeResult> {
  if (exec !== undefined) return runProgram(vm.agent, exec, signal);
  if (port !== undefined) return tcp(vm.agent, port, signal);
  return web(vm, server!, signal);
}
