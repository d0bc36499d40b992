/**
 * Registers through the kvm_run page (KVM_CAP_SYNC_REGS): KVM stores them there at every exit and
 * takes changed ones back at the next KVM_RUN. An ioctl on a vCPU costs 10 to 20 us on kvm-pvm.
 */
import { constant } from '../../kvm/native.js';
import type { VcpuFd } from '../../kvm/vcpu-fd.js';

/**
 * Moves registers between a VcpuFd's buffers and KVM. What {@link writeLater} leaves in the page
 * takes effect when KVM_RUN is entered, be it only to return at once (immediate_exit): until then
 * ioctls see the state before.
 */
export class SyncedState {
  private readonly regs: BigUint64Array;
  private readonly sregs: Uint8Array;
  private readonly validAt = constant('kvm_run.kvm_valid_regs');
  private readonly dirtyAt = constant('kvm_run.kvm_dirty_regs');
  private readonly regsBit = constant('KVM_SYNC_X86_REGS');
  private readonly bothBits = constant('KVM_SYNC_X86_REGS') | constant('KVM_SYNC_X86_SREGS');

  /** True when the page will hold the registers after the next run. */
  private stored = false;

  constructor(private readonly vcpu: VcpuFd) {
    const { buffer } = vcpu.runPage;
    const { regs, sregs } = vcpu;
    this.regs = new BigUint64Array(buffer, constant('kvm_run.s.regs.regs'), regs.values.length);
    this.sregs = new Uint8Array(buffer, constant('kvm_run.s.regs.sregs'), sregs.bytes.length);
  }

  /**
   * Fills `vcpu.regs` and `vcpu.sregs`: by ioctl the first time, which also asks KVM to store
   * them from the next exit on, and from the page afterwards. At most once between two runs.
   */
  read(): void {
    const { vcpu } = this;
    if (this.stored) {
      vcpu.regs.values.set(this.regs);
      vcpu.sregs.bytes.set(this.sregs);
      return;
    }
    vcpu.readRegs();
    vcpu.readSregs();
    // Both fields are 64 bits wide; the flags fit the low half.
    vcpu.runPage.setUint32(this.validAt, this.bothBits, true);
    this.stored = true;
  }

  /** Registers were changed by ioctl behind the page: the next read is by ioctl as well. */
  forget(): void {
    this.stored = false;
    this.vcpu.runPage.setUint32(this.dirtyAt, 0, true);
  }

  /** Hands the registers over at the next KVM_RUN. */
  writeLater(withSregs: boolean): void {
    const { vcpu } = this;
    this.regs.set(vcpu.regs.values);
    if (withSregs) this.sregs.set(vcpu.sregs.bytes);
    vcpu.runPage.setUint32(this.dirtyAt, withSregs ? this.bothBits : this.regsBit, true);
  }

  /** Hands the registers over at once. */
  writeNow(withSregs: boolean): void {
    if (withSregs) this.vcpu.writeSregs();
    this.vcpu.writeRegs();
  }
}
