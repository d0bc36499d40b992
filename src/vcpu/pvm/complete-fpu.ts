/**
 * XSAVE family and FXSAVE at CPL 0, on the state that KVM_GET_XSAVE exchanges (SDM volume 1,
 * chapter 13). KVM's image has the standard format, and that is what is stored and loaded here.
 */
import { Gpr } from '../../kvm/registers.js';
import type { Instruction } from './instruction.js';
import type { GuestCpu } from './guest-cpu.js';
import { Vector } from './guest-cpu.js';
import * as operands from './operands.js';

const HEADER = 512;
const HEADER_SIZE = 64;
const XCOMP_BV = HEADER + 8;
/** Bytes 416 to 511 of the legacy area are not the processor's. */
const LEGACY_USED = 416;
const FP = 1n;
const SSE = 2n;
const YMM = 4n;
const XMM_OFFSET = 160;
const MXCSR_OFFSET = 24;
/** 24 to 31: MXCSR and its mask, which belong to SSE and AVX alike. */
const MXCSR_SIZE = 8;

type Range = readonly [offset: number, size: number];

const FP_RANGES: readonly Range[] = [
  [0, 24],
  [32, 128],
];
const SSE_RANGES: readonly Range[] = [[XMM_OFFSET, 256]];

/** Bytes of the components in `mask`; undefined when KVM's image lacks one. */
function rangesOf(cpu: GuestCpu, mask: bigint): Range[] | undefined {
  const ranges = (mask & FP) === 0n ? [] : FP_RANGES.slice();
  if ((mask & SSE) !== 0n) ranges.push(...SSE_RANGES);
  let left = mask & ~(FP | SSE);
  for (const { number, offset, size } of cpu.xsaveComponents) {
    const bit = 1n << BigInt(number);
    if ((left & bit) === 0n) continue;
    ranges.push([offset, size]);
    left &= ~bit;
  }
  return left === 0n ? ranges : undefined;
}

/** EDX:EAX. */
function requestedMask(cpu: GuestCpu): bigint {
  const high = cpu.regs.get(Gpr.Rdx) & 0xffffffffn;
  return (high << 32n) | (cpu.regs.get(Gpr.Rax) & 0xffffffffn);
}

function view(area: Uint8Array): DataView {
  return new DataView(area.buffer, area.byteOffset, area.byteLength);
}

function refuse(cpu: GuestCpu): boolean {
  cpu.inject(Vector.GeneralProtection, 0);
  return true;
}

/** XSAVE and XSAVEOPT: both write every requested component. */
function xsave(cpu: GuestCpu, insn: Instruction, address: bigint): boolean {
  const mask = requestedMask(cpu) & cpu.readXcr0();
  const ranges = rangesOf(cpu, mask);
  if (ranges === undefined) return false;
  const state = cpu.readXsave();
  const header = new Uint8Array(8);
  cpu.readLinear(address + BigInt(HEADER), header);
  const old = view(header).getBigUint64(0, true);
  const inUse = view(state).getBigUint64(HEADER, true);
  for (const [offset, size] of ranges) {
    cpu.writeLinear(address + BigInt(offset), state.subarray(offset, offset + size));
  }
  if ((mask & (SSE | YMM)) !== 0n) {
    const stored = state.subarray(MXCSR_OFFSET, MXCSR_OFFSET + MXCSR_SIZE);
    cpu.writeLinear(address + BigInt(MXCSR_OFFSET), stored);
  }
  view(header).setBigUint64(0, (old & ~mask) | (inUse & mask), true);
  cpu.writeLinear(address + BigInt(HEADER), header);
  operands.retire(cpu, insn);
  return true;
}

/** XRSTOR of the standard format; the compacted one is refused. */
function xrstor(cpu: GuestCpu, insn: Instruction, address: bigint): boolean {
  const xcr0 = cpu.readXcr0();
  const mask = requestedMask(cpu) & xcr0;
  const source = new Uint8Array(HEADER + HEADER_SIZE);
  cpu.readLinear(address, source);
  const present = view(source).getBigUint64(HEADER, true);
  const compact = view(source).getBigUint64(XCOMP_BV, true);
  if (compact !== 0n) return false;
  if ((present & ~xcr0) !== 0n) return refuse(cpu);
  const reserved = source.subarray(XCOMP_BV, HEADER + HEADER_SIZE);
  if (reserved.some((byte) => byte !== 0)) return refuse(cpu);
  const ranges = rangesOf(cpu, mask & present);
  if (ranges === undefined) return false;
  const state = cpu.readXsave();
  for (const [offset, size] of ranges) {
    cpu.readLinear(address + BigInt(offset), state.subarray(offset, offset + size));
  }
  if ((mask & (SSE | YMM)) !== 0n) {
    const loaded = view(source).getUint32(MXCSR_OFFSET, true);
    if ((loaded & 0xffff0000) !== 0) return refuse(cpu);
    view(state).setUint32(MXCSR_OFFSET, loaded, true);
    if ((present & SSE) === 0n && (mask & SSE) !== 0n) state.fill(0, XMM_OFFSET, LEGACY_USED);
  }
  // MXCSR is loaded even where XSTATE_BV has no SSE, so that bit stays set. Otherwise KVM puts a component whose XSTATE_BV bit is clear into its initial state, as XRSTOR does.
  const kept = view(state).getBigUint64(HEADER, true) & ~mask;
  view(state).setBigUint64(HEADER, kept | ((present | SSE) & mask), true);
  cpu.writeXsave(state);
  operands.retire(cpu, insn);
  return true;
}

