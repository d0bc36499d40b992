/** Every kind of mistake in a project's file, with its line and column. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { formatProblem, ProjectError, type Problem } from '../../../src/manage/project/problems';
import { readProject, readProjectName } from '../../../src/manage/project/project-file';

let directory: string;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'vexit-project-'));
  for (const name of ['a.img', 'b.img']) fs.writeFileSync(path.join(directory, name), '');
  fs.mkdirSync(path.join(directory, 'data'));
  fs.symlinkSync('a.img', path.join(directory, 'link.img'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

/** The mistakes as "LINE:COLUMN PATH: MESSAGE; HINT". */
function mistakes(text: string | Buffer, env: NodeJS.ProcessEnv = {}): string[] {
  const file = path.join(directory, 'vms.yaml');
  fs.writeFileSync(file, text);
  try {
    readProject(file, { env });
    return [];
  } catch (error) {
    if (!(error instanceof ProjectError)) throw error;
    expect(error.code).toBe('ERR_PROJECT');
    const lines = error.problems.map(formatProblem);
    expect(error.message).toBe(lines.join('\n'));
    return lines.map((line) => {
      expect(line.startsWith(`${file}:`)).toBe(true);
      expect(line).not.toContain('\n');
      return line.slice(file.length + 1);
    });
  }
}

/** A VM `a` with these keys, the first in line 3, column 5. */
const vm = (...lines: string[]): string =>
  ['vms:', '  a:', ...lines.map((one) => `    ${one}`)].join('\n');

