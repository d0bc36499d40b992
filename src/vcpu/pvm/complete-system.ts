/** System instructions and exceptions that KVM's emulator lacks at CPL 0 (SDM volume 2). */
import { Gpr } from '../../kvm/registers.js';
import type { Instruction } from './instruction.js';
import type { GuestCpu } from './guest-cpu.js';
import { MsrIndex, Rflags, Vector } from './guest-cpu.js';
import * as operands from './operands.js';
import { userCodeSegment, userStackSegment } from './segments.js';

const CR4_FSGSBASE = 1n << 16n;
const CR4_OSXSAVE = 1n << 18n;

/** Skips an instruction that has no effect a guest can see here: hints, FWAIT. */
export function nothing(cpu: GuestCpu, insn: Instruction): boolean {
  operands.retire(cpu, insn);
  return true;
}

/** CC: INT3 is a trap, so the guest's frame points behind it; CD 03 is the same at CPL 0. */
export function int3(cpu: GuestCpu, insn: Instruction): boolean {
  if (insn.opcode === 0xcd && insn.immediate !== 3) return false;
  operands.retire(cpu, insn);
  cpu.inject(Vector.Breakpoint);
  return true;
}

/** UD2, UD1 and UD0: the fault a kernel asks for (WARN, BUG). */
export function undefinedInstruction(cpu: GuestCpu): boolean {
  cpu.inject(Vector.InvalidOpcode);
  return true;
}

/** FC and FD: CLD and STD; seldom needed, but often the first of an exception handler. */
export function directionFlag(cpu: GuestCpu, insn: Instruction): boolean {
  operands.setFlags(cpu, Rflags.DF, insn.opcode === 0xfd ? Rflags.DF : 0n);
  operands.retire(cpu, insn);
  return true;
}

/** RFLAGS bits that SYSRET loads from R11. */
const SYSRET_FLAGS = 0x3c7fd7n;

/** 0F 07: SYSRET; with REX.W to 64-bit code. */
export function sysret(cpu: GuestCpu, insn: Instruction): boolean {
  const target = cpu.regs.get(Gpr.Rcx);
  if (insn.rexW && !operands.isCanonical(target)) {
    cpu.inject(Vector.GeneralProtection, 0);
    return true;
  }
  const star = cpu.readMsr(MsrIndex.Star);
  const selector = Number((star >> 48n) & 0xffffn);
  cpu.regs.set(Gpr.Rip, insn.rexW ? target : target & 0xffffffffn);
  cpu.regs.set(Gpr.Rflags, (cpu.regs.get(Gpr.R11) & SYSRET_FLAGS) | Rflags.FIXED);
  cpu.setSegment('cs', userCodeSegment(selector + (insn.rexW ? 16 : 0), insn.rexW));
  cpu.setSegment('ss', userStackSegment(selector + 8));
  return true;
}

/** 0F 01 with a register form of ModRM: the system instructions kept there. */
export function group7(cpu: GuestCpu, insn: Instruction): boolean {
  switch (insn.modrm) {
    case 0xca: // CLAC
    case 0xcb: // STAC
      operands.setFlags(cpu, Rflags.AC, insn.modrm === 0xcb ? Rflags.AC : 0n);
      break;
    case 0xd0: {
      // XGETBV
      if (cpu.regs.get(Gpr.Rcx) !== 0n || (cpu.cr4 & CR4_OSXSAVE) === 0n) return false;
      const value = cpu.readXcr0();
      cpu.regs.set(Gpr.Rax, value & 0xffffffffn);
      cpu.regs.set(Gpr.Rdx, value >> 32n);
      break;
    }
    case 0xd1: {
      // XSETBV
      const high = cpu.regs.get(Gpr.Rdx) << 32n;
      const value = BigInt.asUintN(64, high) | (cpu.regs.get(Gpr.Rax) & 0xffffffffn);
      if ((cpu.regs.get(Gpr.Rcx) & 0xffffffffn) !== 0n || !cpu.writeXcr0(value)) {
        cpu.inject(Vector.GeneralProtection, 0);
        return true;
      }
      break;
    }
    case 0xf9: {
      // RDTSCP
      const tsc = cpu.readMsr(MsrIndex.Tsc);
      cpu.regs.set(Gpr.Rax, tsc & 0xffffffffn);
      cpu.regs.set(Gpr.Rdx, tsc >> 32n);
      cpu.regs.set(Gpr.Rcx, cpu.readMsr(MsrIndex.TscAux) & 0xffffffffn);
      break;
    }
    case 0xf8: {
      // SWAPGS
      const base = cpu.segmentBase('gs');
      cpu.setSegmentBase('gs', cpu.readMsr(MsrIndex.KernelGsBase));
      cpu.writeMsr(MsrIndex.KernelGsBase, base);
      break;
    }
    default:
      return false;
  }
  operands.retire(cpu, insn);
  return true;
}

/** F3 0F AE /0 to /3: RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE. */
export function fsGsBase(cpu: GuestCpu, insn: Instruction): boolean {
  const operation = (insn.modrm >> 3) & 7;
  if (operation > 3 || (cpu.cr4 & CR4_FSGSBASE) === 0n || cpu.codeSize !== 64) {
    return false;
  }
  const segment = (operation & 1) === 0 ? 'fs' : 'gs';
  const size = insn.rexW ? 8 : 4;
  if (operation < 2) {
    operands.writeRegister(cpu, insn.rm, size, cpu.segmentBase(segment));
  } else {
    const base = operands.readRegister(cpu, insn.rm, size);
    if (!operands.isCanonical(base)) {
      cpu.inject(Vector.GeneralProtection, 0);
      return true;
    }
    cpu.setSegmentBase(segment, base);
  }
  operands.retire(cpu, insn);
  return true;
}
