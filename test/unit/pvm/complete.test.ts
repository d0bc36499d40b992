/** Completions of single instructions on a fake vCPU. */
import { Gpr } from '../../../src/kvm/registers.js';
import { complete, isPlainStep } from '../../../src/vcpu/pvm/complete.js';
import { decode } from '../../../src/vcpu/pvm/decoder.js';
import { MsrIndex } from '../../../src/vcpu/pvm/guest-cpu.js';
import { Instruction } from '../../../src/vcpu/pvm/instruction.js';
import { FakeCpu, MEMORY, RIP } from './fake-cpu.js';

const ZF = 0x40n;

function instruction(hex: string): Instruction {
  const insn = new Instruction();
  const bytes = Buffer.from(hex, 'hex');
  expect(decode(insn, bytes, bytes.length, 64)).toBe(true);
  return insn;
}

/** Completes and checks that RIP is behind the instruction. */
function run(cpu: FakeCpu, hex: string): void {
  expect(complete(cpu, instruction(hex))).toBe(true);
  expect(cpu.events).toEqual([]);
  expect(cpu.regs.get(Gpr.Rip)).toBe(RIP + BigInt(hex.length / 2));
}

let cpu: FakeCpu;
beforeEach(() => {
  cpu = new FakeCpu();
  cpu.regs.set(Gpr.Rsi, MEMORY);
});

describe('exceptions', () => {
  test('INT3 points behind itself, in both encodings', () => {
    for (const hex of ['cc', 'cd03']) {
      const own = new FakeCpu();
      expect(complete(own, instruction(hex))).toBe(true);
      expect(own.events).toEqual([{ vector: 3 }]);
      expect(own.regs.get(Gpr.Rip)).toBe(RIP + BigInt(hex.length / 2));
    }
    expect(complete(cpu, instruction('cd20'))).toBe(false);
  });

  test.each(['0f0b', '0fb9c0', '0fffc0'])('%s is #UD at its own address', (hex) => {
    expect(complete(cpu, instruction(hex))).toBe(true);
    expect(cpu.events).toEqual([{ vector: 6 }]);
    expect(cpu.regs.get(Gpr.Rip)).toBe(RIP);
  });

  test('a memory operand that is not mapped is #PF, and nothing else happens', () => {
    cpu.regs.set(Gpr.Rsi, 0x1000n);
    expect(complete(cpu, instruction('f3480fb806'))).toBe(true);
    expect(complete(cpu, instruction('f0480fc70e'))).toBe(true);
    expect(cpu.events).toEqual([
      { vector: 14, errorCode: 0, address: 0x1000n },
      { vector: 14, errorCode: 2, address: 0x1000n },
    ]);
    expect(cpu.regs.get(Gpr.Rip)).toBe(RIP);
  });

  test('nothing is completed at CPL 3', () => {
    cpu.cpl = 3;
    expect(complete(cpu, instruction('9b'))).toBe(false);
  });

  test.each(['0f01c1', '0f01d9', '660fefc0', '660f38820424', 'f4'])('%s is not known', (hex) => {
    expect(complete(cpu, instruction(hex))).toBe(false);
    expect(cpu.regs.get(Gpr.Rip)).toBe(RIP);
  });
});

