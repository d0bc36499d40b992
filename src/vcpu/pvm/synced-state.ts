/**
 * Registers through the kvm_run page (KVM_CAP_SYNC_REGS): KVM stores them there at every exit and
 * takes changed ones back at the next KVM_RUN. An ioctl on a vCPU costs 10 to 20 us on kvm-pvm.
 */
import { constant } from '../../kvm/native.js';
import type { VcpuFd } from '../../kvm/vcpu-fd.js';

/** What is used of a {@link VcpuFd}. */
export type SyncedVcpu = Pick<
  VcpuFd,
  'runPage' | 'regs' | 'sregs' | 'readRegs' | 'readSregs' | 'writeRegs' | 'writeSregs'
>;

/** One bit for each of the 256 vectors. */
const BITMAP_BYTES = 32;

/**
 * Moves registers between a VcpuFd's buffers and KVM. What {@link writeLater} leaves in the page
 * takes effect when KVM_RUN is entered, be it only to return at once (immediate_exit): until then
 * ioctls see the state before.
 */
export class SyncedState {
  private readonly regs: BigUint64Array;
  private readonly sregs: Uint8Array;
  /**
   * An interrupt that KVM is about to deliver has its bit in kvm_sregs.interrupt_bitmap. KVM sets
   * bits in the page but never clears one, and takes every bit it is handed for an interrupt to
   * deliver, whatever RFLAGS.IF says. It keeps its own note of the real one: none goes back.
   */
  private readonly pageInterrupts: Uint8Array;
  private readonly interrupts: Uint8Array;
  private readonly validAt = constant('kvm_run.kvm_valid_regs');
  private readonly dirtyAt = constant('kvm_run.kvm_dirty_regs');
  private readonly regsBit = constant('KVM_SYNC_X86_REGS');
  private readonly bothBits = constant('KVM_SYNC_X86_REGS') | constant('KVM_SYNC_X86_SREGS');

  /** True when the page will hold the registers after the next run. */
  private stored = false;

  constructor(private readonly vcpu: SyncedVcpu) {
    const { buffer } = vcpu.runPage;
    const { regs, sregs } = vcpu;
    this.regs = new BigUint64Array(buffer, constant('kvm_run.s.regs.regs'), regs.values.length);
    this.sregs = new Uint8Array(buffer, constant('kvm_run.s.regs.sregs'), sregs.bytes.length);
    const bitmapAt = constant('kvm_sregs.interrupt_bitmap');
    this.pageInterrupts = this.sregs.subarray(bitmapAt, bitmapAt + BITMAP_BYTES);
    this.interrupts = sregs.bytes.subarray(bitmapAt, bitmapAt + BITMAP_BYTES);
  }

  /**
   * Fills `vcpu.regs` and `vcpu.sregs`: by ioctl the first time, which also asks KVM to store
   * them from the next exit on, and from the page afterwards. At most once between two runs.
   */
  read(): void {
    const { vcpu } = this;
    if (this.stored) {
      this.pageInterrupts.fill(0);
      vcpu.regs.values.set(this.regs);
      vcpu.sregs.bytes.set(this.sregs);
      return;
    }
    vcpu.readRegs();
    vcpu.readSregs();
    this.interrupts.fill(0);
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