describe('one mistake', () => {
  test.each<[name: string, text: string, expected: string]>([
    ['a syntax error', 'vms:\n  a: }\n', '2:'],
    ['a tab', 'vms:\n\ta: {}\n', '2:1'],
    [
      'two documents',
      'vms: {a: }\n---\nvms: {a: }\n',
      '2:1: a second document begins; a file has one',
    ],
    ['an unknown tag', vm('cpus: !big 1'), '3:11: Unresolved tag: !big'],
    ['nothing but a comment', '# nothing\n', '1:1: the file has no vms; add vms: ...'],
    ['an empty file', ' \n', ' the file is empty; describe at least one VM under "vms:"'],
    ['a list', '- a\n', '1:1: a list instead of the file'],
    ['text', 'hello\n', '1:1: a value instead of the file'],
    ['no VMs', 'name: x\n', '1:1: the file has no vms'],
    ['an empty list of VMs', 'vms: {}\n', '1:6: vms: there are no VMs'],
    ['VMs without a value', 'vms:\n', '1:1: vms: there is no value'],
    ['VMs as a list', 'vms:\n  - a\n', '2:3: vms: a list instead of VMs'],
    ['a key twice', vm('cpus: 1', 'memory: 1G', 'cpus: 2'), '5:5: vms.a.cpus: cpus is given twice'],
    ['a VM twice', 'vms:\n  a: {}\n  a: {}\n', '3:3: vms.a: a is given twice'],
    [
      'an unknown key',
      vm('memroy: 1G'),
      '3:5: vms.a.memroy: a VM has no key "memroy"; did you mean memory?',
    ],
    [
      'a key of another tool',
      vm('volumes: []'),
      '3:5: vms.a.volumes: a VM has no key "volumes"; did you mean shares?',
    ],
    [
      'a key in another style',
      vm('depends_on: []'),
      '3:5: vms.a.depends_on: a VM has no key "depends_on"; did you mean dependsOn?',
    ],
    [
      'a key like nothing',
      vm('frobnicate: 1'),
      '3:5: vms.a.frobnicate: a VM has no key "frobnicate"; known keys are kernel',
    ],
    [
      'services',
      'services: {a: }\n',
      '1:1: services: the file has no key "services"; did you mean vms?',
    ],
    ['a key that is a list', 'vms:\n  ? [a]\n  : {}\n', '2:5: vms: a key has to be text'],
    ['a key without a value', vm('memory:'), '3:5: vms.a.memory: there is no value'],
    [
      'a size',
      vm('memory: lots'),
      '3:13: vms.a.memory: "lots" is not a size; write for example 512M',
    ],
    ['a size that is too small', vm('memory: 1M'), '3:13: vms.a.memory: "1M" is too small'],
    ['a size that is a list', vm('memory: [1G]'), '3:13: vms.a.memory: a list instead of text'],
    ['a number', vm('cpus: many'), '3:11: vms.a.cpus: "many" is not a number from 1 to 32'],
    ['a number in quotation marks', vm('cpus: "2"'), '3:11: vms.a.cpus: "2" is not a number'],
    ['a number too large', vm('cpus: 33'), '3:11: vms.a.cpus: "33" is not a number from 1 to 32'],
    ['a fraction', vm('cpus: 1.5'), '3:11: vms.a.cpus: "1.5" is not a number'],
    ['true for text', vm('append: true'), '3:13: vms.a.append: true instead of text'],
    ['text for true', vm('rng: yes'), '3:10: vms.a.rng: "yes" is not true or false'],
    [
      'a word',
      vm('console: seriel'),
      '3:14: vms.a.console: "seriel" is not known; did you mean serial?',
    ],
    [
      'another word',
      vm('guest: windows'),
      '3:12: vms.a.guest: "windows" is not known; write one of: built, cloud',
    ],
    [
      'a restart policy',
      vm('restart: sometimes'),
      '3:14: vms.a.restart: sometimes is not known; write no, on-failure',
    ],
    [
      'a port',
      vm('publish:', '  - 8080:http'),
      '4:9: vms.a.publish[0]: a mistake in published port "8080:http"',
    ],
    [
      'a port that is too large',
      vm('publish: ["1:99999"]'),
      '3:15: vms.a.publish[0]: "99999" is not a port',
    ],
    ['a rule', vm('denyNet: 10.0.0.0/99'), '3:14: vms.a.denyNet: "10.0.0.0/99" is not an address'],
    [
      'a disk’s setting',
      vm('disks: ["a.img,rw"]'),
      '3:13: vms.a.disks[0]: disk: rw is not a setting',
    ],
    [
      'a disk without a path',
      vm('disks: [{readOnly: true}]'),
      '3:13: vms.a.disks[0]: a disk has no path',
    ],
    [
      'a disk’s key',
      vm('disks:', '  - path: a.img', '    readonly: true'),
      '5:9: vms.a.disks[0].readonly: a disk has no key "readonly"; did you mean readOnly?',
    ],
    [
      'a disk’s value',
      vm('disks: [{path: a.img, blockSize: 1000}]'),
      '3:13: vms.a.disks[0]: disk a.img: a block size of 1000',
    ],
    [
      'a disk that is not there',
      vm('disks: [c.img]'),
      '3:13: vms.a.disks[0]: there is no file c.img; paths are relative to',
    ],
    [
      'a kernel that is not there',
      vm('kernel: vmlinux'),
      '3:13: vms.a.kernel: there is no file vmlinux',
    ],
    [
      'an initrd that is not there',
      vm('initrd: x.cpio arguments'),
      '3:13: vms.a.initrd: there is no file x.cpio;',
    ],
    [
      'persistent memory that is not there',
      vm('pmem: ["x,ro"]'),
      '3:12: vms.a.pmem[0]: there is no file x;',
    ],
    [
      'two disks of one serial',
      vm('disks: [{path: a.img, serial: S}, {path: b.img, serial: S}]'),
      '3:5: vms.a: disks a.img and b.img have the same serial S',
    ],
    [
      'a share that is not there',
      vm('shares: ["./nothing:/mnt"]'),
      '3:14: vms.a.shares[0]: ./nothing:/mnt: there is no directory ./nothing',
    ],
    [
      'a share of a root',
      vm('shares: [{hostPath: data, guestPath: /}]'),
      '3:14: vms.a.shares[0]: data:/:rw: a share cannot cover',
    ],
    [
      'a network option',
      vm('net: user,hosts=off'),
      '3:10: vms.a.net: unknown network setting "hosts"',
    ],
    [
      'none and more',
      vm('net: [user, none]'),
      '3:17: vms.a.net[1]: none goes with no other network',
    ],
    [
      'a rule without a user network',
      vm('net: none', 'publish: ["80"]'),
      '4:14: vms.a.publish: publish is about a user network',
    ],
    [
      'an unknown network',
      vm('networks: [back]'),
      '3:16: vms.a.networks[0]: there is no network back; add it to networks:',
    ],
    [
      'a misspelt network',
      `${vm('networks: {bckend: }')}\nnetworks: {backend: }`,
      '3:16: vms.a.networks.bckend: there is no network bckend; did you mean backend?',
    ],
    [
      'a network twice',
      `${vm('networks: [b, b]')}\nnetworks: {b: }`,
      '3:19: vms.a.networks[1]: b is there twice, as vms.a.networks[0] (line 3)',
    ],
    [
      'a network’s MTU',
      `${vm('networks: [b]')}\nnetworks: {b: {mtu: 1}}`,
      '4:21: networks.b.mtu: "1" is not a number from 1280',
    ],
    [
      'a network’s name',
      `${vm('cpus: 1')}\nnetworks: {"b c": }`,
      '4:12: networks.b c: "b c" is not a name for a network',
    ],
    [
      'a MAC address',
      `${vm('networks: {b: {mac: "1"}}')}\nnetworks: {b: }`,
      '3:25: vms.a.networks.b.mac: 1 is not a unicast MAC address',
    ],
    [
      'a multicast MAC address',
      vm('net: "tap=tap0,mac=01:00:00:00:00:01"'),
      '3:5: vms.a: 01:00:00:00:00:01 is not a unicast',
    ],
    [
      'a VM’s name',
      'vms: {Web_1: }\n',
      '1:7: vms.Web_1: "Web_1" is not a name for a VM of a project',
    ],
    [
      'a project’s name',
      'name: My Shop\nvms: {a: }\n',
      '1:7: name: "My Shop" is not a name for a project',
    ],
    ['a host name', vm('hostname: a_b'), '3:5: vms.a: "a_b" is not a host name'],
    ['an empty command', vm('command: []'), '3:14: vms.a.command: the command is empty'],
    [
      'env without a command',
      vm('env: {A: 1}'),
      '3:10: vms.a.env: env is about a command, and there is none',
    ],
    ['env without =', vm('command: [a]', 'env: [A]'), '4:10: vms.a.env: A is not NAME=VALUE'],
    ['a user', vm('command: [a]', 'user: www'), '4:11: vms.a.user: "www" is not uid or uid:gid'],
    ['an address', vm('flatAddress: here'), '3:18: vms.a.flatAddress: "here" is not an address'],
    ['a time', vm('stopTimeout: soon'), '3:18: vms.a.stopTimeout: "soon" is not a length of time'],
    ['a processor feature', vm('cpu: host,+avx2'), '3:10: vms.a.cpu:'],
    ['vsock', vm('vsock: cid=3'), '3:12: vms.a.vsock: has no path'],
    [
      'kernel and firmware',
      vm('kernel: a.img', 'firmware: b.img'),
      '3:5: vms.a: a kernel and firmware at once',
    ],
    [
      'a health check of nothing',
      vm('health: {interval: 1s}'),
      '3:13: vms.a.health: a health check with 0 of exec, tcp and http',
    ],
    [
      'a health check of two things',
      vm('health: {tcp: 1, http: 80}'),
      '3:13: vms.a.health: a health check with 2 of exec',
    ],
    [
      'a health check’s port',
      vm('health: {tcp: 0}'),
      '3:19: vms.a.health.tcp: "0" is not a number from 1 to 65535',
    ],
    [
      'a health check’s time',
      vm('health: {tcp: 1, interval: 0}'),
      '3:13: vms.a.health: 0 ms is not possible as the interval',
    ],
    [
      'a health check without an agent',
      vm('kernel: a.img', 'health: {tcp: 80}'),
      '4:13: vms.a.health: a health check needs the agent',
    ],
    ['a dependency on a list', vm('dependsOn: 3'), '3:16: vms.a.dependsOn: a value instead of VMs'],
    [
      'a dependency on nobody',
      vm('dependsOn: [b]'),
      '3:17: vms.a.dependsOn[0]: there is no VM b; VMs are a',
    ],
    [
      'a dependency on itself',
      vm('dependsOn: [a]'),
      '3:17: vms.a.dependsOn[0]: VMs wait for each other: a -> a',
    ],
    [
      'a condition',
      `${vm('dependsOn: {b: helthy}')}\n  b: {health: {tcp: 1}}`,
      '3:20: vms.a.dependsOn.b: "helthy" is not known; did you mean healthy?',
    ],
    [
      'healthy without a check',
      `${vm('dependsOn: {b: healthy}')}\n  b:`,
      '3:20: vms.a.dependsOn.b: b has no health check',
    ],
    [
      'completed for ever',
      `${vm('dependsOn: {b: {condition: completed}}')}\n  b: {restart: always}`,
      '3:20: vms.a.dependsOn.b: b never ends',
    ],
    [
      'a cycle',
      'vms:\n  a: {dependsOn: [b]}\n  b: {dependsOn: [c]}\n  c: {dependsOn: [a]}\n',
      '2:19: vms.a.dependsOn[0]: VMs wait for each other: a -> b -> c -> a',
    ],
    [
      'a port of two VMs',
      'vms:\n  a: {publish: ["8080:80"]}\n  b: {publish: ["0.0.0.0:8080:81"]}\n',
      '3:17: vms.b.publish[0]: port 8080/tcp of the host is published by vms.a.publish[0] (line 2) as well',
    ],
    [
      'a MAC address of two VMs',
      'vms:\n  a: {networks: {n: {mac: "52:54:00:00:00:01"}}}\n  b: {net: "lan=x,mac=52:54:00:00:00:01"}\nnetworks: {n: }\n',
      '3:12: vms.b.net: the MAC address 52:54:00:00:00:01 is that of',
    ],
    [
      'a host name of two VMs',
      'vms:\n  a: {networks: [n]}\n  b: {networks: [n], hostname: A}\nnetworks: {n: }\n',
      '3:18: vms.b.networks[0]: a VM with the host name a is on n already',
    ],
    [
      'a disk of two VMs',
      'vms:\n  a: {disks: [a.img]}\n  b: {disks: ["./link.img,ro"]}\n',
      '3:15: vms.b.disks[0]: ./link.img is used by vms.a.disks[0] (line 2) as well',
    ],
    [
      'a disk twice',
      vm('disks: [a.img, a.img]'),
      '3:20: vms.a.disks[1]: a.img is used by vms.a.disks[0]',
    ],
    [
      'an overlay of two VMs',
      'vms:\n  a: {disks: ["a.img,overlay=o"]}\n  b: {disks: ["a.img,overlay=o"]}\n',
      '3:15: vms.b.disks[0]: o is used by',
    ],
    [
      'an alias of nothing',
      vm('cpus: *many'),
      '3:11: vms.a.cpus: nothing before has the anchor &many',
    ],
    ['a merge of nothing', vm('<<: 1'), '3:9: vms.a: << needs a mapping'],
    [
      'a variable',
      vm('append: ${NOTHING}'),
      '3:13: vms.a.append: the variable NOTHING is not set; set it, or write ${NOTHING:-default}',
    ],
    [
      'a variable with a message',
      vm('append: "${NOTHING:?give one}"'),
      '3:13: vms.a.append: the variable NOTHING is not set: give one',
    ],
    ['what is no variable', vm('append: ${1+1}'), '3:13: vms.a.append: ${1+1} is not a variable'],
    ['a variable’s value', vm('cpus: ${CPUS:-lots}'), '3:11: vms.a.cpus: "lots" is not a number'],
  ])('%s', (_, text, expected) => {
    const found = mistakes(text);
    expect(found[0]).toBeDefined();
    expect(found[0]!.slice(0, expected.length)).toBe(expected);
    expect(found).toHaveLength(1);
  });
});