describe('integers', () => {
  test('POPCNT in all widths', () => {
    cpu.regs.set(Gpr.Rax, 0xffff_ffff_0000_ff03n);
    cpu.regs.set(Gpr.Rbx, 0xaaaa_bbbb_cccc_ddddn);
    run(cpu, 'f3480fb8d8');
    expect(cpu.regs.get(Gpr.Rbx)).toBe(42n);
    cpu.regs.set(Gpr.Rip, RIP);
    run(cpu, 'f30fb8d8');
    expect(cpu.regs.get(Gpr.Rbx)).toBe(10n);
    cpu.regs.set(Gpr.Rip, RIP);
    cpu.regs.set(Gpr.Rbx, 0xaaaa_bbbb_cccc_ddddn);
    run(cpu, '66f30fb8d8');
    expect(cpu.regs.get(Gpr.Rbx)).toBe(0xaaaa_bbbb_cccc_000an);
  });

  test('POPCNT of 0 sets ZF and clears the other flags', () => {
    cpu.regs.set(Gpr.Rflags, 0x108d7n);
    run(cpu, 'f3480fb8d8');
    expect(cpu.regs.get(Gpr.Rflags)).toBe(ZF | 2n);
  });

  test('CRC32 has the check value of CRC-32C', () => {
    cpu.memory.set(Buffer.from('123456789'));
    cpu.regs.set(Gpr.Rbx, 0xffffffffn);
    for (let i = 0n; i < 9n; i++) {
      cpu.regs.set(Gpr.Rip, RIP);
      cpu.regs.set(Gpr.Rsi, MEMORY + i);
      run(cpu, 'f20f38f01e');
    }
    expect(cpu.regs.get(Gpr.Rbx) ^ 0xffffffffn).toBe(0xe3069283n);
  });

  test('CMPXCHG16B exchanges, or says what it found', () => {
    const words = new BigUint64Array(cpu.memory.buffer, 0, 2);
    words.set([1n, 2n]);
    const set = (a: bigint, d: bigint): void => {
      cpu.regs.set(Gpr.Rax, a);
      cpu.regs.set(Gpr.Rdx, d);
      cpu.regs.set(Gpr.Rip, RIP);
    };
    cpu.regs.set(Gpr.Rbx, 3n);
    cpu.regs.set(Gpr.Rcx, 4n);
    set(1n, 9n);
    run(cpu, 'f0480fc70e');
    expect([cpu.regs.get(Gpr.Rax), cpu.regs.get(Gpr.Rdx)]).toEqual([1n, 2n]);
    expect(cpu.regs.get(Gpr.Rflags) & ZF).toBe(0n);
    set(1n, 2n);
    run(cpu, 'f0480fc70e');
    expect([...words]).toEqual([3n, 4n]);
    expect(cpu.regs.get(Gpr.Rflags) & ZF).toBe(ZF);
  });

  test('CMPXCHG16B wants 16-byte alignment', () => {
    cpu.regs.set(Gpr.Rsi, MEMORY + 8n);
    expect(complete(cpu, instruction('f0480fc70e'))).toBe(true);
    expect(cpu.events).toEqual([{ vector: 13, errorCode: 0 }]);
  });
});

describe('system instructions', () => {
  test('CLAC and STAC', () => {
    run(cpu, '0f01cb');
    expect(cpu.regs.get(Gpr.Rflags)).toBe(0x40002n);
    cpu.regs.set(Gpr.Rip, RIP);
    run(cpu, '0f01ca');
    expect(cpu.regs.get(Gpr.Rflags)).toBe(2n);
  });

  test('SWAPGS', () => {
    cpu.bases.gs = 5n;
    cpu.msrs.set(MsrIndex.KernelGsBase, 7n);
    run(cpu, '0f01f8');
    expect([cpu.bases.gs, cpu.msrs.get(MsrIndex.KernelGsBase)]).toEqual([7n, 5n]);
  });

  test('RDTSCP', () => {
    cpu.msrs.set(MsrIndex.Tsc, 0x1_0000_0002n);
    cpu.msrs.set(MsrIndex.TscAux, 3n);
    run(cpu, '0f01f9');
    expect([Gpr.Rax, Gpr.Rdx, Gpr.Rcx].map((r) => cpu.regs.get(r))).toEqual([2n, 1n, 3n]);
  });

  test('FS and GS bases, cut to 32 bits without REX.W', () => {
    cpu.regs.set(Gpr.Rcx, 0xffff_8000_1234_5678n);
    run(cpu, 'f3480faed1');
    expect(cpu.bases.fs).toBe(0xffff_8000_1234_5678n);
    cpu.regs.set(Gpr.Rip, RIP);
    run(cpu, 'f30faec0');
    expect(cpu.regs.get(Gpr.Rax)).toBe(0x1234_5678n);
  });

  test('a base that is not canonical is #GP', () => {
    cpu.regs.set(Gpr.Rcx, 1n << 63n);
    expect(complete(cpu, instruction('f3480faed9'))).toBe(true);
    expect(cpu.events).toEqual([{ vector: 13, errorCode: 0 }]);
  });

  test('FS and GS base instructions need CR4.FSGSBASE', () => {
    cpu.cr4 = 0n;
    expect(complete(cpu, instruction('f3480faec0'))).toBe(false);
  });

  test('SYSRET loads flat CPL-3 segments, RCX and R11', () => {
    cpu.msrs.set(MsrIndex.Star, 0x0023_0010_0000_0000n);
    cpu.regs.set(Gpr.Rcx, 0x401000n);
    cpu.regs.set(Gpr.R11, 0xffff_ffff_ffff_ffffn);
    expect(complete(cpu, instruction('480f07'))).toBe(true);
    expect(cpu.regs.get(Gpr.Rip)).toBe(0x401000n);
    // Neither RF nor VM, whatever R11 has (SDM volume 2, SYSRET).
    expect(cpu.regs.get(Gpr.Rflags)).toBe(0x3c7fd7n);
    expect(cpu.segments.cs).toMatchObject({ selector: 0x33, dpl: 3, l: 1, db: 0 });
    expect(cpu.segments.ss).toMatchObject({ selector: 0x2b, dpl: 3 });
  });

  test('SYSRET to 32-bit code, and to an address that is not canonical', () => {
    cpu.msrs.set(MsrIndex.Star, 0x0023_0010_0000_0000n);
    cpu.regs.set(Gpr.Rcx, 0x1_0804_8000n);
    expect(complete(cpu, instruction('0f07'))).toBe(true);
    expect(cpu.regs.get(Gpr.Rip)).toBe(0x0804_8000n);
    expect(cpu.segments.cs).toMatchObject({ selector: 0x23, l: 0, db: 1 });
    cpu.regs.set(Gpr.Rcx, 1n << 47n);
    expect(complete(cpu, instruction('480f07'))).toBe(true);
    expect(cpu.events).toEqual([{ vector: 13, errorCode: 0 }]);
  });

  test('XGETBV and XSETBV', () => {
    run(cpu, '0f01d0');
    expect(cpu.regs.get(Gpr.Rax)).toBe(7n);
    cpu.regs.set(Gpr.Rip, RIP);
    cpu.regs.set(Gpr.Rax, 3n);
    run(cpu, '0f01d1');
    expect(cpu.xcr0).toBe(3n);
    cpu.regs.set(Gpr.Rax, 2n);
    expect(complete(cpu, instruction('0f01d1'))).toBe(true);
    expect(cpu.events).toEqual([{ vector: 13, errorCode: 0 }]);
  });
});

