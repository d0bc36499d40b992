/** Files without a mistake: what becomes of them, and that the published schema agrees. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Ajv, { type ValidateFunction } from 'ajv';
import { parse } from 'yaml';
import { RUN_OPTIONS } from '../../../src/cli/commands/run';
import { runOptions } from '../../../src/cli/run-options';
import type { RunArguments } from '../../../src/cli/commands/run';
import type { VirtualMachineOptions } from '../../../src/machine/config';
import { ProjectError } from '../../../src/manage/project/problems';
import { lanName } from '../../../src/manage/project/names';
import type { Project } from '../../../src/manage/project/project';
import { projectSchema, readProject } from '../../../src/manage/project/project-file';
import { VM_FIELDS } from '../../../src/manage/project/vm-fields';

const ROOT = path.resolve(__dirname, '../../..');
let directory: string;
let validate: ValidateFunction;

beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-project-'));
  for (const name of ['a.img', 'b.img', 'vmlinux', 'root.cpio']) {
    fs.writeFileSync(path.join(directory, name), '');
  }
  fs.mkdirSync(path.join(directory, 'data'));
  validate = new Ajv({ allErrors: true, strictTypes: false, strictSchema: true }).compile(
    projectSchema(),
  );
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

function read(text: string, env: NodeJS.ProcessEnv = {}, name = 'vms.yaml'): Project {
  const file = path.join(directory, name);
  fs.writeFileSync(file, text);
  return readProject(file, { env });
}

const FULL = `
# yaml-language-server: $schema=../schema/vms.json
name: shop
x-common: &common
  cpus: 2
  restart: on-failure:3
  env: { LANG: C }
vms:
  web:
    <<: *common
    memory: 256M
    dependsOn: { db: healthy, init: { condition: completed } }
    networks: { backend: { mac: "52:54:00:aa:BB:01" }, shared: }
    net: user,host=off
    publish: ["8080:80", 5353:53/udp]
    allowNet: example.org:443
    denyNet: [10.0.0.0/8, 192.168.0.0/16]
    command: exec httpd -f -p $PORT -h \${ROOT:-/srv}
    env: { PORT: 80, DEBUG: true, EMPTY: }
    workdir: /srv
    user: 1000:1000
    tty: true
    shares: ["./data:/srv:ro", { hostPath: data, guestPath: /data }]
    disks: ["a.img,data,ro", { path: a.img, readOnly: true, bytesPerSecond: 100M, root: false }]
    health: { http: { port: 80, path: /ready }, interval: 500ms, retries: 10, startPeriod: 1m30s }
    stopTimeout: 30
    rng: true
    balloon: true
    vsock: cid=7,path=web.vsock
    ioThreads: 2
    reboot: false
    debugExit: true
    console: virtio
    firmwareLog: true
    debugConsole: true
    pcap: web.pcapng
    cpu: host,-avx2
    agent: true
    append: quiet
  db:
    hostname: database
    networks: [backend]
    net: none
    command: [sh, -c, "echo $$"]
    health: { exec: [test, -e, /ready], timeout: 1s }
    pmem: ["b.img,ro"]
  init: { restart: "no", dependsOn: [db] }
  own:
    kernel: vmlinux
    initrd: root.cpio
    cmdline: console=ttyS0
    bootProtocol: linux
    flatAddress: 0x7c00
    guest: built
    kvm: /dev/kvm
  rom: { firmware: vmlinux, net: [user, "lan=other"] }
  empty:
networks:
  backend: { mtu: 9000 }
  shared: { lan: all }
`;

test('everything that can be written', () => {
  const project = read(FULL, { ROOT: '/www' });
  expect({ ...project, vms: [...project.vms.keys()] }).toEqual({
    name: 'shop',
    file: path.join(directory, 'vms.yaml'),
    directory,
    // Each after what it depends on.
    vms: ['db', 'init', 'web', 'own', 'rom', 'empty'],
  });
  const web = project.vms.get('web')!;
  expect(web).toMatchObject({
    vmName: 'shop-web',
    stopMs: 30_000,
    dependsOn: [
      { vm: 'db', condition: 'healthy' },
      { vm: 'init', condition: 'completed' },
    ],
    health: {
      ...{ http: { port: 80, path: '/ready' }, intervalMs: 500, retries: 10 },
      ...{ startPeriodMs: 90_000, timeoutMs: 5000 },
    },
    config: { restart: { name: 'on-failure', max: 3 }, log: { firmware: true, debug: true } },
  });
  const user = { kind: 'user', host: false, pcap: 'web.pcapng' };
  expect(web.config.options).toMatchObject({
    ...{ hostName: 'web', cpus: 2, memory: 256 * 2 ** 20, onReboot: 'exit', append: 'quiet' },
    command: {
      argv: ['sh', '-c', 'exec httpd -f -p $PORT -h /www'],
      env: { PORT: '80', DEBUG: 'true', EMPTY: '' },
      ...{ cwd: '/srv', user: '1000:1000', tty: { rows: 24, cols: 80 } },
    },
    net: [
      {
        ...user,
        publish: [
          { protocol: 'tcp', hostPort: 8080, guestPort: 80, hostAddress: '127.0.0.1' },
          { protocol: 'udp', hostPort: 5353, guestPort: 53 },
        ],
        allow: [{ name: 'example.org', ports: [443, 443] }],
        deny: [{ cidr: '10.0.0.0/8' }, { cidr: '192.168.0.0/16' }],
      },
      { kind: 'lan', lan: 'shop_backend', mtu: 9000, mac: '52:54:00:aa:bb:01' },
      { kind: 'lan', lan: 'all' },
    ],
    shares: [
      { hostPath: path.join(directory, 'data'), guestPath: '/srv', readOnly: true },
      { hostPath: path.join(directory, 'data'), guestPath: '/data', readOnly: false },
    ],
    disks: [
      { path: 'a.img', root: false, readOnly: true },
      { path: 'a.img', readOnly: true, bytesPerSecond: 100 * 2 ** 20, root: false },
    ],
    ...{ rng: true, balloon: true, vsock: { cid: 7, path: 'web.vsock' }, ioThreads: 2 },
    ...{ debugExit: true, virtioConsole: true, cpu: 'host,-avx2', agent: true },
  });
  expect(project.vms.get('db')!.config.options).toEqual({
    hostName: 'database',
    net: [{ kind: 'lan', lan: 'shop_backend', mtu: 9000 }],
    command: { argv: ['sh', '-c', 'echo $$'] },
    pmem: [{ path: 'b.img', readOnly: true }],
  });
  expect(project.vms.get('empty')!.config.options).toEqual({
    hostName: 'empty',
    net: [{ kind: 'user' }],
  });
  expect(project.vms.get('own')!.config.options).toMatchObject({
    ...{ kernel: 'vmlinux', initrd: ['root.cpio'], flatAddress: 0x7c00, kvmDevice: '/dev/kvm' },
  });
  expect(validate(parse(FULL, { merge: true }))).toBe(true);
});

test('a file in JSON; another name, and that of the directory', () => {
  const text = JSON.stringify({ $schema: './vms.json', vms: { a: { cpus: 3 } } }, undefined, '\t');
  const project = read(text, {}, 'vms.json');
  expect(project.vms.get('a')!.config.options.cpus).toBe(3);
  expect(project.name).toMatch(/^vexit-project-[a-z0-9-]+$/);
  expect(readProject(project.file, { name: 'other' }).vms.get('a')!.vmName).toBe('other-a');
  expect(() => readProject(project.file, { name: 'O' })).toThrow('is not a name for a project');
});

test('variables without quotation marks are what they look like', () => {
  const text = [
    'vms:',
    '  a:',
    '    cpus: ${CPUS:-2}',
    '    rng: "${RNG-true}"',
    '    append: ${A}$${B} $C',
  ].join('\n');
  expect(read(text, { A: 'x' }).vms.get('a')!.config.options).toMatchObject({
    ...{ cpus: 2, rng: true, append: 'x${B} $C' },
  });
  expect(read(text, { A: 'x', CPUS: '4' }).vms.get('a')!.config.options.cpus).toBe(4);
});

test('limits are those of "vexit run"', () => {
  const text =
    'vms: {a: {cpuWeight: 50, cpuQuota: 1.5, cpuset: 0-1, memoryLimit: 1G, ioWeight: 200}, b: {}}';
  const { vms } = read(text);
  expect(vms.get('a')!.config.resources).toEqual({
    ...{ cpuWeight: 50, cpuQuota: 1.5, cpuset: '0-1', memoryLimit: 2 ** 30, ioWeight: 200 },
  });
  expect(vms.get('b')!.config).not.toHaveProperty('resources');
  expect(() => read('vms: {a: {cpuQuota: 0}}')).toThrow('a CPU quota of 0 is not possible');
});

test('LANs of two projects never have the same name', () => {
  const names = [
    lanName('a', 'b-c'),
    lanName('a-b', 'c'),
    lanName('a', 'b_c'),
    lanName('x'.repeat(31), 'n1'),
    lanName('x'.repeat(31), 'n2'),
  ];
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/);
});

describe('the options of "vexit run"', () => {
  /** By the keys of a file; null: not for VMs in the background, or not for people. */
  const KEYS: Readonly<Record<keyof typeof RUN_OPTIONS, keyof typeof VM_FIELDS | null>> = {
    ...{ kernel: 'kernel', firmware: 'firmware', initrd: 'initrd', guest: 'guest' },
    ...{ cmdline: 'cmdline', append: 'append', 'boot-protocol': 'bootProtocol' },
    ...{ 'flat-address': 'flatAddress', cpus: 'cpus', memory: 'memory', cpu: 'cpu', disk: 'disks' },
    ...{ net: 'net', publish: 'publish', 'allow-net': 'allowNet', 'deny-net': 'denyNet' },
    ...{ pcap: 'pcap', share: 'shares', pmem: 'pmem', console: 'console', rng: 'rng' },
    ...{ balloon: 'balloon', vsock: 'vsock', 'io-threads': 'ioThreads', restart: 'restart' },
    ...{ reboot: 'reboot', 'debug-exit': 'debugExit', tty: 'tty', env: 'env', workdir: 'workdir' },
    ...{ user: 'user', 'firmware-log': 'firmwareLog', 'debug-console': 'debugConsole', kvm: 'kvm' },
    ...{ hostname: 'hostname', 'cpu-weight': 'cpuWeight', 'cpu-quota': 'cpuQuota' },
    ...{ cpuset: 'cpuset', 'memory-limit': 'memoryLimit', 'io-weight': 'ioWeight' },
    ...{ 'health-cmd': 'health', 'health-tcp': 'health', 'health-http': 'health' },
    ...{ 'health-interval': 'health', 'health-timeout': 'health', 'health-retries': 'health' },
    ...{ 'health-start-period': 'health' },
    ...{ name: null, detach: null, rm: null, timeout: null, verbose: null, json: null, pvm: null },
  };

  test('are all keys of a VM, and the other way round', () => {
    expect(Object.keys(KEYS).sort()).toEqual(Object.keys(RUN_OPTIONS).sort());
    const keys = new Set<string>(Object.values(KEYS).filter((key) => key !== null));
    const others = Object.keys(VM_FIELDS).filter((key) => !keys.has(key));
    expect(others).toEqual(['networks', 'agent', 'command', 'dependsOn', 'stopTimeout']);
  });

  test('mean the same', async () => {
    const args = {
      ...{
        memory: '64M',
        cpus: 2,
        reboot: true,
        detach: true,
        disk: ['a.img,ro'],
        pmem: ['b.img,ro'],
      },
      ...{ publish: ['80'], denyNet: ['10.0.0.0/8'], console: 'virtio', flatAddress: '0x100' },
      ...{
        vsock: 'path=s',
        hostname: 'a',
        env: ['A=b'],
        workdir: '/',
        user: '1',
        '--': ['ls', '-l'],
      },
    };
    const file = `vms: {a: {memory: 64M, cpus: 2, disks: ["a.img,ro"], pmem: ["b.img,ro"], publish: [80],
      denyNet: 10.0.0.0/8, console: virtio, flatAddress: 0x100, vsock: path=s, env: [A=b], workdir: /,
      user: 1, command: [ls, -l]}}`;
    const asked = await runOptions(args as unknown as RunArguments);
    const normal = ({ memory, onReboot = 'restart', ...rest }: VirtualMachineOptions): unknown => ({
      ...rest,
      onReboot,
      memory: memory === '64M' ? 64 * 2 ** 20 : memory,
    });
    expect(normal(read(file).vms.get('a')!.config.options)).toEqual(normal(asked));
  });

  test('every option of the library has a key, or is not for files', () => {
    // The compiler finds an option that is missing here.
    const OPTIONS: Readonly<Record<keyof VirtualMachineOptions, keyof typeof VM_FIELDS | null>> = {
      ...{ kernel: 'kernel', firmware: 'firmware', guest: 'guest', bootProtocol: 'bootProtocol' },
      ...{ flatAddress: 'flatAddress', initrd: 'initrd', cmdline: 'cmdline', append: 'append' },
      ...{ cpus: 'cpus', memory: 'memory', cpu: 'cpu', onReboot: 'reboot', debugExit: 'debugExit' },
      ...{ command: 'command', agent: 'agent', ioThreads: 'ioThreads', kvmDevice: 'kvm' },
      ...{ disks: 'disks', net: 'net', shares: 'shares', pmem: 'pmem', virtioConsole: 'console' },
      ...{ rng: 'rng', balloon: 'balloon', vsock: 'vsock', hostName: 'hostname' },
      // The name is the key; the terminal is nobody's; classes and tests are no text.
      ...{ name: null, terminal: null, pvm: null, devices: null },
    };
    for (const key of Object.values(OPTIONS))
      if (key !== null) expect(VM_FIELDS).toHaveProperty(key);
  });
});

