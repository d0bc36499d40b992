/** Health checks: what results make of a VM, and that no check holds anything up. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestAgent } from '../../../src/agent/guest-agent';
import {
  checkHealth,
  parseHttpProbe,
  type HealthCheck,
} from '../../../src/manage/health/health-check';
import { HealthMonitor, type Watched } from '../../../src/manage/health/health-monitor';
import { nextHealth, type Health } from '../../../src/manage/health/health-state';
import { probe } from '../../../src/manage/health/probes';
import { VexitError } from '../../../src/util/errors';
import { parseDuration } from '../../../src/util/duration';
import { until } from '../../support/run-guest';

const AGENT = { agent: true } as const;
const FAST = { exec: ['x'], intervalMs: 100, timeoutMs: 100, retries: 2, startPeriodMs: 0 };

describe('the states', () => {
  const settings = { retries: 2, startPeriodMs: 1000 };
  /** Statuses after results at times: '+' is a success, '-' a failure. */
  const walk = (...steps: [result: '+' | '-', ms: number][]): string[] => {
    let health: Health = { status: 'starting', failures: 0 };
    return steps.map(([result, ms]) => {
      health = nextHealth(health, { ok: result === '+', output: result }, settings, ms);
      return `${health.status} ${health.failures}`;
    });
  };

  test('failures do not count in the start period', () => {
    expect(walk(['-', 0], ['-', 10], ['-', 999], ['-', 1000], ['-', 1001])).toEqual([
      ...['starting 0', 'starting 0', 'starting 0'],
      ...['starting 1', 'unhealthy 2'],
    ]);
  });

  test('a success ends the start period, and makes a VM healthy again', () => {
    expect(walk(['+', 1], ['-', 2], ['+', 3], ['-', 4], ['-', 5], ['-', 6], ['+', 7])).toEqual([
      ...['healthy 0', 'healthy 1', 'healthy 0', 'healthy 1'],
      ...['unhealthy 2', 'unhealthy 3', 'healthy 0'],
    ]);
  });

  test('output is bounded, and its end is kept', () => {
    const said = { ok: false, output: `${'x'.repeat(10_000)}end` };
    const { output } = nextHealth({ status: 'starting', failures: 0 }, said, settings, 0);
    expect(output).toHaveLength(200);
    expect(output).toMatch(/xend$/);
  });
});

describe('the monitor', () => {
  let monitor: HealthMonitor | undefined;
  afterEach(() => monitor?.stop());

  const watch = (vm: Partial<Watched>): Health[] => {
    const results: Health[] = [];
    monitor = new HealthMonitor(FAST, {
      probe: () => Promise.resolve({ ok: true, output: '' }),
      canAnswer: () => true,
      onResult: (health, changed) => {
        if (changed) results.push(health);
      },
      ...vm,
    });
    return results;
  };

  test('a check that never ends is a failure, and there is one at a time', async () => {
    let running = 0;
    let most = 0;
    const changes = watch({
      probe: async (signal) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        running--;
        return new Promise(() => undefined);
      },
    });
    await until('it is unhealthy', () => changes.length > 0, 10_000);
    expect(changes[0]).toMatchObject({ status: 'unhealthy', output: 'the check took too long' });
    expect(most).toBe(1);
  });

  test('a check that throws is a failure; what is paused is not asked', async () => {
    let asked = 0;
    let paused = true;
    const changes = watch({
      canAnswer: () => !paused,
      probe: () => {
        asked++;
        throw new VexitError('ERR_AGENT', 'the agent is lost');
      },
    });
    await sleep(250);
    expect(asked).toBe(0);
    paused = false;
    await until('it is unhealthy', () => changes.length > 0, 10_000);
    expect(changes[0]).toMatchObject({ status: 'unhealthy', output: 'the agent is lost' });
  });

  test('after its end there are no results and no checks', async () => {
    let asked = 0;
    const changes = watch({
      probe: async () => {
        asked++;
        await sleep(50);
        return { ok: true, output: '' };
      },
    });
    await until('a check', () => asked > 0, 10_000);
    monitor!.stop();
    await sleep(300);
    expect({ asked, changes }).toEqual({ asked: 1, changes: [] });
  });
});

