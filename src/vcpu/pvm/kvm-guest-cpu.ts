/** {@link GuestCpu} over a vCPU's ioctls and guest memory. */
import { constant, native } from '../../kvm/native.js';
import type { GeneralRegisters, Segment, SpecialRegisters } from '../../kvm/registers.js';
import { Gpr } from '../../kvm/registers.js';
import type { VcpuFd } from '../../kvm/vcpu-fd.js';
import type { GuestMemory } from '../../memory/guest-memory.js';
import { VexitError } from '../../util/errors.js';
import type { CodeSize } from './instruction.js';
import type { GuestCpu, MsrIndex } from './guest-cpu.js';
import { GuestPageFault, NotInRam, Vector } from './guest-cpu.js';
import { exchangePair } from './exchange-pair.js';
import type { PagingState } from './page-walk.js';
import { walk } from './page-walk.js';
import { readXcr0, readXsave, writeXcr0 } from './extended-state.js';
import { SyncedState } from './synced-state.js';
import type { XsaveComponent } from './xsave-layout.js';

const EFER_LMA = 1n << 10n;
/** struct kvm_debugregs: DR0 to DR3, DR6, DR7, flags. */
const DEBUGREGS_DR6 = 32;
const DR6_BS = 1n << 14n;
const PAGE = 4096n;
const PAGE_NUMBER = 4096;

interface Injection {
  readonly vector: Vector;
  readonly errorCode: number | undefined;
}

/** Between {@link begin} and {@link commit} it holds a copy of the registers. */
export class KvmGuestCpu implements GuestCpu {
  readonly regs: GeneralRegisters;
  readonly sregs: SpecialRegisters;
  cpl = 0;
  private readonly state: SyncedState;
  private sregsChanged = false;
  /** Derived from the special registers when first asked for, once an event. */
  private paging: PagingState | undefined;
  private size: CodeSize | undefined;
  private injection: Injection | undefined;

  constructor(
    private readonly vcpu: VcpuFd,
    private readonly memory: GuestMemory,
    readonly xsaveComponents: readonly XsaveComponent[],
  ) {
    this.regs = vcpu.regs;
    this.sregs = vcpu.sregs;
    this.state = new SyncedState(vcpu);
  }

  /** Reads the registers of the stopped vCPU. */
  begin(): void {
    this.state.read();
    this.sregsChanged = false;
    this.injection = undefined;
    this.cpl = this.sregs.cpl;
    this.paging = this.size = undefined;
  }

  /** As {@link begin}, after the registers were changed by another than the guest. */
  beginAfresh(): void {
    this.state.forget();
    this.begin();
  }

  /**
   * Writes back what changed. Writing the general registers also drops the #UD that KVM has queued
   * along with an emulation failure, and has to come before the event that replaces it.
   */
  commit(): void {
    if (this.injection === undefined) {
      this.state.writeLater(this.sregsChanged);
    } else {
      this.state.writeNow(this.sregsChanged);
      this.writeInjection(this.injection);
    }
  }

  private writeInjection({ vector, errorCode }: Injection): void {
    const events = this.vcpu.readEvents();
    events.injectException(vector);
    if (errorCode !== undefined) {
      const view = new DataView(events.bytes.buffer);
      view.setUint8(constant('kvm_vcpu_events.exception.has_error_code'), 1);
      view.setUint32(constant('kvm_vcpu_events.exception.error_code'), errorCode, true);
    }
    this.vcpu.writeEvents(events);
  }

  get codeSize(): CodeSize {
    if (this.size === undefined) {
      const cs = this.sregs.getSegment('cs');
      this.size = this.longMode && cs.l === 1 ? 64 : cs.db === 1 ? 32 : 16;
    }
    return this.size;
  }

  get longMode(): boolean {
    return (this.sregs.getControl('efer') & EFER_LMA) !== 0n;
  }

  get cr4(): bigint {
    return this.sregs.getControl('cr4');
  }

  /** Linear address of the current instruction. */
  get linearRip(): bigint {
    return this.segmentBase('cs') + this.regs.get(Gpr.Rip);
  }

  segmentBase(name: 'cs' | 'ds' | 'es' | 'ss' | 'fs' | 'gs'): bigint {
    if (this.codeSize === 64 && name !== 'fs' && name !== 'gs') return 0n;
    return this.sregs.segmentBase(name);
  }

  setSegmentBase(name: 'fs' | 'gs', base: bigint): void {
    this.sregs.setSegmentBase(name, base);
    this.sregsChanged = true;
  }

  setSegment(name: 'cs' | 'ss', segment: Segment): void {
    this.sregs.setSegment(name, segment);
    this.sregsChanged = true;
  }

