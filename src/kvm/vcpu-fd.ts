/** One vCPU's file descriptor and its kvm_run page. */
import { closeSync } from 'node:fs';
import { constant, native } from './native.js';
import { openStatistics, readStatistics } from './stats.js';
import { GeneralRegisters, SpecialRegisters, VcpuEvents } from './registers.js';

/** A model-specific register and its value. */
export interface Msr {
  readonly index: number;
  readonly value: bigint;
}

/**
 * A vCPU by its process-wide id. Any thread of the process may attach; only one at a time may run
 * it or exchange state. {@link kick} and {@link stop} are safe from every thread.
 */
export class VcpuFd {
  readonly fd: number;
  readonly runPage: DataView;
  /** Last registers read; written back by {@link writeRegs}. */
  readonly regs = new GeneralRegisters();
  /** Last special registers read; written back by {@link writeSregs}. */
  readonly sregs = new SpecialRegisters();
  private readonly runBuffer: ArrayBuffer;
  private statisticsFd: number | undefined;
  private readonly translation = new Uint8Array(constant('sizeof_kvm_translation'));
  private readonly translationView = new DataView(this.translation.buffer);

  constructor(readonly id: number) {
    this.fd = native().vcpuFd(id);
    this.runBuffer = native().vcpuRunPage(id);
    this.runPage = new DataView(this.runBuffer);
  }

  /** Runs until the next exit: its reason, or a negative errno, see {@link NativeAddon.vcpuRun}. */
  run(): number {
    return native().vcpuRun(this.id);
  }

  /** Makes {@link statistics} possible; before the vCPU runs, see {@link openStatistics}. */
  openStatistics(): void {
    this.statisticsFd = openStatistics(this.fd);
  }

  /** KVM's counters by name; empty where KVM keeps none. */
  statistics(): Readonly<Record<string, number>> {
    return this.statisticsFd === undefined ? {} : readStatistics(this.statisticsFd);
  }

  kick(): void {
    native().vcpuKick(this.id);
  }

  /** Kicks the vCPU and lets it never run again. */
  stop(): void {
    native().vcpuStop(this.id);
  }

  readRegs(): GeneralRegisters {
    native().getRegs(this.fd, this.regs.bytes);
    return this.regs;
  }

  writeRegs(): void {
    native().setRegs(this.fd, this.regs.bytes);
  }

  readSregs(): SpecialRegisters {
    native().getSregs(this.fd, this.sregs.bytes);
    return this.sregs;
  }

  writeSregs(): void {
    native().setSregs(this.fd, this.sregs.bytes);
  }

  readEvents(): VcpuEvents {
    const events = new VcpuEvents();
    native().getVcpuEvents(this.fd, events.bytes);
    return events;
  }

  writeEvents(events: VcpuEvents): void {
    native().setVcpuEvents(this.fd, events.bytes);
  }

  /** Values of the MSRs, in order; undefined from the first one on that KVM does not know. */
  readMsrs(indices: readonly number[]): (bigint | undefined)[] {
    const list = new MsrList(indices.map((index) => ({ index, value: 0n })));
    const count = native().getMsrs(this.fd, list.bytes);
    return indices.map((_, i) => (i < count ? list.value(i) : undefined));
  }

  /** Writes MSRs in order; returns how many KVM took before the first one it refused. */
  writeMsrs(msrs: readonly Msr[]): number {
    return native().setMsrs(this.fd, new MsrList(msrs).bytes);
  }

  /**
   * KVM_SET_GUEST_DEBUG.
   * @param control KVM_GUESTDBG_* bits; 0 switches debugging off
   * @param debugregs DR0 to DR7 for hardware breakpoints
   */
  setGuestDebug(control: number, debugregs: readonly bigint[] = []): void {
    const bytes = new Uint8Array(constant('sizeof_kvm_guest_debug'));
    const view = new DataView(bytes.buffer);
    view.setUint32(constant('kvm_guest_debug.control'), control, true);
    const start = constant('kvm_guest_debug.arch.debugreg');
    debugregs.forEach((value, i) => view.setBigUint64(start + 8 * i, value, true));
    native().setGuestDebug(this.fd, bytes);
  }

  /** Guest physical address behind a linear one (KVM_TRANSLATE), or undefined when not mapped. */
  translate(linear: bigint): number | undefined {
    const view = this.translationView;
    view.setBigUint64(constant('kvm_translation.linear_address'), linear, true);
    native().translate(this.fd, this.translation);
    if (view.getUint8(constant('kvm_translation.valid')) === 0) return undefined;
    return Number(view.getBigUint64(constant('kvm_translation.physical_address'), true));
  }

  /** Detaches the view of kvm_run, and closes what is open: call before the vCPU is closed. */
  detach(): void {
    if (this.statisticsFd !== undefined) closeSync(this.statisticsFd);
    this.statisticsFd = undefined;
    native().memoryUnwrap(this.runBuffer);
  }
}

/** struct kvm_msrs with its entries. */
class MsrList {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly header = constant('sizeof_kvm_msrs');
  private readonly entry = constant('sizeof_kvm_msr_entry');

  constructor(msrs: readonly Msr[]) {
    this.bytes = new Uint8Array(this.header + msrs.length * this.entry);
    this.view = new DataView(this.bytes.buffer);
    this.view.setUint32(0, msrs.length, true);
    msrs.forEach(({ index, value }, i) => {
      const at = this.header + i * this.entry;
      this.view.setUint32(at + constant('kvm_msr_entry.index'), index, true);
      this.view.setBigUint64(at + constant('kvm_msr_entry.data'), value, true);
    });
  }

  value(i: number): bigint {
    const at = this.header + i * this.entry + constant('kvm_msr_entry.data');
    return this.view.getBigUint64(at, true);
  }
}