test('all mistakes of a file are reported, in their order', () => {
  const text = [
    'name: Shop',
    'vms:',
    '  web:',
    '    memory: lots',
    '    cpus: 0',
    '    dependsOn: [bd]',
    '  db:',
    '    helth: {}',
    '    publish: [x]',
  ].join('\n');
  expect(mistakes(text).map((line) => /^\d+:\d+/.exec(line)?.[0])).toEqual([
    '1:7',
    '4:13',
    '5:11',
    '6:17',
    '8:5',
    '9:15',
  ]);
});

describe('what is not a file of text', () => {
  const problems = (file: string): readonly Problem[] => {
    try {
      readProject(file);
    } catch (error) {
      return (error as ProjectError).problems;
    }
    throw new Error('it is one');
  };

  test('nothing, a directory, a device that never ends', () => {
    expect(problems(path.join(directory, 'none'))[0]!.message).toBe('there is no such file');
    expect(problems(directory)[0]!.message).toBe('it is not a file');
    expect(problems('/dev/zero')[0]!.message).toBe('it is not a file');
  });

  test('a large file, and one in another encoding', () => {
    expect(mistakes(`# ${'x'.repeat(300_000)}`)).toEqual([' it has more than 65536 bytes']);
    expect(mistakes(Buffer.from([0x76, 0x6d, 0x73, 0xff]))).toEqual([' it is not UTF-8 text']);
  });
});

