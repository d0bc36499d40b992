/** `vexit up` and `down` with Linux: a database, a web server and a client on one LAN. */
import { spawnSync } from 'node:child_process';
import { describeKvm } from '../support/kvm';
import { CLI, VexitHome } from '../support/vexit-home';

/** Three boots take a minute of a processor here; a busy machine may need many times that. */
const BUSY_MS = 900_000;
jest.setTimeout(BUSY_MS);

let host: VexitHome;
beforeAll(() => {
  host = new VexitHome();
});
afterEach(() => host.expectNothing());
afterAll(() => host.remove());

describeKvm('a project of Linux guests', () => {
  test('a client reaches the database by way of the web server, each when the other is healthy', async () => {
    host.write(`
name: shop
vms:
  db:
    net: none
    networks: [backend]
    command: while true; do echo rows of the database | nc -l -p 5432; done
    health: { tcp: 5432, interval: 1s, timeout: 30s }
  web:
    dependsOn: { db: healthy }
    net: none
    networks: [backend]
    command:
      - sh
      - -c
      - |
        mkdir -p /tmp/www/cgi-bin && cd /tmp/www && echo ready >index.html
        printf '#!/bin/sh\\necho; echo web asks; nc db 5432 </dev/null\\n' >cgi-bin/rows
        chmod +x cgi-bin/rows
        exec httpd -f -p 80 -h /tmp/www
    health: { http: 80/index.html, interval: 1s, timeout: 30s }
  client:
    dependsOn: { web: healthy }
    net: none
    networks: [backend]
    command: [wget, -q, -O-, "http://web/cgi-bin/rows"]
networks:
  backend:
`);
    const started = await host.vexit('up', '-d', '--wait');
    expect({ status: started.status, stderr: started.status === 0 ? '' : started.stderr }).toEqual({
      ...{ status: 0, stderr: '' },
    });
    const steps = started.stderr.split('\n').map((line) => line.replace(/ +/, ' '));
    const order = ['db healthy', 'web creating', 'web healthy', 'client creating'];
    expect(order.map((step) => steps.indexOf(step)).every((at) => at >= 0)).toBe(true);
    expect(steps.filter((step) => order.includes(step)).slice(0, 4)).toEqual(order);
    expect(await host.ok('wait', 'shop-client')).toBe('0');
    expect(await host.ok('logs', 'shop-client')).toContain('web asks\nrows of the database');
    expect(await host.ok('ps', '-f', 'health=healthy', '-q')).toBe('shop-db\nshop-web');
    expect(await host.ok('ps', '-f', 'name=shop-db')).toMatch(/running .*\(healthy\)/);
    expect(await host.up('web')).toEqual({ db: 'kept', web: 'kept' });
    expect(host.lans).toEqual(['shop_backend']);
    const events = (
      await host.ok('events', '--no-follow', '--since', '1h', '-f', 'type=health')
    ).split('\n');
    expect(events.map((line) => line.split(' ').slice(1).join(' '))).toEqual([
      ...['shop-db health health=healthy', 'shop-web health health=healthy'],
    ]);
    expect(JSON.parse(await host.ok('down', '-t', '0', '--json'))).toEqual({
      ...{ project: 'shop', removed: ['client', 'db', 'web'] },
    });
    // afterEach looks whether anything is left.
  });

  test('with a check that fails, what waits for it is not started and nothing is left', () => {
    // One boot, which is not waited for: the checks fail before it, and the start period is over at once.
    host.write(`
name: sick
vms:
  db: { net: none, health: { exec: "true", interval: 100ms, timeout: 100ms, retries: 2, startPeriod: 0 } }
  web: { dependsOn: { db: healthy } }
`);
    const { status, stderr } = spawnSync(process.execPath, [CLI, 'up', '-d'], {
      ...{ env: host.env, cwd: host.home, encoding: 'utf8' as const },
    });
    expect(status).toBe(2);
    expect(stderr.trim().split('\n').at(-1)).toMatch(
      /^vexit: db is unhealthy: the check took too long/,
    );
    expect(stderr).not.toContain('web');
  });
});