function fxsave(cpu: GuestCpu, insn: Instruction, address: bigint): boolean {
  cpu.writeLinear(address, cpu.readXsave().subarray(0, LEGACY_USED));
  operands.retire(cpu, insn);
  return true;
}

function fxrstor(cpu: GuestCpu, insn: Instruction, address: bigint): boolean {
  const legacy = new Uint8Array(LEGACY_USED);
  cpu.readLinear(address, legacy);
  if ((view(legacy).getUint32(MXCSR_OFFSET, true) & 0xffff0000) !== 0) return refuse(cpu);
  const state = cpu.readXsave();
  const mxcsrMask = view(state).getUint32(MXCSR_OFFSET + 4, true);
  state.set(legacy);
  view(state).setUint32(MXCSR_OFFSET + 4, mxcsrMask, true);
  view(state).setBigUint64(HEADER, view(state).getBigUint64(HEADER, true) | FP | SSE, true);
  cpu.writeXsave(state);
  operands.retire(cpu, insn);
  return true;
}

/** 0F AE /2 and /3: LDMXCSR, STMXCSR. */
function mxcsr(cpu: GuestCpu, insn: Instruction, address: bigint, load: boolean): boolean {
  const state = cpu.readXsave();
  if (load) {
    const value = Number(operands.readMemory(cpu, address, 4));
    if ((value & 0xffff0000) !== 0) return refuse(cpu);
    view(state).setUint32(MXCSR_OFFSET, value, true);
    writeLegacy(cpu, state);
  } else {
    cpu.writeLinear(address, state.subarray(MXCSR_OFFSET, MXCSR_OFFSET + 4));
  }
  operands.retire(cpu, insn);
  return true;
}

/** Writes a state whose x87 or SSE part is no longer the initial one. */
function writeLegacy(cpu: GuestCpu, state: Uint8Array): void {
  const bits = view(state).getBigUint64(HEADER, true);
  view(state).setBigUint64(HEADER, bits | FP | SSE, true);
  cpu.writeXsave(state);
}

const FCW = 0;
const FSW = 2;
/** Abridged tag word: a bit a register, 0 for empty. */
const FTW = 4;
/** FSW without the exception flags, stack fault, error summary and busy. */
const FSW_WITHOUT_EXCEPTIONS = 0x7f00;

/** D9 /5 FLDCW, DB E2 FNCLEX, DF E0 FNSTSW AX: what a kernel does to the x87 unit. */
export function x87(cpu: GuestCpu, insn: Instruction): boolean {
  const operation = (insn.modrm >> 3) & 7;
  const state = cpu.readXsave();
  const words = view(state);
  if (insn.opcode === 0xd9 && insn.isMemory && operation === 5) {
    const value = operands.readMemory(cpu, operands.linearAddress(cpu, insn), 2);
    words.setUint16(FCW, Number(value) | 0x40, true);
    writeLegacy(cpu, state);
  } else if (insn.opcode === 0xdb && insn.modrm === 0xe2) {
    words.setUint16(FSW, words.getUint16(FSW, true) & FSW_WITHOUT_EXCEPTIONS, true);
    writeLegacy(cpu, state);
  } else if (insn.opcode === 0xdf && insn.modrm === 0xe0) {
    operands.writeRegister(cpu, 0, 2, BigInt(words.getUint16(FSW, true)));
  } else {
    return false;
  }
  operands.retire(cpu, insn);
  return true;
}

/** 0F 77: EMMS. */
export function emms(cpu: GuestCpu, insn: Instruction): boolean {
  const state = cpu.readXsave();
  state[FTW] = 0;
  writeLegacy(cpu, state);
  operands.retire(cpu, insn);
  return true;
}

/** 0F AE with a memory operand: /0 FXSAVE, /1 FXRSTOR, /4 XSAVE, /5 XRSTOR, /6 XSAVEOPT. */
export function group15Memory(cpu: GuestCpu, insn: Instruction): boolean {
  const operation = (insn.modrm >> 3) & 7;
  const address = operands.linearAddress(cpu, insn);
  const aligned = (align: bigint): boolean => (address & (align - 1n)) === 0n;
  switch (operation) {
    case 0:
    case 1:
      if (!aligned(16n)) return refuse(cpu);
      return operation === 0 ? fxsave(cpu, insn, address) : fxrstor(cpu, insn, address);
    case 2:
    case 3:
      return mxcsr(cpu, insn, address, operation === 2);
    case 4:
    case 6:
      return aligned(64n) ? xsave(cpu, insn, address) : refuse(cpu);
    case 5:
      return aligned(64n) ? xrstor(cpu, insn, address) : refuse(cpu);
    default:
      return false;
  }
}
