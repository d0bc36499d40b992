/**
 * Completes in user space what kvm-pvm cannot do: one object per vCPU, in the thread that runs it.
 * See docs/kvm-pvm.md for what is completed and how.
 */
import { constant } from '../../kvm/native.js';
import { Gpr } from '../../kvm/registers.js';
import type { VcpuFd } from '../../kvm/vcpu-fd.js';
import type { GuestMemory } from '../../memory/guest-memory.js';
import { complete, isPlainStep } from './complete.js';
import { decode } from './decoder.js';
import { NotInRam, Rflags, Vector } from './guest-cpu.js';
import { IdtReader } from './idt.js';
import { Instruction } from './instruction.js';
import { KvmGuestCpu } from './kvm-guest-cpu.js';
import type { SyscallMsrs } from './syscall-entry.js';
import { SoftwareInterrupt } from './software-interrupt.js';
import { readSyscallMsrs, SyscallEntry } from './syscall-entry.js';
import type { XsaveComponent } from './xsave-layout.js';

/** DR7: global enables of breakpoints 0 and 1 (execution), and the bit that is always 1. */
const DR7 = { pageFault: 0x002n, invalidOpcode: 0x008n, fixed: 0x400n } as const;
const MAX_INSTRUCTION = 15;
/** KVM_INTERNAL_ERROR_EMULATION. */
const EMULATION_FAILURE = 1;

/** How often each kind of event was completed. */
export interface PvmCounters {
  instructions: number;
  systemCalls: number;
  pageFaults: number;
  softwareInterrupts: number;
  singleSteps: number;
}

/** The completions of one vCPU. Shares nothing with other vCPUs but guest memory. */
export class PvmCompletions {
  readonly counters: PvmCounters = {
    instructions: 0,
    systemCalls: 0,
    pageFaults: 0,
    softwareInterrupts: 0,
    singleSteps: 0,
  };
  private readonly cpu: KvmGuestCpu;
  private readonly idt: IdtReader;
  private readonly entry: SyscallEntry;
  private readonly interrupt: SoftwareInterrupt;
  private readonly insn = new Instruction();
  private readonly code = new Uint8Array(MAX_INSTRUCTION);
  private readonly debug = {
    breakpoint: constant('KVM_GUESTDBG_ENABLE') | constant('KVM_GUESTDBG_USE_HW_BP'),
    step: constant('KVM_GUESTDBG_ENABLE') | constant('KVM_GUESTDBG_SINGLESTEP'),
  };
  private msrs: SyscallMsrs = { star: 0n, lstar: 0n, fmask: 0n };
  /** First instructions of the guest's #PF and #UD handlers, where the breakpoints are. */
  private pageFault: bigint | undefined;
  private invalidOpcode: bigint | undefined;
  private stepping = false;
  private attached = false;

  constructor(
    private readonly vcpu: VcpuFd,
    memory: GuestMemory,
    xsave: readonly XsaveComponent[],
    private readonly log: (message: string) => void,
  ) {
    this.cpu = new KvmGuestCpu(vcpu, memory, xsave);
    this.idt = new IdtReader(this.cpu);
    this.entry = new SyscallEntry(this.cpu);
    this.interrupt = new SoftwareInterrupt(this.cpu, this.idt);
  }

  /**
   * Takes up the vCPU's present state. Needed before the first run of a vCPU that has left the
   * reset state (a restored snapshot) and after a reset; a fresh vCPU is taken up at its first
   * event.
   */
  attach(): void {
    this.attached = true;
    if (this.pageFault !== undefined) this.vcpu.setGuestDebug(0);
    this.stepping = false;
    this.pageFault = this.invalidOpcode = undefined;
    this.msrs = readSyscallMsrs(this.cpu);
    this.cpu.beginAfresh();
    this.followHandlers();
  }

  /** Reads the registers, once an event. */
  private begin(): void {
    if (this.attached) this.cpu.begin();
    else this.attach();
  }