describe('files that are meant to take long', () => {
  const nested = (text: string, count: number): string => text.repeat(count);
  test.each<[string, string]>([
    ['brackets', nested('[', 60_000)],
    ['braces', nested('{a: ', 15_000)],
    ['lists in a line', nested('- ', 32_000)],
    ['keys in a line', nested('? ', 32_000)],
    ['indentation', Array.from({ length: 700 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['anchors', nested('&a ', 20_000)],
    ['tags', nested('!a ', 20_000)],
    ['quotation marks', nested('"', 60_000)],
    ['NUL characters', nested('\0', 60_000)],
    ['keys', Array.from({ length: 9000 }, (_, i) => `a${i}: 1`).join('\n')],
    ['VMs', `vms:\n${Array.from({ length: 6000 }, (_, i) => `  a${i}: 1`).join('\n')}`],
    ['variables', vm(`append: "${'${'.repeat(20_000)}"`)],
    [
      'aliases of aliases',
      [
        'x-a0: &a0 {a: 1}',
        ...Array.from(
          { length: 40 },
          (_, i) =>
            `x-a${i + 1}: &a${i + 1} [${Array.from({ length: 9 }, () => `*a${i}`).join(', ')}]`,
        ),
        'vms:',
        '  a: {disks: *a40, command: *a40, env: *a40}',
      ].join('\n'),
    ],
    ['a mapping that takes in itself', 'vms:\n  a: &a\n    <<: [*a, *a, *a, *a]\n    cpus: 1\n'],
    [
      'mappings that take in each other',
      [
        'x-a0: &a0 {cpus: 1}',
        ...Array.from(
          { length: 30 },
          (_, i) =>
            `x-a${i + 1}: &a${i + 1} {<<: [${Array.from({ length: 9 }, () => `*a${i}`).join(', ')}]}`,
        ),
        'vms: {a: *a30}',
      ].join('\n'),
    ],
  ])('%s', (_, text) => {
    const began = process.cpuUsage();
    const found = mistakes(text);
    const { user } = process.cpuUsage(began);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThanOrEqual(101);
    expect(user).toBeLessThan(10e6);
  });
});

test('the name of a project is found whatever else is in its file', () => {
  const file = path.join(directory, 'vms.yaml');
  fs.writeFileSync(file, 'name: ${NAME:-shop}\nvms: nonsense\n');
  expect(readProjectName(file, {})).toBe('shop');
  fs.writeFileSync(file, 'vms: [1\n');
  expect(() => readProjectName(file)).toThrow(ProjectError);
  fs.writeFileSync(file, 'name: A B\n');
  expect(() => readProjectName(file)).toThrow('1:7');
  fs.writeFileSync(file, 'vms: 1\n');
  expect(readProjectName(file)).toMatch(/^vexit-project-/);
});