describe('selectors', () => {
  beforeEach(() => {
    cpu.descriptors.set(0x10, 0x00af9b000000ffffn); // 64-bit code
    cpu.descriptors.set(0x18, 0x00cf93000000ffffn); // data
    cpu.descriptors.set(0x40, 0x00008b0070000067n); // busy TSS
  });

  test.each([
    ['verr of code', '0f00e0', 0x10n, true],
    ['verw of code', '0f00e8', 0x10n, false],
    ['verw of data', '0f00e8', 0x18n, true],
    ['verw of data with RPL 3', '0f00e8', 0x1bn, false],
    ['verr of a TSS', '0f00e0', 0x40n, false],
    ['verr of nothing', '0f00e0', 0n, false],
  ])('%s', (_text, hex, selector, ok) => {
    cpu.regs.set(Gpr.Rax, selector);
    run(cpu, hex);
    expect(cpu.regs.get(Gpr.Rflags) & ZF).toBe(ok ? ZF : 0n);
  });

  test('LAR and LSL', () => {
    cpu.regs.set(Gpr.Rax, 0x18n);
    run(cpu, '0f02d8');
    expect(cpu.regs.get(Gpr.Rbx)).toBe(0xc09300n);
    cpu.regs.set(Gpr.Rip, RIP);
    run(cpu, '0f03d8');
    expect(cpu.regs.get(Gpr.Rbx)).toBe(0xffffffffn);
    cpu.regs.set(Gpr.Rip, RIP);
    cpu.regs.set(Gpr.Rax, 0x40n);
    run(cpu, '0f03d8');
    expect(cpu.regs.get(Gpr.Rbx)).toBe(0x67n);
  });
});

test('only instructions without memory and without event are stepped over in place', () => {
  for (const hex of ['f30f1efa', '90', 'fc', '0f1f00', '0f01ca']) {
    expect(isPlainStep(instruction(hex))).toBe(true);
  }
  for (const hex of ['50', '6a00', '0f01cb', 'cc', '0f0b', 'e800000000', '4883ec08']) {
    expect(isPlainStep(instruction(hex))).toBe(false);
  }
});