describe('the JSON schema', () => {
  test('is the one that is published', () => {
    const file = path.join(ROOT, 'schema/vms.json');
    // After a change: node dist/cli.js config schema >schema/vms.json
    expect(JSON.parse(fs.readFileSync(file, 'utf8'))).toEqual(projectSchema());
  });

  test('describes every key', () => {
    const bare: string[] = [];
    const walk = (schema: Record<string, unknown>, at: string): void => {
      for (const [key, value] of Object.entries(schema)) {
        if (typeof value !== 'object' || value === null) continue;
        if (key === 'properties') {
          for (const [name, one] of Object.entries(
            value as Record<string, { description?: string }>,
          )) {
            if ((one.description ?? '').length < 10) bare.push(`${at}.${name}`);
          }
        }
        walk(value as Record<string, unknown>, `${at}.${key}`);
      }
    };
    walk(projectSchema(), '');
    expect(bare).toEqual([]);
  });

  test.each([
    ['no VMs', {}],
    ['an unknown key', { vms: { a: { memroy: '1G' } } }],
    ['another type', { vms: { a: { cpus: 'many' } } }],
    ['a number out of range', { vms: { a: { cpus: 99 } } }],
    ['an unknown word', { vms: { a: { console: 'tty' } } }],
    ['a disk without a path', { vms: { a: { disks: [{ readOnly: true }] } } }],
    ['a name', { vms: { A: {} } }],
    ['an empty command', { vms: { a: { command: [] } } }],
    ['a condition', { vms: { a: { dependsOn: { b: 'ready' } } } }],
  ])('refuses %s', (_, value) => expect(validate(value)).toBe(false));

  test('takes variables', () => {
    expect(validate({ vms: { a: { cpus: '${CPUS}', rng: '${RNG:-true}' } } })).toBe(true);
  });
});

