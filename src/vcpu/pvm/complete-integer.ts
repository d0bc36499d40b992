/** Integer and flag instructions that KVM's emulator lacks (SDM volume 2). */
import { Gpr } from '../../kvm/registers.js';
import type { Instruction } from './instruction.js';
import type { GuestCpu } from './guest-cpu.js';
import { Rflags, Vector } from './guest-cpu.js';
import * as operands from './operands.js';

const { CF, PF, AF, ZF, SF, OF } = Rflags;
const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

function bits(value: bigint): number {
  let count = 0;
  for (let low = Number(value & 0xffffffffn); low !== 0; low &= low - 1) count++;
  for (let high = Number(value >> 32n); high !== 0; high &= high - 1) count++;
  return count;
}

/** F3 0F B8: POPCNT. */
export function popcnt(cpu: GuestCpu, insn: Instruction): boolean {
  if (insn.rep !== 0xf3) return false;
  const size = insn.operandSize;
  const source = operands.readRm(cpu, insn, size);
  operands.writeRegister(cpu, insn.reg, size, BigInt(bits(source)));
  operands.setFlags(cpu, ARITHMETIC, source === 0n ? ZF : 0n);
  operands.retire(cpu, insn);
  return true;
}

/** Castagnoli polynomial, bits reversed. */
const CRC32C = 0x82f63b78;

function crc32c(crc: number, value: bigint, size: number): number {
  let rest = crc;
  for (let i = 0; i < size; i++) {
    rest ^= Number((value >> BigInt(8 * i)) & 0xffn);
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? CRC32C : 0);
  }
  return rest >>> 0;
}

/** F2 0F 38 F0 and F1: CRC32. */
export function crc32(cpu: GuestCpu, insn: Instruction): boolean {
  if (insn.rep !== 0xf2) return false;
  const size = insn.opcode === 0xf0 ? 1 : insn.operandSize;
  const source = crcSource(cpu, insn, size);
  const crc = Number(operands.readRegister(cpu, insn.reg, 4));
  operands.writeRegister(cpu, insn.reg, 8, BigInt(crc32c(crc, source, size)));
  operands.retire(cpu, insn);
  return true;
}

function crcSource(cpu: GuestCpu, insn: Instruction, size: 1 | 2 | 4 | 8): bigint {
  // Without REX, register numbers 4 to 7 of a byte operand are AH, CH, DH and BH.
  if (size === 1 && !insn.isMemory && insn.rex === 0 && insn.rm >= 4) {
    return operands.readRegister(cpu, insn.rm - 4, 2) >> 8n;
  }
  return operands.readRm(cpu, insn, size);
}

/** 0F 38 F6: ADCX (66) and ADOX (F3), additions that touch one flag each. */
export function adxAddition(cpu: GuestCpu, insn: Instruction): boolean {
  const carryFlag = insn.rep === 0xf3 ? OF : insn.operandSizePrefix ? CF : 0n;
  if (carryFlag === 0n) return false;
  const size = insn.rexW ? 8 : 4;
  const carry = (cpu.regs.get(Gpr.Rflags) & carryFlag) === 0n ? 0n : 1n;
  const sum = operands.readRm(cpu, insn, size) + operands.readRegister(cpu, insn.reg, size) + carry;
  operands.writeRegister(cpu, insn.reg, size, sum);
  operands.setFlags(cpu, carryFlag, sum > operands.sizeMask(size) ? carryFlag : 0n);
  operands.retire(cpu, insn);
  return true;
}

/** REX.W 0F C7 /1: CMPXCHG16B; see {@link GuestCpu.compareExchange16}. */
export function cmpxchg16b(cpu: GuestCpu, insn: Instruction): boolean {
  if (!insn.rexW || !insn.isMemory || ((insn.modrm >> 3) & 7) !== 1) return false;
  const address = operands.linearAddress(cpu, insn);
  if ((address & 15n) !== 0n) {
    cpu.inject(Vector.GeneralProtection, 0);
    return true;
  }
  const found = cpu.compareExchange16(
    address,
    [cpu.regs.get(Gpr.Rax), cpu.regs.get(Gpr.Rdx)],
    [cpu.regs.get(Gpr.Rbx), cpu.regs.get(Gpr.Rcx)],
  );
  if (found !== undefined) {
    cpu.regs.set(Gpr.Rax, found[0]);
    cpu.regs.set(Gpr.Rdx, found[1]);
  }
  operands.setFlags(cpu, ZF, found === undefined ? ZF : 0n);
  operands.retire(cpu, insn);
  return true;
}
