/** Operands of a decoded instruction: registers by number, memory by effective address. */
import { Gpr } from '../../kvm/registers.js';
import type { Instruction } from './instruction.js';
import type { GuestCpu } from './guest-cpu.js';
import { Rflags } from './guest-cpu.js';

/** Register numbers of the instruction encoding in the order of struct kvm_regs. */
const ENCODED: readonly Gpr[] = [
  ...[Gpr.Rax, Gpr.Rcx, Gpr.Rdx, Gpr.Rbx, Gpr.Rsp, Gpr.Rbp, Gpr.Rsi, Gpr.Rdi],
  ...[Gpr.R8, Gpr.R9, Gpr.R10, Gpr.R11, Gpr.R12, Gpr.R13, Gpr.R14, Gpr.R15],
];

export type OperandSize = 1 | 2 | 4 | 8;

const MASKS = { 1: 0xffn, 2: 0xffffn, 4: 0xffffffffn, 8: 0xffffffffffffffffn } as const;

/** All ones of a size. */
export function sizeMask(size: OperandSize): bigint {
  return MASKS[size];
}

/** A register's value, cut to `size`; 1 means its low byte (AH to BH are not used here). */
export function readRegister(cpu: GuestCpu, number: number, size: OperandSize): bigint {
  return cpu.regs.get(ENCODED[number]!) & MASKS[size];
}

/** Writes a register: 32-bit results clear the upper half, smaller ones keep the rest. */
export function writeRegister(
  cpu: GuestCpu,
  number: number,
  size: OperandSize,
  value: bigint,
): void {
  const register = ENCODED[number]!;
  const kept = size < 4 ? cpu.regs.get(register) & ~MASKS[size] : 0n;
  cpu.regs.set(register, (kept | (value & MASKS[size])) & MASKS[8]);
}

/** Linear address of the memory operand (SDM volume 1, 3.7.5). */
export function linearAddress(cpu: GuestCpu, insn: Instruction): bigint {
  let offset = BigInt(insn.displacement);
  if (insn.base >= 0) offset += cpu.regs.get(ENCODED[insn.base]!);
  if (insn.index >= 0) offset += cpu.regs.get(ENCODED[insn.index]!) << BigInt(insn.scale);
  if (insn.ripRelative) offset += cpu.regs.get(Gpr.Rip) + BigInt(insn.length);
  offset &= MASKS[insn.addressSize];
  // rSP and rBP as base select the stack segment; only FS and GS have a base in 64-bit mode.
  const stack = insn.base === 4 || insn.base === 5;
  const linear = offset + cpu.segmentBase(insn.segment ?? (stack ? 'ss' : 'ds'));
  return linear & (cpu.codeSize === 64 ? MASKS[8] : MASKS[4]);
}

const scratch = new DataView(new ArrayBuffer(8));
const scratchBytes = {
  1: new Uint8Array(scratch.buffer, 0, 1),
  2: new Uint8Array(scratch.buffer, 0, 2),
  4: new Uint8Array(scratch.buffer, 0, 4),
  8: new Uint8Array(scratch.buffer, 0, 8),
} as const;

/** Reads memory of an operand's size, little-endian. */
export function readMemory(cpu: GuestCpu, address: bigint, size: OperandSize): bigint {
  scratch.setBigUint64(0, 0n, true);
  cpu.readLinear(address, scratchBytes[size]);
  return scratch.getBigUint64(0, true);
}

/** Writes memory of an operand's size, little-endian. */
export function writeMemory(
  cpu: GuestCpu,
  address: bigint,
  size: OperandSize,
  value: bigint,
): void {
  scratch.setBigUint64(0, value & MASKS[8], true);
  cpu.writeLinear(address, scratchBytes[size]);
}

/** The r/m operand, register or memory. */
export function readRm(cpu: GuestCpu, insn: Instruction, size: OperandSize): bigint {
  if (!insn.isMemory) return readRegister(cpu, insn.rm, size);
  return readMemory(cpu, linearAddress(cpu, insn), size);
}

/** Moves RIP behind the instruction; RF does not outlive one (SDM volume 3, 18.3.1.1). */
export function retire(cpu: GuestCpu, insn: Instruction): void {
  const mask = cpu.codeSize === 64 ? MASKS[8] : MASKS[4];
  cpu.regs.set(Gpr.Rip, (cpu.regs.get(Gpr.Rip) + BigInt(insn.length)) & mask);
  cpu.regs.set(Gpr.Rflags, cpu.regs.get(Gpr.Rflags) & ~Rflags.RF);
}

/** Replaces the RFLAGS bits in `mask`. */
export function setFlags(cpu: GuestCpu, mask: bigint, value: bigint): void {
  cpu.regs.set(Gpr.Rflags, (cpu.regs.get(Gpr.Rflags) & ~mask) | value);
}

/** True for a 48-bit canonical address. */
export function isCanonical(address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
}
