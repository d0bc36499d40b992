/** Which completion belongs to which opcode. */
import { group6, larLsl } from './complete-descriptor.js';
import { emms, group15Memory, x87 } from './complete-fpu.js';
import * as integer from './complete-integer.js';
import * as system from './complete-system.js';
import type { Instruction } from './instruction.js';
import { OpcodeMap } from './instruction.js';
import type { GuestCpu } from './guest-cpu.js';
import { GuestPageFault } from './guest-cpu.js';

/** Does the instruction's work; false, with nothing changed, when it cannot. */
type Completion = (cpu: GuestCpu, insn: Instruction) => boolean;

/** 0F AE: FXSAVE/XSAVE family and CLWB in memory, FS/GS base in registers. */
function group15(cpu: GuestCpu, insn: Instruction): boolean {
  const operation = (insn.modrm >> 3) & 7;
  if (!insn.isMemory) {
    return insn.rep === 0xf3 && system.fsGsBase(cpu, insn);
  }
  if (insn.rep !== 0) return false;
  // 66 0F AE /6: CLWB. The guest's caches are the host's, and coherent.
  if (insn.operandSizePrefix) return operation === 6 && system.nothing(cpu, insn);
  return group15Memory(cpu, insn);
}

/** 0F 01: only the register forms are completed. */
function group7(cpu: GuestCpu, insn: Instruction): boolean {
  return !insn.isMemory && system.group7(cpu, insn);
}

function key(map: OpcodeMap, opcode: number): number {
  return (map << 8) | opcode;
}

const { Primary, Escape0f, Escape0f38 } = OpcodeMap;
const COMPLETIONS = new Map<number, Completion>([
  [key(Primary, 0x90), system.nothing], // NOP, PAUSE
  [key(Primary, 0x9b), system.nothing], // FWAIT
  [key(Primary, 0xcc), system.int3],
  [key(Primary, 0xcd), system.int3],
  [key(Primary, 0xd9), x87],
  [key(Primary, 0xdb), x87],
  [key(Primary, 0xdf), x87],
  [key(Primary, 0xfc), system.directionFlag],
  [key(Primary, 0xfd), system.directionFlag],
  [key(Escape0f, 0x00), group6],
  [key(Escape0f, 0x01), group7],
  [key(Escape0f, 0x02), larLsl],
  [key(Escape0f, 0x03), larLsl],
  [key(Escape0f, 0x07), system.sysret],
  [key(Escape0f, 0x0b), system.undefinedInstruction],
  [key(Escape0f, 0x1e), system.nothing], // ENDBR64
  [key(Escape0f, 0x1f), system.nothing], // NOP with an operand
  [key(Escape0f, 0x77), emms],
  [key(Escape0f, 0xae), group15],
  [key(Escape0f, 0xb8), integer.popcnt],
  [key(Escape0f, 0xb9), system.undefinedInstruction],
  [key(Escape0f, 0xc7), integer.cmpxchg16b],
  [key(Escape0f, 0xff), system.undefinedInstruction],
  [key(Escape0f38, 0xf0), integer.crc32],
  [key(Escape0f38, 0xf1), integer.crc32],
  [key(Escape0f38, 0xf6), integer.adxAddition],
]);
/**
 * Completes one decoded instruction at CPL 0. A memory operand that is not there becomes the
 * guest's page fault.
 * @returns false, with nothing changed, for an instruction that is not completed
 */
export function complete(cpu: GuestCpu, insn: Instruction): boolean {
  const completion = COMPLETIONS.get(key(insn.map, insn.opcode));
  if (completion === undefined || cpu.cpl !== 0) return false;
  try {
    return completion(cpu, insn);
  } catch (error) {
    if (!(error instanceof GuestPageFault)) throw error;
    cpu.raisePageFault(error.address, error.errorCode);
    return true;
  }
}

/** Instructions without memory operand and without event, safe to step over in place. */
export function isPlainStep(insn: Instruction): boolean {
  const { map, opcode } = insn;
  if (map === OpcodeMap.Primary) return opcode === 0x90 || opcode === 0xfc;
  if (map !== OpcodeMap.Escape0f) return false;
  return opcode === 0x1e || opcode === 0x1f || (opcode === 0x01 && insn.modrm === 0xca);
}