  readDescriptor(selector: number): bigint | undefined {
    const { sregs } = this;
    const ldt = sregs.getSegment('ldt');
    const table = (selector & 4) === 0 ? sregs.getTable('gdt') : ldt;
    const offset = selector & 0xfff8;
    if ((selector & 0xfffc) === 0 || offset + 7 > table.limit) return undefined;
    if (table === ldt && ldt.unusable === 1) return undefined;
    const bytes = new DataView(new ArrayBuffer(8));
    this.readLinear(BigInt.asUintN(64, table.base + BigInt(offset)), new Uint8Array(bytes.buffer));
    return bytes.getBigUint64(0, true);
  }

  readMsr(index: MsrIndex): bigint {
    const [value] = this.vcpu.readMsrs([index]);
    if (value === undefined) {
      throw new VexitError('ERR_VCPU', `KVM does not know MSR 0x${index.toString(16)}`);
    }
    return value;
  }

  writeMsr(index: MsrIndex, value: bigint): void {
    if (this.vcpu.writeMsrs([{ index, value }]) !== 1) {
      throw new VexitError('ERR_VCPU', `KVM refuses a value for MSR 0x${index.toString(16)}`);
    }
  }

  /** Physical address of a byte, or undefined when it is not mapped or not in RAM. */
  private physical(address: bigint, write: boolean): number {
    const { sregs } = this;
    const state = (this.paging ??= {
      cr0: sregs.getControl('cr0'),
      cr3: sregs.getControl('cr3'),
      cr4: sregs.getControl('cr4'),
      longMode: this.longMode,
    });
    const found = walk(this.memory, state, address, write);
    if (found === undefined) throw new NotInRam();
    if ('fault' in found) throw new GuestPageFault(address, found.fault);
    if (!this.memory.contains(found.physical, 1)) throw new NotInRam();
    return found.physical;
  }

  /** Splits a linear range at page boundaries; translates every page before the first use. */
  private pieces(address: bigint, length: number, write: boolean): [number, number][] {
    const pieces: [number, number][] = [];
    let at = address;
    for (let left = length; left > 0;) {
      const count = Math.min(left, PAGE_NUMBER - Number(at & (PAGE - 1n)));
      pieces.push([this.physical(at, write), count]);
      at = BigInt.asUintN(64, at + BigInt(count));
      left -= count;
    }
    return pieces;
  }

  readLinear(address: bigint, into: Uint8Array): void {
    let done = 0;
    for (const [physical, count] of this.pieces(address, into.length, false)) {
      into.set(this.memory.slices(physical, count)[0]!, done);
      done += count;
    }
  }

  writeLinear(address: bigint, bytes: Uint8Array): void {
    let done = 0;
    for (const [physical, count] of this.pieces(address, bytes.length, true)) {
      this.memory.write(physical, bytes.subarray(done, done + count));
      done += count;
    }
  }

  /**
   * Reads code at a linear address as far as pages are mapped.
   * @returns how many bytes are valid
   */
  fetch(address: bigint, into: Uint8Array): number {
    const first = Math.min(into.length, PAGE_NUMBER - Number(address & (PAGE - 1n)));
    try {
      this.readLinear(address, into.subarray(0, first));
    } catch (error) {
      if (error instanceof GuestPageFault || error instanceof NotInRam) return 0;
      throw error;
    }
    if (first === into.length) return first;
    return first + this.fetch(BigInt.asUintN(64, address + BigInt(first)), into.subarray(first));
  }

  compareExchange16(
    address: bigint,
    expected: readonly [bigint, bigint],
    replacement: readonly [bigint, bigint],
  ): readonly [bigint, bigint] | undefined {
    const [piece] = this.memory.slices(this.physical(address, true), 16);
    const words = new BigUint64Array(piece!.buffer, piece!.byteOffset, 2);
    return exchangePair(words, expected, replacement);
  }

  inject(vector: Vector, errorCode?: number): void {
    this.injection = { vector, errorCode };
  }

  raisePageFault(address: bigint, errorCode: number): void {
    this.sregs.setControl('cr2', address);
    this.sregsChanged = true;
    this.inject(Vector.PageFault, errorCode);
  }

  /** Delivers the #DB that RFLAGS.TF asks for after an instruction (SDM volume 3, 18.3.1.4). */
  injectSingleStep(): void {
    const registers = new DataView(new ArrayBuffer(constant('sizeof_kvm_debugregs')));
    native().getDebugregs(this.vcpu.fd, registers);
    const dr6 = registers.getBigUint64(DEBUGREGS_DR6, true);
    registers.setBigUint64(DEBUGREGS_DR6, dr6 | DR6_BS, true);
    native().setDebugregs(this.vcpu.fd, registers);
    this.inject(Vector.Debug);
  }

  /** True when the completion has asked for an exception. */
  get hasInjection(): boolean {
    return this.injection !== undefined;
  }

  readXsave(): Uint8Array {
    return readXsave(this.vcpu);
  }

  writeXsave(area: Uint8Array): void {
    native().setXsave(this.vcpu.fd, area);
  }

  readXcr0(): bigint {
    return readXcr0(this.vcpu);
  }

  writeXcr0(value: bigint): boolean {
    return writeXcr0(this.vcpu, value);
  }
}
