/** A vCPU of plain objects: registers, one stretch of linear memory, recorded events. */
import { GeneralRegisters, Gpr, type Segment } from '../../../src/kvm/registers.js';
import { exchangePair } from '../../../src/vcpu/pvm/exchange-pair.js';
import { GuestPageFault } from '../../../src/vcpu/pvm/guest-cpu.js';
import type { GuestCpu, MsrIndex, Vector } from '../../../src/vcpu/pvm/guest-cpu.js';
import type { CodeSize } from '../../../src/vcpu/pvm/instruction.js';

export const RIP = 0xffffffff81000000n;
export const MEMORY = 0xffff888000001000n;

export class FakeCpu implements GuestCpu {
  readonly regs = new GeneralRegisters();
  readonly memory = new Uint8Array(4096);
  readonly msrs = new Map<number, bigint>();
  readonly bases: Record<string, bigint> = { fs: 0n, gs: 0n };
  readonly segments: Record<string, Segment> = {};
  readonly descriptors = new Map<number, bigint>();
  readonly events: { vector: number; errorCode?: number; address?: bigint }[] = [];
  codeSize: CodeSize = 64;
  cpl = 0;
  cr4 = 0x50000n;
  xcr0 = 7n;
  xsave = new Uint8Array(4096);
  xsaveComponents = [{ number: 2, offset: 576, size: 256 }];

  constructor() {
    this.regs.set(Gpr.Rip, RIP);
    this.regs.set(Gpr.Rflags, 2n);
  }

  segmentBase(name: string): bigint {
    return this.bases[name] ?? 0n;
  }
  setSegmentBase(name: string, base: bigint): void {
    this.bases[name] = base;
  }
  setSegment(name: string, segment: Segment): void {
    this.segments[name] = segment;
  }
  readDescriptor(selector: number): bigint | undefined {
    return this.descriptors.get(selector & 0xfffc);
  }
  readMsr(index: MsrIndex): bigint {
    return this.msrs.get(index) ?? 0n;
  }
  writeMsr(index: MsrIndex, value: bigint): void {
    this.msrs.set(index, value);
  }

  private slice(address: bigint, length: number, code: number): Uint8Array {
    const at = Number(address - MEMORY);
    if (at < 0 || at + length > this.memory.length) throw new GuestPageFault(address, code);
    return this.memory.subarray(at, at + length);
  }
  readLinear(address: bigint, into: Uint8Array): void {
    into.set(this.slice(address, into.length, 0));
  }
  writeLinear(address: bigint, bytes: Uint8Array): void {
    this.slice(address, bytes.length, 2).set(bytes);
  }
  compareExchange16(
    address: bigint,
    expected: readonly [bigint, bigint],
    replacement: readonly [bigint, bigint],
  ): readonly [bigint, bigint] | undefined {
    const bytes = this.slice(address, 16, 2);
    const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, 2);
    return exchangePair(words, expected, replacement);
  }

  inject(vector: Vector, errorCode?: number): void {
    this.events.push(errorCode === undefined ? { vector } : { vector, errorCode });
  }
  raisePageFault(address: bigint, errorCode: number): void {
    this.events.push({ vector: 14, errorCode, address });
  }
  readXsave(): Uint8Array {
    return this.xsave.slice();
  }
  writeXsave(area: Uint8Array): void {
    this.xsave = area.slice();
  }
  readXcr0(): bigint {
    return this.xcr0;
  }
  writeXcr0(value: bigint): boolean {
    if ((value & 1n) === 0n || (value & ~7n) !== 0n) return false;
    this.xcr0 = value;
    return true;
  }
}
