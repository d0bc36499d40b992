/** LAR, LSL, VERR and VERW (SDM volume 2): what a kernel asks about a selector. */
import type { Instruction } from './instruction.js';
import type { GuestCpu } from './guest-cpu.js';
import { Rflags } from './guest-cpu.js';
import * as operands from './operands.js';

/** Attribute half of a descriptor, and what it says. */
class Descriptor {
  readonly high: number;
  constructor(private readonly raw: bigint) {
    this.high = Number(raw >> 32n);
  }
  get type(): number {
    return (this.high >> 8) & 15;
  }
  get isSystem(): boolean {
    return (this.high & 0x1000) === 0;
  }
  get isCode(): boolean {
    return !this.isSystem && (this.type & 8) !== 0;
  }
  get isConformingCode(): boolean {
    return this.isCode && (this.type & 4) !== 0;
  }
  get dpl(): number {
    return (this.high >> 13) & 3;
  }
  /** Limit in bytes, scaled by the granularity bit. */
  get limit(): bigint {
    const limit = (this.raw & 0xffffn) | ((this.raw >> 32n) & 0xf0000n);
    return (this.high & 0x800000) === 0 ? limit : (limit << 12n) | 0xfffn;
  }
}

/** System types LAR accepts in 64-bit mode: LDT, TSS, call gate; LSL those that have a limit. */
const LAR_SYSTEM_TYPES = [2, 9, 11, 12];
const LSL_SYSTEM_TYPES = [2, 9, 11];

function visible(cpu: GuestCpu, selector: number): Descriptor | undefined {
  const raw = cpu.readDescriptor(selector);
  if (raw === undefined) return undefined;
  const descriptor = new Descriptor(raw);
  if (descriptor.isConformingCode) return descriptor;
  return Math.max(cpu.cpl, selector & 3) <= descriptor.dpl ? descriptor : undefined;
}

function finish(cpu: GuestCpu, insn: Instruction, ok: boolean): boolean {
  operands.setFlags(cpu, Rflags.ZF, ok ? Rflags.ZF : 0n);
  operands.retire(cpu, insn);
  return true;
}

/** 0F 02: LAR, 0F 03: LSL. */
export function larLsl(cpu: GuestCpu, insn: Instruction): boolean {
  const selector = Number(operands.readRm(cpu, insn, 2));
  const descriptor = visible(cpu, selector);
  const lsl = insn.opcode === 0x03;
  const types = lsl ? LSL_SYSTEM_TYPES : LAR_SYSTEM_TYPES;
  if (descriptor === undefined || (descriptor.isSystem && !types.includes(descriptor.type))) {
    return finish(cpu, insn, false);
  }
  const value = lsl ? descriptor.limit : BigInt(descriptor.high & 0xf0ff00);
  operands.writeRegister(cpu, insn.reg, insn.operandSize, value);
  return finish(cpu, insn, true);
}

/** 0F 00 /4: VERR, /5: VERW. VERW also empties processor buffers, which every exit does here. */
export function group6(cpu: GuestCpu, insn: Instruction): boolean {
  const operation = (insn.modrm >> 3) & 7;
  if (operation !== 4 && operation !== 5) return false;
  const descriptor = visible(cpu, Number(operands.readRm(cpu, insn, 2)));
  if (descriptor === undefined || descriptor.isSystem) return finish(cpu, insn, false);
  const access = (descriptor.type & 2) !== 0;
  const readable = !descriptor.isCode || access;
  const writable = !descriptor.isCode && access;
  return finish(cpu, insn, operation === 4 ? readable : writable);
}
