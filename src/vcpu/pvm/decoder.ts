/**
 * Decoder of one x86 instruction, far enough to complete it: prefixes, opcode, ModRM, SIB,
 * displacement, immediate (Intel SDM volume 2, chapter 2 and appendix A).
 */

import type { CodeSize, Instruction, SegmentPrefix } from './instruction.js';
import { OpcodeMap } from './instruction.js';

/*
 * What follows an opcode: '.' nothing, m ModRM, b imm8, w imm16, z imm16/32, v imm16/32/64,
 * M ModRM + imm8, Z ModRM + immz, a moffs, e ENTER, p far pointer, 3 and # group 3, ! undefined.
 */
const ALU = 'mmmmbz..';
const PRIMARY =
  ALU.repeat(8) +
  '................' + // 40
  '................' + // 50
  '..mm....zZbM....' + // 60
  'bbbbbbbbbbbbbbbb' + // 70
  'MZMMmmmmmmmmmmmm' + // 80
  '..........p.....' + // 90
  'aaaa....bz......' + // a0
  'bbbbbbbbvvvvvvvv' + // b0
  'MMw.mmMZe.w..b..' + // c0
  'mmmmbb..mmmmmmmm' + // d0
  'bbbbbbbbzzpb....' + // e0
  '......3#......mm'; // f0
const ESCAPE_0F =
  'mmmm!.....!.!m.M' + // 00
  'm'.repeat(32) + // 10
  '........!!!!!!!!' + // 30, with 38 and 3a decoded before
  'm'.repeat(48) + // 40
  'MMMMmmm.mmmmmmmm' + // 70
  'z'.repeat(16) + // 80
  'm'.repeat(16) + // 90
  '...mMm!!...mMmmm' + // a0
  'mmmmmmmmmmMmmmmm' + // b0
  'mmMmMMMm........' + // c0
  'm'.repeat(48); // d0

