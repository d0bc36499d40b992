/** Instruction decoding against what the GNU assembler produced. */
import { decode } from '../../../src/vcpu/pvm/decoder.js';
import { Instruction, OpcodeMap } from '../../../src/vcpu/pvm/instruction.js';
import type { CodeSize } from '../../../src/vcpu/pvm/instruction.js';

function decoded(hex: string, codeSize: CodeSize = 64): Instruction | undefined {
  const bytes = Buffer.from(hex, 'hex');
  const insn = new Instruction();
  return decode(insn, bytes, bytes.length, codeSize) ? insn : undefined;
}

describe('length', () => {
  test.each([
    ['nop', '90', 1],
    ['int3', 'cc', 1],
    ['int $0x80', 'cd80', 2],
    ['push $1', '6a01', 2],
    ['push $0x12345678', '6878563412', 5],
    ['endbr64', 'f30f1efa', 4],
    ['cld', 'fc', 1],
    ['nopw 0x0(%rax,%rax,1)', '660f1f840000000000', 9],
    ['movabs $0x1122334455667788,%rax', '48b88877665544332211', 10],
    ['mov $1,%eax', 'b801000000', 5],
    ['mov $1,%ax', '66b80100', 4],
    ['movabs 0x1122334455667788,%al', 'a08877665544332211', 9],
    ['addr32 mov 0x12345678,%al', '67a078563412', 6],
    ['testb $1,(%rax)', 'f60001', 3],
    ['notb (%rax)', 'f610', 2],
    ['testl $1,8(%rbp)', 'f7450801000000', 7],
    ['negq (%rax)', '48f718', 3],
    ['enter $16,$1', 'c8100001', 4],
    ['ret $8', 'c20800', 3],
    ['jne .+0x100', '0f85fa000000', 6],
    ['shld $3,%rax,%rbx', '480fa4c303', 5],
    ['pextrw $1,%xmm0,%eax', '660fc5c001', 5],
    ['palignr $4,%xmm0,%xmm1', '660f3a0fc804', 6],
    ['crc32q %rax,%rbx', 'f2480f38f1d8', 6],
    ['lock cmpxchg16b (%rsi)', 'f0480fc70e', 5],
    ['sysretq', '480f07', 3],
    ['movl $1,%gs:0x28(%rax,%rcx,8)', '65c744c82801000000', 9],
  ])('%s', (_text, hex, length) => {
    expect(decoded(hex)?.length).toBe(length);
    // One byte less is not an instruction, one more is not read.
    expect(decoded(hex.slice(0, -2))).toBeUndefined();
    expect(decoded(`${hex}cc`)?.length).toBe(length);
  });

  test('ends at 15 bytes, prefixes included', () => {
    expect(decoded('66'.repeat(14) + '90')?.length).toBe(15);
    expect(decoded('66'.repeat(15) + '90')).toBeUndefined();
  });

  test('of what has none', () => {
    for (const hex of ['', '0f', '0f04', '0f0a', '0f39', '0f38', '48']) {
      expect(decoded(hex)).toBeUndefined();
    }
  });
});

describe('memory operand', () => {
  const NONE = { base: -1, index: -1, scale: 0, displacement: 0, ripRelative: false };
  test.each([
    ['(%rax)', '0000', { base: 0 }],
    ['(%r8)', '410000', { base: 8 }],
    ['0x10(%rbp)', '004510', { base: 5, displacement: 16 }],
    ['-1(%r13)', '410045ff', { base: 13, displacement: -1 }],
    ['(%rsp)', '000424', { base: 4 }],
    ['(%r12)', '41000424', { base: 12 }],
    ['0x12345678(%rsp)', '00842478563412', { base: 4, displacement: 0x12345678 }],
    ['(%rax,%rcx,4)', '000488', { base: 0, index: 1, scale: 2 }],
    ['(%rax,%r12,8)', '420004e0', { base: 0, index: 12, scale: 3 }],
    ['(,%rcx,2)', '00044d00000000', { index: 1, scale: 1 }],
    ['0xffffffff80000000', '00042500000080', { displacement: -0x80000000 }],
    ['8(%rip)', '000508000000', { displacement: 8, ripRelative: true }],
    ['(%r13,%rax,1)', '4100440500', { base: 13, index: 0 }],
    ['%fs:(%rax)', '640000', { base: 0, segment: 'fs' }],
    ['%gs:(%rax), with a cancelled REX', '48650000', { base: 0, segment: 'gs', rex: 0 }],
  ])('%s', (_text, hex, expected) => {
    // Each row is ADD %al, r/m8.
    expect(decoded(hex)).toMatchObject({ ...NONE, ...expected, length: hex.length / 2 });
  });

  test('with 16-bit and 32-bit addresses', () => {
    expect(decoded('00422a', 16)).toMatchObject({ base: 5, index: 6, displacement: 42, length: 3 });
    expect(decoded('00063412', 16)).toMatchObject({ base: -1, displacement: 0x1234, length: 4 });
    expect(decoded('67000424', 16)).toMatchObject({ base: 4, index: -1, length: 4 });
    expect(decoded('000578563412', 32)).toMatchObject({
      ripRelative: false,
      displacement: 0x12345678,
    });
    expect(decoded('6700063412', 32)).toMatchObject({ displacement: 0x1234 });
    expect(decoded('670000')?.addressSize).toBe(4);
  });
});

describe('fields', () => {
  test('prefixes and sizes', () => {
    expect(decoded('f366480fb8d8')).toMatchObject({ rep: 0xf3, rex: 0x48, operandSize: 8 });
    expect(decoded('66f30fb8d8')?.operandSize).toBe(2);
    expect(decoded('f30fb8d8', 16)?.operandSize).toBe(2);
    expect(decoded('66f30fb8d8', 16)?.operandSize).toBe(4);
    expect(decoded('f0480fc70e')).toMatchObject({ lock: true, mod: 0 });
    // In 32-bit code 48 is DEC %eax.
    expect(decoded('48', 32)).toMatchObject({ length: 1, opcode: 0x48, rex: 0 });
  });

  test('registers, maps and immediates', () => {
    expect(decoded('f34d0fb8fa')).toMatchObject({ reg: 15, rm: 10, map: OpcodeMap.Escape0f });
    expect(decoded('660f3a0fc804')).toMatchObject({ map: OpcodeMap.Escape0f3a, immediate: 4 });
    expect(decoded('6aff')?.immediate).toBe(-1);
    expect(decoded('660f38f6d8')?.map).toBe(OpcodeMap.Escape0f38);
  });
});
