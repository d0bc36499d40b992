/** One decoded x86 instruction, see decoder.ts (Intel SDM volume 2, chapter 2). */

/** Opcode maps: one byte, 0F, 0F 38, 0F 3A. */
export enum OpcodeMap {
  Primary,
  Escape0f,
  Escape0f38,
  Escape0f3a,
}

/** Segment override prefixes that carry a base of their own in 64-bit mode, and the others. */
export type SegmentPrefix = 'es' | 'cs' | 'ss' | 'ds' | 'fs' | 'gs';

/** Default operand and address size of the code segment, in bits. */
export type CodeSize = 16 | 32 | 64;

/** One decoded instruction. Reused from one decode to the next: copy what has to stay. */
export class Instruction {
  codeSize: CodeSize = 64;
  length = 0;
  map = OpcodeMap.Primary;
  opcode = 0;
  /** The last of F2 and F3, or 0. */
  rep = 0;
  lock = false;
  operandSizePrefix = false;
  addressSizePrefix = false;
  segment: SegmentPrefix | undefined;
  /** REX prefix byte, or 0. */
  rex = 0;
  hasModrm = false;
  /** The whole ModRM byte; {@link reg} and {@link rm} have the REX extension already. */
  modrm = 0;
  mod = 0;
  reg = 0;
  rm = 0;
  /** Base register of the memory operand, or -1. */
  base = -1;
  /** Index register of the memory operand, or -1. */
  index = -1;
  scale = 0;
  displacement = 0;
  ripRelative = false;
  /** Immediate, sign-extended from its encoded size; the low 32 bits of a 64-bit one. */
  immediate = 0;

  get rexW(): boolean {
    return (this.rex & 8) !== 0;
  }

  /** True when the ModRM byte names a memory operand. */
  get isMemory(): boolean {
    return this.hasModrm && this.mod !== 3;
  }

  /** Bytes of a "v" operand: 2, 4 or 8. */
  get operandSize(): 2 | 4 | 8 {
    if (this.rexW) return 8;
    return (this.codeSize === 16) === this.operandSizePrefix ? 4 : 2;
  }

  /** Bytes of an address: 2, 4 or 8. */
  get addressSize(): 2 | 4 | 8 {
    if (this.codeSize === 64) return this.addressSizePrefix ? 4 : 8;
    return (this.codeSize === 16) === this.addressSizePrefix ? 4 : 2;
  }
}