const SEGMENTS: readonly SegmentPrefix[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const MAX_LENGTH = 15;

/** 16-bit addressing forms of ModRM, as base and index register numbers (table 2-1). */
const BASE_16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX_16 = [6, 7, 6, 7, -1, -1, -1, -1];

/** Thrown inside {@link decode} when the bytes end before the instruction does. */
class Truncated extends Error {}

class Cursor {
  at = 0;
  constructor(
    readonly bytes: Uint8Array,
    readonly end: number,
  ) {}

  u8(): number {
    if (this.at >= this.end) throw new Truncated();
    return this.bytes[this.at++]!;
  }
  i8(): number {
    return (this.u8() << 24) >> 24;
  }
  u16(): number {
    return this.u8() | (this.u8() << 8);
  }
  i16(): number {
    return (this.u16() << 16) >> 16;
  }
  i32(): number {
    return this.u16() | (this.u16() << 16);
  }
}

function prefixes(insn: Instruction, cursor: Cursor): number {
  for (;;) {
    const byte = cursor.u8();
    switch (byte) {
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
        insn.segment = SEGMENTS[(byte >> 3) & 3];
        break;
      case 0x64:
      case 0x65:
        insn.segment = SEGMENTS[4 + (byte & 1)];
        break;
      case 0x66:
        insn.operandSizePrefix = true;
        break;
      case 0x67:
        insn.addressSizePrefix = true;
        break;
      case 0xf0:
        insn.lock = true;
        break;
      case 0xf2:
      case 0xf3:
        insn.rep = byte;
        break;
      default:
        if (insn.codeSize !== 64 || (byte & 0xf0) !== 0x40) return byte;
        // A REX prefix counts only directly before the opcode.
        insn.rex = byte;
        continue;
    }
    insn.rex = 0;
  }
}

function opcode(insn: Instruction, cursor: Cursor, first: number): string {
  insn.opcode = first;
  if (first !== 0x0f) return PRIMARY[first]!;
  insn.map = OpcodeMap.Escape0f;
  insn.opcode = cursor.u8();
  if (insn.opcode !== 0x38 && insn.opcode !== 0x3a) return ESCAPE_0F[insn.opcode]!;
  insn.map = insn.opcode === 0x38 ? OpcodeMap.Escape0f38 : OpcodeMap.Escape0f3a;
  insn.opcode = cursor.u8();
  return insn.map === OpcodeMap.Escape0f38 ? 'm' : 'M';
}

function memory16(insn: Instruction, cursor: Cursor, rm: number): void {
  if (insn.mod === 0 && rm === 6) {
    insn.displacement = cursor.i16();
    return;
  }
  insn.base = BASE_16[rm]!;
  insn.index = INDEX_16[rm]!;
  if (insn.mod === 1) insn.displacement = cursor.i8();
  else if (insn.mod === 2) insn.displacement = cursor.i16();
}

function modrm(insn: Instruction, cursor: Cursor): void {
  const byte = cursor.u8();
  const rm = byte & 7;
  insn.hasModrm = true;
  insn.modrm = byte;
  insn.mod = byte >> 6;
  insn.reg = ((byte >> 3) & 7) | ((insn.rex & 4) << 1);
  insn.rm = rm | ((insn.rex & 1) << 3);
  if (insn.mod === 3) return;
  if (insn.addressSize === 2) {
    memory16(insn, cursor, rm);
    return;
  }

  insn.base = insn.rm;
  let low = rm;
  if (rm === 4) {
    const sib = cursor.u8();
    low = sib & 7;
    insn.base = low | ((insn.rex & 1) << 3);
    insn.index = ((sib >> 3) & 7) | ((insn.rex & 2) << 2);
    if (insn.index === 4) insn.index = -1;
    insn.scale = sib >> 6;
  }
  if (insn.mod === 0 && low === 5) {
    insn.base = -1;
    insn.ripRelative = rm === 5 && insn.codeSize === 64;
    insn.displacement = cursor.i32();
  } else if (insn.mod === 1) insn.displacement = cursor.i8();
  else if (insn.mod === 2) insn.displacement = cursor.i32();
}

function immediate(insn: Instruction, cursor: Cursor, kind: string): void {
  const full = (): number => (insn.operandSize === 2 ? cursor.i16() : cursor.i32());
  switch (kind) {
    case 'b':
    case 'M':
      insn.immediate = cursor.i8();
      break;
    case 'w':
      insn.immediate = cursor.u16();
      break;
    case 'z':
    case 'Z':
      insn.immediate = full();
      break;
    case 'v':
      insn.immediate = full();
      if (insn.operandSize === 8) cursor.i32();
      break;
    case 'a':
      for (let i = 0; i < insn.addressSize; i++) cursor.u8();
      break;
    case 'e':
      insn.immediate = cursor.u16();
      cursor.u8();
      break;
    case 'p':
      insn.immediate = full();
      cursor.u16();
      break;
    case '3':
      if ((insn.modrm & 0x30) === 0) insn.immediate = cursor.i8();
      break;
    case '#':
      if ((insn.modrm & 0x30) === 0) insn.immediate = full();
      break;
    default:
  }
}

function reset(insn: Instruction, codeSize: CodeSize): void {
  insn.codeSize = codeSize;
  insn.map = OpcodeMap.Primary;
  insn.rep = insn.rex = insn.modrm = insn.mod = insn.reg = insn.rm = 0;
  insn.lock = insn.operandSizePrefix = insn.addressSizePrefix = false;
  insn.segment = undefined;
  insn.hasModrm = insn.ripRelative = false;
  insn.base = insn.index = -1;
  insn.scale = insn.displacement = insn.immediate = insn.length = 0;
}

/**
 * Decodes the instruction at the start of `bytes` into `insn`.
 * @param available how many of the bytes are there
 * @returns false for an opcode that no map defines, or when the bytes end too early. VEX and EVEX
 *   encodings are not decoded: only vector code uses them, and that is kept from guest kernels.
 */
export function decode(
  insn: Instruction,
  bytes: Uint8Array,
  available: number,
  codeSize: CodeSize,
): boolean {
  reset(insn, codeSize);
  const cursor = new Cursor(bytes, Math.min(available, MAX_LENGTH));
  try {
    const first = prefixes(insn, cursor);
    const kind = opcode(insn, cursor, first);
    if (kind === '!') return false;
    if ('mMZ3#'.includes(kind)) modrm(insn, cursor);
    immediate(insn, cursor, kind);
  } catch (error) {
    if (error instanceof Truncated) return false;
    throw error;
  }
  insn.length = cursor.at;
  return true;
}
