/** Integer and flag instructions that KVM's emulator lacks (SDM volume 2). */
import { Gpr } from '../../kvm/registers.js';
import type { Instruction } from './decoder.js';
import type { GuestCpu } from './guest-cpu.js';
import { Rflags } from './guest-cpu.js';
import * as operands from './operands.js';

const { CF, PF, AF, ZF, SF, OF } = Rflags;
const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

function bits(value: bigint): number {
  let count = 0;
  for (let low = Number(value & 0xffffffffn); low !== 0; low &= low - 1) count++;
  for (let high = Number(value >> 32n); high !== 0; high &= high - 1) count++;
  return count;
}

/** Number of trailing zero bits of a value that is not 0. */
function trailingZeros(value: bigint): number {
  const low = Number(value & 0xffffffffn);
  if (low !== 0) return 31 - Math.clz32(low & -low);
  const high = Number(value >> 32n);
  return 63 - Math.clz32(high & -high);
}

/** Number of leading zero bits of a 64-bit value. */
function leadingZeros(value: bigint): number {
  const high = Number(value >> 32n);
  return high !== 0 ? Math.clz32(high) : 32 + Math.clz32(Number(value & 0xffffffffn));
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

/** F3 0F BC and BD: TZCNT and LZCNT; without the prefix BSF and BSR. */
export function bitScan(cpu: GuestCpu, insn: Instruction): boolean {
  const size = insn.operandSize;
  const source = operands.readRm(cpu, insn, size);
  const forward = insn.opcode === 0xbc;
  const width = size * 8;
  const zeros = forward ? trailingZeros(source) : leadingZeros(source) - (64 - width);
  if (insn.rep === 0xf3) {
    const result = source === 0n ? width : zeros;
    operands.writeRegister(cpu, insn.reg, size, BigInt(result));
    const flags = (source === 0n ? CF : 0n) | (result === 0 ? ZF : 0n);
    operands.setFlags(cpu, CF | ZF, flags);
  } else {
    // The destination stays as it is when the source is 0.
    const result = forward ? zeros : width - 1 - zeros;
    if (source !== 0n) operands.writeRegister(cpu, insn.reg, size, BigInt(result));
    operands.setFlags(cpu, ZF, source === 0n ? ZF : 0n);
  }
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

function swapBytes(value: bigint, size: number): bigint {
  let result = 0n;
  for (let i = 0; i < size; i++) result = (result << 8n) | ((value >> BigInt(8 * i)) & 0xffn);
  return result;
}

/** 0F 38 F0 and F1: MOVBE, and with F2 CRC32. */
export function movbeOrCrc32(cpu: GuestCpu, insn: Instruction): boolean {
  const store = insn.opcode === 0xf1;
  if (insn.rep === 0xf2) {
    const size = store ? insn.operandSize : 1;
    const source = crcSource(cpu, insn, size);
    const crc = Number(operands.readRegister(cpu, insn.reg, 4));
    operands.writeRegister(cpu, insn.reg, 8, BigInt(crc32c(crc, source, size)));
  } else {
    if (!insn.isMemory || insn.rep !== 0) return false;
    const size = insn.operandSize;
    const address = operands.linearAddress(cpu, insn);
    if (store) {
      const value = operands.readRegister(cpu, insn.reg, size);
      operands.writeMemory(cpu, address, size, swapBytes(value, size));
    } else {
      const value = operands.readMemory(cpu, address, size);
      operands.writeRegister(cpu, insn.reg, size, swapBytes(value, size));
    }
  }
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

/** 0F C3: MOVNTI, an ordinary store here: nothing observes the hint. */
export function movnti(cpu: GuestCpu, insn: Instruction): boolean {
  if (!insn.isMemory || insn.rep !== 0) return false;
  const size = insn.rexW ? 8 : 4;
  const value = operands.readRegister(cpu, insn.reg, size);
  operands.writeMemory(cpu, operands.linearAddress(cpu, insn), size, value);
  operands.retire(cpu, insn);
  return true;
}

/** 0F C7 /1: CMPXCHG8B, or with REX.W CMPXCHG16B; see {@link GuestCpu.compareExchange16}. */
export function cmpxchg16b(cpu: GuestCpu, insn: Instruction): boolean {
  if (!insn.rexW || !insn.isMemory) return false;
  const address = operands.linearAddress(cpu, insn);
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
