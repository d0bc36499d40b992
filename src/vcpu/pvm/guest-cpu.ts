/**
 * What a completion needs of a vCPU: registers, memory by linear address, events. The real one is
 * {@link KvmGuestCpu}; unit tests give a fake.
 */
import type { GeneralRegisters, Segment } from '../../kvm/registers.js';
import type { CodeSize } from './instruction.js';
import type { XsaveComponent } from './xsave-layout.js';

/** Exception vectors (SDM volume 3, table 6-1). */
export enum Vector {
  Debug = 1,
  Breakpoint = 3,
  InvalidOpcode = 6,
  GeneralProtection = 13,
  PageFault = 14,
}

/** RFLAGS bits (SDM volume 1, 3.4.3). */
export const Rflags = {
  CF: 1n << 0n,
  FIXED: 1n << 1n,
  PF: 1n << 2n,
  AF: 1n << 4n,
  ZF: 1n << 6n,
  SF: 1n << 7n,
  TF: 1n << 8n,
  IF: 1n << 9n,
  DF: 1n << 10n,
  OF: 1n << 11n,
  IOPL: 3n << 12n,
  NT: 1n << 14n,
  RF: 1n << 16n,
  VM: 1n << 17n,
  AC: 1n << 18n,
} as const;

/** Model-specific registers the completions use. */
export enum MsrIndex {
  Tsc = 0x10,
  TscAux = 0xc0000103,
  Star = 0xc0000081,
  Lstar = 0xc0000082,
  Cstar = 0xc0000083,
  Fmask = 0xc0000084,
  KernelGsBase = 0xc0000102,
}

/** A memory operand could not be reached: the completion ends and the guest gets a #PF. */
export class GuestPageFault extends Error {
  constructor(
    readonly address: bigint,
    readonly errorCode: number,
  ) {
    super('guest page fault');
  }
}

/** An operand in a device's window or behind a hole: no completion can reach it. */
export class NotInRam extends Error {}

/** The completions' view of one stopped vCPU. */
export interface GuestCpu {
  /** General registers, RIP and RFLAGS; changes reach the guest. */
  readonly regs: GeneralRegisters;
  readonly codeSize: CodeSize;
  readonly cpl: number;
  readonly cr4: bigint;

  /** Base of a segment; in 64-bit mode 0 but for FS and GS. */
  segmentBase(name: 'cs' | 'ds' | 'es' | 'ss' | 'fs' | 'gs'): bigint;
  setSegmentBase(name: 'fs' | 'gs', base: bigint): void;
  setSegment(name: 'cs' | 'ss', segment: Segment): void;

  /** Eight bytes of a descriptor in the GDT or LDT; undefined when the table ends before it. */
  readDescriptor(selector: number): bigint | undefined;

  readMsr(index: MsrIndex): bigint;
  writeMsr(index: MsrIndex, value: bigint): void;

  /** @throws GuestPageFault */
  readLinear(address: bigint, into: Uint8Array): void;
  /** @throws GuestPageFault with nothing written */
  writeLinear(address: bigint, bytes: Uint8Array): void;
  /**
   * CMPXCHG16B on 16 aligned bytes.
   * @returns undefined when the exchange took place, else the value found, low half first
   * @throws GuestPageFault
   */
  compareExchange16(
    address: bigint,
    expected: readonly [bigint, bigint],
    replacement: readonly [bigint, bigint],
  ): readonly [bigint, bigint] | undefined;

  /** Delivers an exception before the next instruction. */
  inject(vector: Vector, errorCode?: number): void;
  /** Delivers a #PF: CR2 and error code. */
  raisePageFault(address: bigint, errorCode: number): void;

  /** Components of {@link readXsave} beyond x87 and SSE. */
  readonly xsaveComponents: readonly XsaveComponent[];
  /** The user state of KVM_GET_XSAVE: the standard (not compacted) format of XSAVE. */
  readXsave(): Uint8Array;
  writeXsave(area: Uint8Array): void;
  /** Extended control register 0. */
  readXcr0(): bigint;
  writeXcr0(value: bigint): boolean;
}