describe('settings', () => {
  test.each<[HealthCheck, string]>([
    [{}, '0 of exec, tcp and http'],
    [{ tcp: 1, exec: ['x'] }, '2 of exec'],
    [{ exec: [] }, 'no program'],
    [{ exec: [''] }, 'no program'],
    [{ exec: ['a\0'] }, 'no program'],
    [{ tcp: 0 }, '0 is not a port'],
    [{ tcp: 1.5 }, '1.5 is not a port'],
    [{ http: { port: 65_536 } }, '65536 is not a port'],
    [{ http: { port: 80, path: 'x' } }, 'not a path'],
    [{ http: { port: 80, path: '/a\r\nHost: b' } }, 'not a path'],
    [{ tcp: 1, intervalMs: 0 }, 'interval'],
    [{ tcp: 1, timeoutMs: Infinity }, 'timeout'],
    [{ tcp: 1, startPeriodMs: -1 }, 'start period'],
    [{ tcp: 1, retries: 0 }, '0 retries'],
  ])('%j is refused', (check, message) => {
    expect(() => checkHealth(check, AGENT)).toThrow(message);
  });

  test('without an agent only a published web server can be checked', () => {
    const publish = [
      { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80 } as const,
    ];
    const options = { kernel: 'vmlinux', net: { publish } };
    expect(() => checkHealth({ tcp: 80 }, options)).toThrow('needs the agent');
    expect(() => checkHealth({ http: { port: 81 } }, options)).toThrow('needs the agent');
    expect(checkHealth({ http: { port: 80 } }, options)).toMatchObject({ retries: 3 });
  });

  test('times and web servers', () => {
    expect(['500ms', '2s', '1m30s', '5', '0.5s', '1h'].map(parseDuration)).toEqual([
      ...[500, 2000, 90_000, 5000, 500, 3_600_000],
    ]);
    expect(['', 's', '1d', '-1s', '1s1', '9999999999h'].map(parseDuration)).toEqual(
      Array<undefined>(6).fill(undefined),
    );
    expect(parseHttpProbe('80/a?b')).toEqual({ port: 80, path: '/a?b' });
    expect(() => parseHttpProbe('http://x')).toThrow('no port and path');
  });
});

describe('checks', () => {
  const check = (one: HealthCheck) => checkHealth(one, AGENT);
  /** An agent whose programs say this. */
  const agent = (status: number | null, stdout: string, asked: string[][] = []): GuestAgent =>
    ({
      run: (argv: string[]) => {
        asked.push(argv);
        const streams = { stdout: Buffer.from(stdout), stderr: Buffer.from('') };
        return Promise.resolve({ status, signal: status === null ? 'SIGKILL' : null, ...streams });
      },
    }) as unknown as GuestAgent;
  const { signal } = new AbortController();
  const run = (one: HealthCheck, by: GuestAgent | undefined, options = {}) =>
    probe(check(one), { agent: by, options }, signal);

  test('a program’s status counts', async () => {
    expect(await run({ exec: ['x'] }, agent(0, 'fine\n'))).toMatchObject({
      ok: true,
      output: 'fine',
    });
    expect(await run({ exec: ['x'] }, agent(3, ''))).toMatchObject({
      ...{ ok: false, output: 'x ended with status 3' },
    });
    expect(await run({ exec: ['x'] }, agent(null, ''))).toMatchObject({
      ...{ ok: false, output: 'x ended with signal SIGKILL' },
    });
    expect(await run({ exec: ['x'] }, undefined)).toMatchObject({ ok: false });
  });

  test('a port that is listened on, in IPv4 or IPv6', async () => {
    const zeros = '0'.repeat(32);
    const table = [
      '   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1',
      `   1: ${zeros}:0050 ${zeros}:0000 0A 00000000:00000000 00:00000000 00000000 0 0 2`,
      '   2: 0100007F:0051 0100007F:0A00 01 00000000:00000000 00:00000000 00000000 0 0 0A',
      'nonsense 0A',
    ].join('\n');
    for (const [port, ok] of [
      [5432, true],
      [80, true],
      [81, false],
      [1, false],
    ] as const) {
      expect(await run({ tcp: port }, agent(0, table))).toMatchObject({ ok });
    }
    expect(await run({ tcp: 80 }, agent(2, ''))).toMatchObject({ ok: false });
  });

  test('a web server: from the host when its port is published, else in the guest', async () => {
    const server = http.createServer((request, response) => {
      response.statusCode = request.url === '/ready' ? 204 : 503;
      // More than anybody wants, if it were read.
      response.end(request.url === '/ready' ? '' : 'x'.repeat(1e6));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port: hostPort } = server.address() as AddressInfo;
    const publish = [
      { protocol: 'tcp', hostAddress: '127.0.0.1', hostPort, guestPort: 80 } as const,
    ];
    const options = { net: { publish } };
    try {
      const web = (path: string) => run({ http: { port: 80, path } }, undefined, options);
      expect(await web('/ready')).toEqual({ ok: true, output: 'HTTP status 204' });
      expect(await web('/other')).toEqual({ ok: false, output: 'HTTP status 503' });
    } finally {
      server.closeAllConnections();
      server.close();
    }
    await expect(run({ http: { port: 80 } }, undefined, options)).rejects.toThrow('ECONNREFUSED');
    const asked: string[][] = [];
    expect(await run({ http: { port: 81 } }, agent(0, '', asked))).toMatchObject({ ok: true });
    expect(asked[0]!.at(-1)).toBe('http://127.0.0.1:81/');
  });
});