  /**
   * KVM_EXIT_INTERNAL_ERROR, emulation failure.
   * @returns false when the instruction is not completed: the VM cannot go on
   */
  onEmulationFailure(): boolean {
    const { cpu, insn, code } = this;
    this.begin();
    const suberror = this.vcpu.runPage.getUint32(constant('kvm_run.internal.suberror'), true);
    if (suberror !== EMULATION_FAILURE) return false;
    const trap = (cpu.regs.get(Gpr.Rflags) & Rflags.TF) !== 0n;
    const available = cpu.fetch(cpu.linearRip, code);
    if (cpu.cpl === 3) {
      // Only the kernel's instructions are completed; a program must not be able to end the VM.
      cpu.inject(Vector.InvalidOpcode);
    } else if (!decode(insn, code, available, cpu.codeSize) || !this.tryComplete()) {
      const bytes = Array.from(code.subarray(0, available), (byte) =>
        byte.toString(16).padStart(2, '0'),
      );
      const rip = cpu.linearRip.toString(16);
      this.log(`no completion for the instruction at 0x${rip}: ${bytes.join(' ')}`);
      return false;
    }
    if (trap && !cpu.hasInjection) cpu.injectSingleStep();
    cpu.commit();
    this.counters.instructions++;
    if (this.stepping) this.arm();
    this.followHandlers();
    return true;
  }

  private tryComplete(): boolean {
    try {
      return complete(this.cpu, this.insn);
    } catch (error) {
      if (error instanceof NotInRam) return false;
      throw error;
    }
  }

  /**
   * KVM_EXIT_DEBUG.
   * @returns false for a debug exit this module did not ask for
   */
  onDebug(): boolean {
    if (this.stepping) {
      this.arm();
      return true;
    }
    if (this.pageFault === undefined) return false;
    const { cpu, counters } = this;
    this.begin();
    const rip = cpu.regs.get(Gpr.Rip);
    // A breakpoint that is hit is where the IDT points: only the others have to look there.
    if (rip !== this.pageFault) this.followHandlers();
    if (rip === this.pageFault) {
      if (this.entry.tryEnter(this.msrs)) {
        counters.systemCalls++;
        cpu.commit();
        return true;
      }
      counters.pageFaults++;
    } else if (rip !== this.invalidOpcode) {
      // The handlers have moved since the breakpoints were set.
      return true;
    } else if (this.interrupt.tryDeliver()) {
      counters.softwareInterrupts++;
      cpu.commit();
      return true;
    }
    this.passBreakpoint();
    return true;
  }

  /**
   * A real fault: gets past the breakpoint, which RFLAGS.RF does not suppress here. The usual
   * first instructions of a handler are done in place; others are single-stepped without it.
   */
  private passBreakpoint(): void {
    const { cpu, insn, code } = this;
    const available = cpu.fetch(cpu.linearRip, code);
    if (decode(insn, code, available, cpu.codeSize) && isPlainStep(insn) && complete(cpu, insn)) {
      cpu.commit();
      return;
    }
    this.counters.singleSteps++;
    this.stepping = true;
    this.vcpu.setGuestDebug(this.debug.step);
  }

  /**
   * KVM_EXIT_X86_WRMSR for the MSRs of {@link enablePvmMsrExits}: does the write.
   * @returns false when KVM refuses the value: the guest gets a #GP
   */
  onWrmsr(index: number, value: bigint): boolean {
    this.begin();
    if (this.vcpu.writeMsrs([{ index, value }]) !== 1) return false;
    // Read back: KVM may have kept fewer bits than were written.
    this.msrs = readSyscallMsrs(this.cpu);
    this.followHandlers();
    return true;
  }

  /** Puts the breakpoints where the guest's IDT now has its handlers. */
  private followHandlers(): void {
    if (this.msrs.lstar === 0n) return;
    const { idt } = this;
    idt.readHandlers();
    if (idt.pageFault === undefined) return;
    if (idt.pageFault === this.pageFault && idt.invalidOpcode === this.invalidOpcode) return;
    this.pageFault = idt.pageFault;
    // One handler for all vectors cannot tell them apart, nor can a breakpoint on it.
    this.invalidOpcode = idt.invalidOpcode;
    this.log(`page faults are handled at 0x${idt.pageFault.toString(16)}`);
    if (!this.stepping) this.arm();
  }

  private arm(): void {
    this.stepping = false;
    const { pageFault, invalidOpcode } = this;
    if (pageFault === undefined) return;
    const both = invalidOpcode !== undefined && invalidOpcode !== pageFault;
    const dr7 = DR7.fixed | DR7.pageFault | (both ? DR7.invalidOpcode : 0n);
    const addresses = [pageFault, both ? invalidOpcode : 0n];
    this.vcpu.setGuestDebug(this.debug.breakpoint, [...addresses, 0n, 0n, 0n, 0n, 0n, dr7]);
  }
}