test('vexit config validate: a line for each mistake, or that there is none', () => {
  const cli = (file: string): { status: number | null; stdout: string; stderr: string } => {
    const args = [path.join(ROOT, 'dist/cli.js'), 'config', 'validate', file];
    return spawnSync(process.execPath, args, { encoding: 'utf8', cwd: directory });
  };
  fs.writeFileSync(path.join(directory, 'good.yaml'), 'vms: {a: }\n');
  fs.writeFileSync(
    path.join(directory, 'bad.json'),
    '{"vms": {"a": {"cpus": 0, "memory": "x"}}}\n',
  );
  expect(cli('good.yaml')).toMatchObject({ status: 0, stdout: 'good.yaml: right\n', stderr: '' });
  const bad = cli('bad.json');
  expect(bad).toMatchObject({ status: 2, stdout: '' });
  expect(bad.stderr.split('\n')).toEqual([
    'bad.json:1:24: vms.a.cpus: "0" is not a number from 1 to 32; write for example 1',
    'bad.json:1:37: vms.a.memory: "x" is not a size; write for example 512M',
    '',
  ]);
});

test('whatever is done to a file, it is read or has mistakes', () => {
  // A linear congruential generator (Numerical Recipes): the same files in every run.
  let seed = 1;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const pieces = [
    ...[
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '- ',
      '? ',
      '\n',
      '  ',
      '"',
      "'",
      '*a',
      '&a ',
      '<<: ',
      '!!map ',
    ],
    ...[
      '|\n',
      '>-\n',
      '#',
      '---\n',
      '${A}',
      '${',
      '$$',
      '0x1',
      'null',
      'true',
      '1e9',
      '.nan',
      '\0',
      '\t',
      '%',
    ],
    ...[
      'vms:',
      'networks:',
      'dependsOn: ',
      'health: ',
      '__proto__: ',
      'constructor: ',
      'toString: ',
    ],
  ];
  let refused = 0;
  for (let round = 0; round < 100; round++) {
    let text = FULL;
    for (let change = 0; change <= random(4); change++) {
      const at = random(text.length);
      text = text.slice(0, at) + pieces[random(pieces.length)]! + text.slice(at + random(12));
    }
    try {
      read(text);
    } catch (error) {
      if (!(error instanceof ProjectError)) throw new Error(`in ${text}`, { cause: error });
      for (const { line, column } of error.problems) {
        expect(line).toBeGreaterThanOrEqual(0);
        expect(column).toBeGreaterThanOrEqual(line === 0 ? 0 : 1);
      }
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(25);
});
