/**
 * Every mode a guest can start in: each computes in registers, keeps a word in memory, and prints
 * both; what the loader passed is compared with what was given.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeKvm } from '../support/kvm';
import { checkLeaks, runGuest } from '../support/run-guest';

/** Paging without long mode is what kvm-pvm cannot do. */
const testLegacyPaging = existsSync('/sys/module/kvm_pvm') ? test.skip : test;

/** The memory map of a guest with 16 MiB. */
const MAP_16M = ['0 9fc00 1', '9fc00 400 2', 'e0000 10000 3', 'f0000 10000 2', '100000 f00000 1'];

describeKvm('boot modes', () => {
  checkLeaks();
  let dir: string;
  let initrd: string;
  let second: string;
  beforeAll(() => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'vexit-modes-'));
    initrd = path.join(dir, 'initrd');
    second = path.join(dir, 'second');
    writeFileSync(initrd, 'an initrd\n\0');
    writeFileSync(second, Buffer.alloc(5000, 3));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  test.each([
    { flatAddress: undefined, cs: '1000' },
    { flatAddress: 0x7c00, cs: '07c0' },
    { flatAddress: 0x1000, cs: '0100' },
  ])('real mode, flat binary at $flatAddress', async ({ flatAddress, cs }) => {
    const { report, values, debugConsole } = await runGuest('hello16', {
      bootProtocol: 'flat',
      ...(flatAddress === undefined ? {} : { flatAddress }),
    });
    expect(report).toEqual({
      reason: 'power-off',
      status: 0,
      message: 'the guest powered off',
    });
    expect(values('cs')).toEqual([cs]);
    expect(values('sum')).toEqual([(5050).toString(16)]);
    expect(values('alias')).toEqual([(3 * 5050).toString(16)]);
    expect(values('e9')).toEqual(['00e9']);
    expect(debugConsole).toBe('string output\n');
  });

  test('firmware starts at the reset vector; its ROM keeps what it holds', async () => {
    const { report, firmwareLog, serial } = await runGuest('rom', { firmware: 'rom' });
    expect(report.reason).toBe('power-off');
    expect(firmwareLog).toBe('rom=5a\nbefore=5a\ndifferences=00\nrom2=a5\nshadow=33\n');
    expect(serial).toBe('');
  });

  test('multiboot ELF32: command line, modules, memory map, then paging in 32-bit code', async () => {
    const { report, values } = await runGuest('multiboot', {
      cmdline: 'first  second="a b"',
      initrd: [initrd, second],
    });
    expect(report.reason).toBe('power-off');
    expect(values('magic')).toEqual(['2badb002']);
    expect(values('cmdline')).toEqual(['first  second="a b"']);
    expect(values('lower')).toEqual([(0x9fc00 / 1024).toString(16)]);
    expect(values('upper')).toEqual([(15 * 1024).toString(16)]);
    const sum = Buffer.from('an initrd\n\0').reduce((total, byte) => total + byte, 0);
    expect(values('module')).toEqual([
      `${initrd} b ${sum.toString(16)} 0`,
      `${second} 1388 ${(15000).toString(16)} 0`,
    ]);
    expect(values('map')).toEqual(MAP_16M);
    const factorial = 3628800;
    expect(values('word')).toEqual([factorial.toString(16)]);
    expect(values('paged')).toEqual([(factorial * 2 + 1).toString(16)]);
    expect(values('cr0')).toEqual(['80000011']);
  });

  testLegacyPaging('multiboot ELF32 with PAE paging outside long mode', async () => {
    const { report, values } = await runGuest('multiboot', { cmdline: 'legacy' });
    expect(report.reason).toBe('power-off');
    expect(values('paged')).toEqual([(3628800 * 2 + 1).toString(16)]);
  });

  test('multiboot with the addresses in its header (a.out kludge)', async () => {
    const { report, debugConsole } = await runGuest('kludge');
    expect(report.reason).toBe('power-off');
    expect(debugConsole).toBe('kludge ok\n');
  });

  test('PVH ELF: start info, command line, initrd, memory map, then long mode', async () => {
    const { report, values } = await runGuest('pvh', { cmdline: 'pvh command line', initrd });
    expect(report.reason).toBe('power-off');
    expect(values('magic')).toEqual(['336ec578']);
    expect(values('version')).toEqual(['1']);
    expect(values('cmdline')[0]).toMatch(/^pvh command line( |$)/);
    expect(values('modules')).toEqual(['1']);
    expect(values('size')).toEqual(['b']);
    expect(values('text')).toEqual(['an initrd']);
    expect(values('rsdp')).toEqual(['1']);
    expect(values('map')).toEqual(MAP_16M);
    expect(values('word')).toEqual(['123456789abcdeff']);
  });

  test('Linux 64-bit entry: control registers, boot_params, command line, initrd', async () => {
    const { report, values } = await runGuest('boot-params', {
      cmdline: 'root=/dev/x quiet',
      append: 'appended=1',
      initrd: [initrd, second],
    });
    expect(report.reason).toBe('power-off');
    expect(values('cr0')).toEqual(['80050033']);
    expect(values('cr4')).toEqual(['20']);
    expect(values('cs')).toEqual(['10']);
    expect(values('header')).toEqual([Buffer.from('SrdH').toString('hex')]);
    expect(values('loader')).toEqual(['ff']);
    expect(values('cmdline')[0]).toMatch(/^root=\/dev\/x quiet (.* )?appended=1$/);
    // Archives begin at multiples of four.
    const bytes = Buffer.concat([Buffer.from('an initrd\n\0\0'), Buffer.alloc(5000, 3)]);
    const hash = bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte) >>> 0, 0);
    expect(values('initrd_size')).toEqual([bytes.length.toString(16)]);
    expect(values('initrd_page_offset')).toEqual(['0']);
    expect(values('initrd_hash')).toEqual([hash.toString(16)]);
    expect(values('rsdp')).toEqual(['1']);
    expect(values('map')).toEqual(MAP_16M);
    const factorial = 2432902008176640000n;
    expect(values('factorial')).toEqual([factorial.toString(16)]);
  });

  test('user mode: arithmetic, ports, MMIO, a system call, a privileged instruction', async () => {
    const { report, values, debugConsole } = await runGuest('ring3');
    expect(report.reason).toBe('power-off');
    const n = 20_000_000n;
    expect(values('sum')).toEqual([((n * (n + 1n)) / 2n).toString(16)]);
    expect(values('cs')).toEqual(['33']);
    expect(debugConsole).toBe('user\n');
    expect(values('mmio')).toEqual(['ffffffffffffffff']);
    expect(values('port')).toEqual(['ffffffff']);
    expect(values('tripled')).toEqual([(42).toString(16)]);
    expect(values('returned_cs')).toEqual(['33']);
    // HLT at CPL 3: #GP with error code 0, taken at CPL 0.
    expect(values('error')).toEqual(['0']);
    expect(values('opcode')).toEqual(['f4']);
    expect(values('fault_cs')).toEqual(['33']);
    expect(values('handler_cs')).toEqual(['10']);
  });

  test.each([
    { memory: '16M', regions: [['100000', '1000000']] },
    { memory: '3G', regions: [['100000', 'c0000000']] },
    {
      memory: 3 * 2 ** 30 + 4096,
      regions: [
        ['100000', 'c0000000'],
        ['100000000', '100001000'],
      ],
    },
    {
      memory: '5G',
      regions: [
        ['100000', 'c0000000'],
        ['100000000', '180000000'],
      ],
    },
  ])('$memory of memory: both ends of each part, nothing reserved up front', async (layout) => {
    const before = process.memoryUsage.rss();
    const { report, values } = await runGuest('memory', { memory: layout.memory });
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 2 ** 20);
    expect(report.reason).toBe('power-off');
    const expected = layout.regions.map(([start, end]) => `${start} ${end} 1 ffffffffffffffff`);
    expect(values('ram')).toEqual(expected);
    expect(values('kept')).toEqual(layout.regions.map(() => '1'));
  });
});
